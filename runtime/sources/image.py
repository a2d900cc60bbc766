"""One picture from a file."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.errors import SourceError
from sam3_edge.runtime.frame import Frame, bgr_frame

PICTURE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_MOST_BYTES = 1 << 30


def is_picture_name(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES


class ImageSource:
    """Read when it is opened, so that a bad file is refused before an engine is loaded."""

    live = False
    may_reopen = False
    fps: float | None = None
    num_frames: int | None = 1

    def __init__(self, path: Path) -> None:
        self.name = os.fspath(path)
        self._frame = picture_frame(path, 0)

    def frames(self) -> Iterator[Frame]:
        yield self._frame

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass


def picture_frame(path: Path, index: int, dropped: int = 0) -> Frame:
    """The picture as a frame of its own source. Raises SourceError."""
    image = read_picture(path)
    return bgr_frame(
        image,
        source=os.fspath(path),
        index=index,
        time_s=0.0,
        captured_ns=time.monotonic_ns(),
        utc_ns=time.time_ns(),
        dropped=dropped,
    )


def read_picture(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR, turned upright as its EXIF data says. Raises SourceError."""
    try:
        _check_file(path)
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise SourceError(
            f"{path}: expected a picture, got: {error.strerror}; check the path and its permissions"
        ) from error
    image = _decode(content) if len(content) else None
    if image is None:
        raise SourceError(
            f"{path}: expected a picture, got {_seen(content)}; copy it again, or save it as "
            "PNG or JPEG"
        )
    return image.astype(np.uint8, copy=False)


def _decode(content: NDArray[np.uint8]) -> NDArray[np.generic] | None:
    try:
        return cv2.imdecode(content, cv2.IMREAD_COLOR)
    except cv2.error:  # a header that promises more pixels than OpenCV takes
        return None


def _seen(content: NDArray[np.uint8]) -> str:
    if len(content) == 0:
        return "an empty file"
    return f"{len(content)} bytes that are none: cut off, damaged, too large or of another kind"


def _check_file(path: Path) -> None:
    """It is read whole: a disk image by another name would take all memory, a pipe would hang."""
    if not path.is_file() and path.exists():
        raise SourceError(f"{path}: expected a picture, got a folder, device or pipe; give a file")
    num_bytes = path.stat().st_size
    if num_bytes > _MOST_BYTES:
        raise SourceError(
            f"{path}: expected a picture of at most {_MOST_BYTES >> 20} MiB, got "
            f"{num_bytes >> 20} MiB; check that it is one"
        )

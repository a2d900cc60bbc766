"""The photos a calibration looks at: which files, what is in them, and each as the network's input."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.errors import CalibrationError
from sam3_edge.runtime.preprocess import preprocess

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
# From about this many on, more pictures hardly move the ranges of the default model.
ENOUGH_IMAGES = 32

_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationImages:
    """Pictures of one folder, each seen to be whole.

    names: file names, sorted. sha256: of each file, 64 hexadecimal digits.
    """

    folder: Path
    names: tuple[str, ...]
    sha256: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def too_few(self) -> bool:
        """Fewer than a good calibration needs: a reason to warn, not to stop."""
        return len(self) < ENOUGH_IMAGES

    def spread(self, count: int) -> "CalibrationImages":
        """At most `count` of them, evenly spread."""
        chosen = _spread(len(self), count)
        return CalibrationImages(
            folder=self.folder,
            names=tuple(self.names[i] for i in chosen),
            sha256=tuple(self.sha256[i] for i in chosen),
        )

    def without(self, others: "CalibrationImages") -> "CalibrationImages":
        """Those whose files are not among `others`, whatever they are called."""
        kept = [i for i, sha256 in enumerate(self.sha256) if sha256 not in others.sha256]
        return CalibrationImages(
            folder=self.folder,
            names=tuple(self.names[i] for i in kept),
            sha256=tuple(self.sha256[i] for i in kept),
        )

    def pictures(self, size: int) -> Iterator[NDArray[np.uint8]]:
        """(S, S, 3) uint8 RGB, one at a time; each array is the caller's own."""
        for name in self.names:
            image = np.empty((size, size, 3), dtype=np.uint8)
            preprocess(_decode(self.folder / name, _read(self.folder / name)), image)
            yield image


def open_images(folder: Path, count: int | None = None) -> CalibrationImages:
    """The pictures directly in `folder`; `count` takes an even spread over the sorted names.

    Every one is decoded once, so that a broken one is found before the work begins.
    Raises CalibrationError for a folder without pictures, and naming a file that is broken.
    """
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        raise CalibrationError(
            f"{folder}: expected a folder with {', '.join(PICTURE_SUFFIXES)} pictures directly in "
            "it, got none; check the path"
        )
    if count is not None:
        paths = [paths[i] for i in _spread(len(paths), count)]
    return CalibrationImages(
        folder=folder,
        names=tuple(path.name for path in paths),
        sha256=tuple(_checked_sha256(path) for path in paths),
    )


def _spread(total: int, count: int) -> list[int]:
    return list(range(total)) if count >= total else [i * total // count for i in range(count)]


def _checked_sha256(path: Path) -> str:
    data = _read(path)
    _decode(path, data)
    return hashlib.sha256(data).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CalibrationError(
            f"{os.fspath(path)}: expected a readable picture, got: {error.strerror}; "
            "remove it or make it readable"
        ) from error


def _decode(path: Path, data: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR. OpenCV 4 shows half a file as a picture grey below: refused."""
    decoded = None
    if data and not _is_cut_short(data):
        decoded = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise CalibrationError(
            f"{path}: expected a whole picture, got something else; remove or replace the file"
        )
    return decoded.astype(np.uint8, copy=False)


def _is_cut_short(data: bytes) -> bool:
    """True for a JPEG whose last scan has no end, and a PNG without its last chunk."""
    if data.startswith(_JPEG_START):
        return data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN)
    return data.startswith(_PNG_START) and _PNG_END not in data

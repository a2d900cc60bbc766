"""The annotated video."""

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.errors import SinkError, UsageError
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.sinks.canvas import Canvas
from sam3_edge.runtime.sinks.places import check_file_place, check_free_space
from sam3_edge.runtime.source_event import SourceEvent

SUFFIXES = (".mp4", ".mov", ".mkv", ".avi")
# H.264 needs an encoder that OpenCV's wheels do not carry; this one is always there.
_CODEC = "mp4v"


class VideoSink:
    """Pictures of another size than the first are fitted into it, with black beside them."""

    draws = True
    in_callers_thread = False

    def __init__(self, path: Path, fps: float) -> None:
        """fps: frames per second of the source. The file is replaced at the first frame.

        Raises UsageError for an ending that is unknown, SinkError where it cannot be written.
        """
        if path.suffix.lower() not in SUFFIXES:
            raise UsageError(
                f"{path}: expected a video name ending in {', '.join(SUFFIXES)}, "
                f"got {path.suffix or 'no ending'}"
            )
        check_file_place(path)
        check_free_space(path)
        self.name = os.fspath(path)
        self._canvas = Canvas()
        self._path = path
        # Absolute, or FFmpeg takes what is before a colon for a protocol.
        self._address = os.fspath(path.absolute())
        self._fps = fps
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._frames = self._num_fitted = 0

    @property
    def written(self) -> str | None:
        if not self._frames:
            return None
        fitted = f", {self._num_fitted} of another size fitted in" if self._num_fitted else ""
        return f"{self._path} ({self._frames} frames{fitted})"

    def write(self, result: FrameResult) -> None:
        # OpenCV does not say that a frame could not be written: look before.
        check_free_space(self._path)
        height, width = result.frame.size
        if self._writer is None:
            self._size = (width, height)
            self._writer = self._open()
        elif not self._path.exists():
            raise SinkError(
                f"{self._path}: expected the video to be there still, got none; was its disk "
                "unplugged, or the file deleted?"
            )
        picture = self._canvas.draw(result)
        if (width, height) != self._size:
            picture = _fit(picture, self._size)
            self._num_fitted += 1
        self._writer.write(picture)
        self._frames += 1

    def tell(self, event: SourceEvent) -> None:
        pass

    def close(self) -> None:
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        self._check_readable()

    def _open(self) -> cv2.VideoWriter:
        codec = cv2.VideoWriter.fourcc(*_CODEC)
        writer = cv2.VideoWriter(self._address, codec, self._fps, self._size)
        if not writer.isOpened():
            raise SinkError(
                f"cannot write {self._path}: expected OpenCV to open a video of {self._size[0]} x "
                f"{self._size[1]} at {self._fps:g} frames/s, it did not; try another ending or "
                "frame size"
            )
        return writer

    def _check_readable(self) -> None:
        reader = cv2.VideoCapture(self._address, cv2.CAP_FFMPEG)
        count = round(reader.get(cv2.CAP_PROP_FRAME_COUNT)) if reader.isOpened() else 0
        reader.release()
        if count < 1 or abs(count - self._frames) > 1:  # some containers round
            raise SinkError(
                f"{self._path} is not whole: expected {self._frames} frames, got {max(count, 0)}; "
                "check free space"
            )


def _fit(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """size: (width, height). The whole picture in the middle, its shape kept."""
    width, height = size
    scale = min(width / picture.shape[1], height / picture.shape[0])
    inner = tuple(max(1, round(edge * scale)) for edge in picture.shape[1::-1])
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    fitted = np.zeros((height, width, 3), np.uint8)
    cv2.resize(picture, inner, fitted[top : top + inner[1], left : left + inner[0]])
    return fitted

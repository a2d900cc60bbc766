"""The annotated video."""

import os
from pathlib import Path

import cv2

from sam3_edge.errors import SinkError, UsageError
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.sinks.canvas import Canvas
from sam3_edge.runtime.sinks.places import check_file_place, check_free_space
from sam3_edge.runtime.source_event import SourceEvent

SUFFIXES = (".mp4", ".mov", ".mkv", ".avi")
# H.264 needs an encoder that OpenCV's wheels do not carry; this one is always there.
_CODEC = "mp4v"


class VideoSink:
    draws = True
    in_callers_thread = False

    def __init__(self, path: Path, fps: float) -> None:
        """fps: frames per second of the source. The file is replaced at the first frame."""
        if path.suffix.lower() not in SUFFIXES:
            raise UsageError(
                f"{path}: expected a video name ending in {', '.join(SUFFIXES)}, "
                f"got {path.suffix or 'no ending'}"
            )
        check_file_place(path)
        self.name = os.fspath(path)
        self._canvas = Canvas()
        self._path = path
        self._fps = fps
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._frames = 0

    @property
    def written(self) -> str | None:
        return f"{self._path} ({self._frames} frames)" if self._frames else None

    def write(self, result: FrameResult) -> None:
        # OpenCV does not say when a frame could not be written: look before.
        check_free_space(self._path)
        height, width = result.frame.size
        if self._writer is None:
            self._size = (width, height)
            self._writer = self._open()
        if (width, height) != self._size:
            raise SinkError(
                f"{self._path}: expected frames of {self._size[0]} x {self._size[1]}, got "
                f"{width} x {height} (frame {result.frame.index}); pictures of several sizes go "
                "to --images"
            )
        self._writer.write(self._canvas.draw(result))
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
        writer = cv2.VideoWriter(os.fspath(self._path), codec, self._fps, self._size)
        if not writer.isOpened():
            raise SinkError(
                f"cannot write {self._path}: expected OpenCV to open a video of {self._size[0]} x "
                f"{self._size[1]}, it did not; try another ending or frame size"
            )
        return writer

    def _check_readable(self) -> None:
        reader = cv2.VideoCapture(os.fspath(self._path), cv2.CAP_FFMPEG)
        count = round(reader.get(cv2.CAP_PROP_FRAME_COUNT)) if reader.isOpened() else 0
        reader.release()
        if count < 1 or abs(count - self._frames) > 1:  # some containers round
            raise SinkError(
                f"{self._path} is not whole: expected {self._frames} frames, got {max(count, 0)}; "
                "check free space"
            )

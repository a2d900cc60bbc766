"""A video file, as fast as it can be decoded."""

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import cv2

from sam3_edge.errors import SourceError
from sam3_edge.runtime.frame import Frame, bgr_frame
from sam3_edge.runtime.sources.pooled_reader import PooledReader

# Containers round: a few frames or moments less than they promise is not a broken file.
_MISSING_FRAMES, _MISSING_SECONDS, _MISSING_SHARE = 3, 0.5, 0.02


class VideoSource:
    live = False
    may_reopen = False

    def __init__(self, path: Path) -> None:
        self.name = os.fspath(path)
        _check_is_video(path)
        # Absolute, or FFmpeg takes what is before a colon for a protocol.
        self._capture = cv2.VideoCapture(os.fspath(path.absolute()), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise SourceError(
                f"{path}: expected a video, got one that cannot be opened, cut off or in an unknown "
                "format; copy it again, or convert it to MP4 (H.264)"
            )
        self._reader = PooledReader(self._capture)
        self.fps: float | None = _positive(self._capture.get(cv2.CAP_PROP_FPS))
        count = _positive(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.num_frames: int | None = None if count is None else int(count)

    def frames(self) -> Iterator[Frame]:
        index, time_s = 0, 0.0
        while True:
            image = self._reader.read()
            if image is None:
                break
            time_s = self._time_s(index, time_s)
            yield bgr_frame(
                image,
                source=self.name,
                index=index,
                time_s=time_s,
                captured_ns=time.monotonic_ns(),
                utc_ns=time.time_ns(),
            )
            index += 1
        self._check_whole(index, time_s)

    def stop(self) -> None:
        pass

    def close(self) -> None:
        self._capture.release()

    def _time_s(self, index: int, before: float) -> float:
        """The frame's own time stamp; by count where the file has none."""
        stamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
        if math.isfinite(stamp) and (stamp > before or index == 0):
            return stamp
        return max(before, index / self.fps) if self.fps else before

    def _check_whole(self, count: int, last_s: float) -> None:
        """The promised count may be an estimate from the duration: both must be missed."""
        if self.num_frames is None or self.fps is None:
            if count == 0:
                raise SourceError(
                    f"{self.name}: expected a video with frames, got none; copy it again"
                )
            return
        duration = self.num_frames / self.fps
        few = self.num_frames - count > max(_MISSING_FRAMES, _MISSING_SHARE * self.num_frames)
        short = duration - last_s > max(_MISSING_SECONDS, _MISSING_SHARE * duration)
        if count == 0 or (few and short):
            raise SourceError(
                f"{self.name} breaks off: expected {self.num_frames} frames, got {count}; copy it "
                "again (the results of the frames before are kept)"
            )


def _check_is_video(path: Path) -> None:
    """FFmpeg would show a text file as a picture of its letters: refuse what has no binary part.

    A name that is no UTF-8 ends some versions of OpenCV, and the process with it.
    """
    if not _is_utf8(os.fspath(path.absolute())):
        raise SourceError(f"{path}: expected a path in UTF-8, got another; rename it")
    try:
        with path.open("rb") as stream:
            head = stream.read(4096)
    except OSError as error:
        raise SourceError(
            f"{path}: expected a video, got: {error.strerror}; check the path and its permissions"
        ) from error
    if b"\0" not in head:
        got = "a text file" if head else "an empty file"
        raise SourceError(f"{path}: expected a picture or video, got {got}; check the path")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _positive(value: float) -> float | None:
    """FFmpeg says zero, less, or not a number where it does not know."""
    return value if math.isfinite(value) and value > 0 else None

"""Streams from the network through OpenCV's FFmpeg, which every installation has: MJPEG and HLS over
HTTP, and RTSP where there is no GStreamer."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from threading import Event, Lock, Thread

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.errors import SourceError
from sam3_edge.runtime.address import escaped_user, shown_address
from sam3_edge.runtime.frame import Frame, bgr_frame
from sam3_edge.runtime.sources.pooled_reader import PooledReader

__all__ = ["FFmpegStreamSource", "open_http"]

_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_opening = Lock()
_OPEN_MS, _READ_MS = 15_000, 5_000
_NEW_AFTER_S = 0.01


class FFmpegStreamSource:
    """Read without a pause by the capture thread: what is not read grows old in the network.

    A file behind an address is not live: it has a number of frames, and an end.
    """

    may_reopen = True

    def __init__(self, url: str, *, advice: str, options: Mapping[str, str] | None = None) -> None:
        """options: FFmpeg's own, besides those against delay. Raises SourceError."""
        self.name = shown_address(url)
        self._advice = advice
        self._stopping, self._reading = Event(), Lock()
        started = time.monotonic()
        self._capture = _open(escaped_user(url), {"flags": "low_delay", **(options or {})})
        self._reader = PooledReader(self._capture)
        self._first = self._reader.read() if self._capture.isOpened() else None
        if self._first is None:
            self._capture.release()
            got = _nothing(started, _OPEN_MS, "none")
            raise SourceError(f"{self.name}: expected a stream with pictures, got {got}; {advice}")
        frames = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.num_frames = int(frames) if frames > 0 else None
        self.live = self.num_frames is None
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps: float | None = rate if 1 <= rate <= 1000 else None

    def frames(self) -> Iterator[Frame]:
        if self.live:
            self._catch_up()
        start_ns = 0
        for index in count():
            image = self._next(index)
            if image is None:
                return
            now_ns = time.monotonic_ns()
            start_ns = start_ns or now_ns
            yield bgr_frame(
                image,
                source=self.name,
                index=index,
                time_s=self._time_s(index, now_ns - start_ns),
                captured_ns=now_ns,
                utc_ns=time.time_ns(),
            )

    def stop(self) -> None:
        """Ends `frames` with its next picture; while none comes, within 5 s."""
        self._stopping.set()

    def close(self) -> None:
        """Waits for who reads, as long."""
        self.stop()
        if self._reading.acquire(timeout=_READ_MS / 1e3):  # releasing it under a reader crashes
            self._capture.release()
            self._reading.release()

    def _catch_up(self) -> None:
        """Leave out what came since it was opened: a picture that had to be waited for is new."""
        self._first = None
        until = time.monotonic() + _READ_MS / 1e3
        wait_s = 0.0
        while wait_s < _NEW_AFTER_S and not self._stopping.is_set() and time.monotonic() < until:
            started = time.monotonic()
            with self._reading:
                if self._stopping.is_set() or not self._capture.grab():
                    return
            wait_s = time.monotonic() - started

    def _next(self, index: int) -> NDArray[np.uint8] | None:
        first, self._first = self._first, None
        if first is not None:
            return first
        started = time.monotonic()
        with self._reading:
            image = None if self._stopping.is_set() else self._reader.read()
        if image is None and not self._stopping.is_set() and not self._is_whole(index):
            raise SourceError(
                f"{self.name}: expected another picture after {index}, got: "
                f"{_nothing(started, _READ_MS, 'the end of the stream')}; {self._advice}"
            )
        return image

    def _is_whole(self, num_read: int) -> bool:
        """Containers round: a few frames less than they promise are no loss."""
        return self.num_frames is not None and num_read >= 0.98 * self.num_frames - 3

    def _time_s(self, index: int, since_first_ns: int) -> float:
        return since_first_ns / 1e9 if self.live or not self.fps else index / self.fps


def open_http(url: str) -> FFmpegStreamSource:
    """A camera's MJPEG, HLS or a file over http:// or https://. Raises SourceError."""
    return FFmpegStreamSource(
        url, advice="check the address, the network, and that it is a video and no page of text"
    )


def _nothing(started: float, patience_ms: int, otherwise: str) -> str:
    """OpenCV does not say why it gives none: one that waited to the end had no answer."""
    if time.monotonic() - started < 0.9 * patience_ms / 1e3:
        return otherwise
    return f"no picture for {patience_ms / 1e3:g} s"


def _open(url: str, options: Mapping[str, str]) -> cv2.VideoCapture:
    # One thread decodes without delay; several hold a picture each before they give the first.
    how = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_MS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC, _READ_MS,
        cv2.CAP_PROP_N_THREADS, 1,
    ]  # fmt: skip
    opened: list[cv2.VideoCapture] = []
    opening = Thread(
        target=lambda: opened.append(cv2.VideoCapture(url, cv2.CAP_FFMPEG, how)),
        name="sam3-edge opening",
        daemon=True,
    )
    with _opening, _environment(_OPTIONS, "|".join(f"{k};{v}" for k, v in options.items())):
        opening.start()
        opening.join()  # in a thread, since Ctrl-C is heard while this waits
    return opened[0]


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """OpenCV takes FFmpeg's options from there alone; what the user has put there wins."""
    before = os.environ.get(name)
    os.environ[name] = value if before is None else before
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]

"""Raw frames from standard input: another program's pictures, one behind another.

Rows lie without bytes between them, as FFmpeg writes them (`-f rawvideo -`). GStreamer's fdsink gives
the same where the width is a multiple of 8.
"""

import io
import math
import re
import select
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from threading import Event
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from sam3_edge.errors import SourceError, UsageError
from sam3_edge.runtime.frame import Frame, frame_of
from sam3_edge.runtime.picture_memory import PICTURES
from sam3_edge.runtime.preprocess import FrameLayout, PixelFormat, layout_of

__all__ = ["RawSource", "open_raw"]

_TEXT = re.compile(r"raw:([^:]*):([0-9]+)x([0-9]+)(?:@([0-9.]+)(:live)?)?", re.ASCII)
_FORMATS: dict[str, PixelFormat] = {name.upper(): name for name in get_args(PixelFormat)}
_LARGEST_PX = 16384
_LOOK_UP_S = 0.2  # how often who waits for a frame looks whether it was stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class RawStream:
    """fps: None where nobody said. live: a frame that is not taken in time gives way to the next."""

    layout: FrameLayout
    fps: float | None
    live: bool


class RawSource:
    """Read as fast as frames are taken: meanwhile the other program waits, unless it is live."""

    num_frames: int | None = None
    may_reopen = False

    def __init__(self, name: str, raw: RawStream, stream: io.FileIO) -> None:
        """stream: without a buffer of its own; closed by `close`."""
        self.name, self.fps, self.live = name, raw.fps, raw.live
        self._layout = raw.layout
        self._stream = stream
        self._stopping = Event()

    def frames(self) -> Iterator[Frame]:
        """Raises SourceError for a last frame that is not whole, and for no frame at all."""
        start_ns = 0
        for index in count():
            picture = self._read(index)
            if picture is None:
                return
            now_ns = time.monotonic_ns()
            start_ns = start_ns or now_ns
            yield frame_of(
                picture,
                self._layout,
                source=self.name,
                index=index,
                time_s=self._time_s(index, now_ns - start_ns),
                captured_ns=now_ns,
                utc_ns=time.time_ns(),
            )
            del picture  # its memory is used again when nobody refers to it

    def stop(self) -> None:
        self._stopping.set()

    def close(self) -> None:
        self.stop()
        self._stream.close()

    def _read(self, index: int) -> NDArray[np.uint8] | None:
        """(bytes,) uint8; None at the end."""
        picture = PICTURES.take((self._layout.num_bytes,), np.uint8)
        num_read = 0
        while num_read < len(picture):
            num_more = self._read_some(picture[num_read:])
            if self._stopping.is_set():
                return None
            if num_more == 0:
                break
            num_read += num_more
        if num_read == len(picture):
            return picture
        if num_read == 0 and index > 0:
            return None
        raise SourceError(
            f"{self.name}: expected {len(picture)} bytes for frame {index}, got {num_read} and the "
            "end; check that the other program runs, and its format and size"
        )

    def _read_some(self, room: NDArray[np.uint8]) -> int:
        """How many bytes came; 0 at the end, and when it was stopped."""
        try:
            while not self._stopping.is_set():
                if not select.select([self._stream], [], [], _LOOK_UP_S)[0]:
                    continue
                num_bytes = self._stream.readinto(room.data)
                if num_bytes is not None:  # None: somebody set it not to block, and it was empty
                    return num_bytes
        except OSError as error:
            raise SourceError(f"{self.name}: expected frames, got: {error.strerror}") from error
        return 0

    def _time_s(self, index: int, since_first_ns: int) -> float:
        return since_first_ns / 1e9 if self.live or not self.fps else index / self.fps


def open_raw(text: str, stream: io.FileIO | None = None) -> RawSource:
    """text: "raw:NV12:1280x720", with "@30" the frames a second, with "@30:live" from a camera:
    what comes too fast is left out and not held up. stream: standard input by default.

    Raises UsageError for another text, SourceError where standard input is none.
    """
    return RawSource(text, parse_raw(text), _standard_input(text) if stream is None else stream)


def parse_raw(text: str) -> RawStream:
    """Raises UsageError."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise UsageError(
            f"expected raw:FORMAT:WxH[@FPS[:live]], such as raw:BGR:640x480, got {text!r}"
        )
    name, width, height, rate, live = match.groups()
    layout = _layout(text, _format(text, name), _side(text, width), _side(text, height))
    return RawStream(layout=layout, fps=_rate(text, rate), live=live is not None)


def _format(text: str, name: str) -> PixelFormat:
    if name.upper() not in _FORMATS:
        raise UsageError(
            f"{text}: expected a format of {', '.join(_FORMATS.values())}, got {name!r}"
        )
    return _FORMATS[name.upper()]


def _side(text: str, digits: str) -> int:
    # Python refuses to read thousands of digits
    side = int(digits) if len(digits) < 9 else math.inf
    if not 1 <= side <= _LARGEST_PX:
        raise UsageError(f"{text}: expected a side of 1 to {_LARGEST_PX} pixels, got {digits[:20]}")
    return int(side)


def _layout(text: str, format: PixelFormat, width: int, height: int) -> FrameLayout:  # noqa: A002
    """Of an odd side programs differ in where chroma lies."""
    has_rows_of_chroma = format in ("NV12", "I420")
    if (width % 2 and (has_rows_of_chroma or format == "YUY2")) or (
        height % 2 and has_rows_of_chroma
    ):
        raise UsageError(f"{text}: expected even sides for {format}, got {width}x{height}")
    return layout_of(format, height, width)


def _rate(text: str, digits: str | None) -> float | None:
    if digits is None:
        return None
    try:
        rate = float(digits)
    except ValueError:
        rate = math.nan
    if not 0 < rate <= 1000:
        raise UsageError(f"{text}: expected a rate above 0 and up to 1000, got {digits[:20]!r}")
    return rate


def _standard_input(text: str) -> io.FileIO:
    """Past Python's own buffer, whose lock a thread that waits in it would hold for ever."""
    try:
        is_terminal, number = sys.stdin.isatty(), sys.stdin.fileno()
    except (AttributeError, OSError, ValueError) as error:
        raise SourceError(
            f"{text}: expected frames in standard input, got none; pipe them in"
        ) from error
    if is_terminal:
        raise SourceError(
            f"{text}: expected frames in standard input, got a terminal; pipe them in"
        )
    return io.FileIO(number, "r", closefd=False)

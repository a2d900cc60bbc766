"""Any GStreamer pipeline that ends in raw video: "gst:v4l2src ! image/jpeg ! jpegdec"."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from sam3_edge.errors import SourceError
from sam3_edge.runtime.address import without_secrets
from sam3_edge.runtime.frame import Frame, frame_of
from sam3_edge.runtime.gstreamer.appsink import parse_pipeline
from sam3_edge.runtime.gstreamer.picture import PictureReader
from sam3_edge.runtime.gstreamer.stream import PictureStream

__all__ = ["GStreamerSource", "Manner", "open_gstreamer"]

_PREFIX = "gst:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a source behaves, and what to do when it does not.

    name: what messages and results call it. advice: the end of every error.
    live: None where the pipeline itself knows. endless: an end of the stream is a loss.
    stamped_by_sender: time stamps are another machine's, as those of RTP are.
    may_reopen: it may be opened again after a failure, as often as one likes.
    open_s: how long the first picture may take. stall_s: how long a live one may give none.
    """

    name: str
    advice: str
    live: bool | None = None
    endless: bool = False
    stamped_by_sender: bool = False
    may_reopen: bool = True
    open_s: float = 15.0
    stall_s: float = 5.0


class GStreamerSource:
    """A pipeline that plays, proven by its first picture."""

    num_frames: int | None = None

    def __init__(self, pipeline: Any, sink: Any, manner: Manner) -> None:
        """pipeline, sink: as `parse_pipeline` gives them. Raises SourceError."""
        self._manner = manner
        self.name, self.may_reopen = manner.name, manner.may_reopen
        self._reader = PictureReader()
        self._stream = PictureStream(pipeline, sink, stamped_by_sender=manner.stamped_by_sender)
        try:
            self._stream.open(manner.open_s, manner.live)
            self._first = self._stream.pull(manner.open_s)
            if self._first is None:
                raise SourceError("the end of the stream before the first picture")
            self._reader.read(self._first)
        except BaseException as error:  # Ctrl-C too: GStreamer aborts over one that still plays
            self._stream.close()
            if isinstance(error, SourceError):
                raise self._told(error, "a picture") from error.__cause__
            raise
        self.live = self._stream.live
        self.fps = self._reader.fps

    def frames(self) -> Iterator[Frame]:
        if self.live:  # engines take their time to load: the first picture is old by now
            self._first = None
            self._stream.forget()
        start_s: float | None = None
        for index in count():
            sample = self._next(index)
            if sample is None:
                return
            captured_ns = self._stream.captured_ns(sample) if self.live else time.monotonic_ns()
            stream_s = self._stream.stream_time_s(sample)
            time_s = captured_ns / 1e9 if stream_s is None else stream_s
            start_s = time_s if start_s is None else start_s
            yield self._frame(sample, index, max(0.0, time_s - start_s), captured_ns)

    def stop(self) -> None:
        self._stream.stop()

    def close(self) -> None:
        """Ends `frames` also while it waits. Returns within seconds, whatever the driver does."""
        self._stream.close()

    def _next(self, index: int) -> Any | None:
        first, self._first = self._first, None
        if first is not None:
            return first
        try:
            sample = self._stream.pull(self._manner.stall_s if self.live else None)
        except SourceError as error:
            raise self._told(error, f"another picture after {index}") from error.__cause__
        if sample is None and self._manner.endless and not self._stream.is_stopped:
            raise self._told("the end of the stream", f"another picture after {index}")
        return sample

    def _frame(self, sample: Any, index: int, time_s: float, captured_ns: int) -> Frame:
        try:
            buffer, layout = self._reader.read(sample)
        except SourceError as error:
            raise self._told(error, f"another picture after {index}") from error.__cause__
        return frame_of(
            buffer,
            layout,
            source=self.name,
            index=index,
            time_s=time_s,
            captured_ns=captured_ns,
            utc_ns=time.time_ns() - (time.monotonic_ns() - captured_ns),
            dropped=self._stream.num_dropped,
        )

    def _told(self, got: SourceError | str, expected: str) -> SourceError:
        return SourceError(f"{self.name}: expected {expected}, got: {got}; {self._manner.advice}")


def open_gstreamer(text: str) -> GStreamerSource:
    """`text`: a pipeline as gst-launch-1.0 takes it, with or without "gst:" before it and an
    appsink at its end. Raises SourceError with GStreamer's reason."""
    text = text.removeprefix(_PREFIX).strip()
    name = _PREFIX + without_secrets(text)
    pipeline, sink = parse_pipeline(text)
    manner = Manner(
        name=name,
        advice="try the pipeline with gst-launch-1.0",
        may_reopen="nvarguscamerasrc" not in text,  # see csi.py
    )
    return GStreamerSource(pipeline, sink, manner)

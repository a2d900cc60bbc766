"""The fixed synthetic source, and a clock around any source and sink."""

import time
from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray

from sam3_edge.runtime.frame import Frame, bgr_frame
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.scene import Scene
from sam3_edge.runtime.sinks import Sink
from sam3_edge.runtime.source_event import SourceEvent
from sam3_edge.runtime.sources import Source

NUM_PICTURES = 8
_APART = 45  # frames of the scene, so that the pictures differ


def render_pictures(width: int, height: int) -> tuple[NDArray[np.uint8], ...]:
    """(height, width, 3) uint8 BGR each: the demo's scene, the same ones every time."""
    scene = Scene(0, "held_out", width, height)
    return tuple(scene.frame(number * _APART) for number in range(NUM_PICTURES))


class SyntheticSource:
    """The pictures in turn, for ever: nothing is drawn, decoded or allocated while it is measured.

    fps: as a camera, whose frames come in time whether or not somebody takes them; None gives
    each as soon as it is asked for.
    """

    name = "synthetic"
    num_frames: int | None = None

    def __init__(self, pictures: Sequence[NDArray[np.uint8]], fps: float | None = None) -> None:
        self._pictures = pictures
        self.fps = fps
        self.live = self.may_reopen = fps is not None

    def frames(self) -> Iterator[Frame]:
        started = time.monotonic()
        for index in count():
            if self.fps is not None:
                time.sleep(max(0.0, started + index / self.fps - time.monotonic()))
            yield bgr_frame(
                self._pictures[index % len(self._pictures)],
                source=self.name,
                index=index,
                time_s=index / (self.fps or 1.0),
                captured_ns=time.monotonic_ns(),
                utc_ns=time.time_ns(),
            )

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass


class TimedSource:
    """`source`, noting how long each frame took. ms: by the frame's index; of a camera it is mostly
    waiting for the next picture."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.name, self.fps, self.num_frames = source.name, source.fps, source.num_frames
        self.live, self.may_reopen = source.live, source.may_reopen
        self.ms: dict[int, float] = {}

    def frames(self) -> Iterator[Frame | SourceEvent]:
        frames = self._source.frames()
        while True:
            started = time.perf_counter()
            frame = next(frames, None)
            if frame is None:
                return
            if isinstance(frame, Frame):
                self.ms[frame.index] = (time.perf_counter() - started) * 1e3
            yield frame
            del frame  # its picture's memory is used again when nobody refers to it

    def stop(self) -> None:
        self._source.stop()

    def close(self) -> None:
        self._source.close()


class TimedSink:
    """`sink`, noting how long each result took. ms: by the frame's index."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.name, self.draws = sink.name, sink.draws
        self.in_callers_thread = sink.in_callers_thread
        self.ms: dict[int, float] = {}

    @property
    def written(self) -> str | None:
        return self._sink.written

    def write(self, result: FrameResult) -> None:
        started = time.perf_counter()
        self._sink.write(result)
        self.ms[result.frame.index] = (time.perf_counter() - started) * 1e3

    def tell(self, event: SourceEvent) -> None:
        self._sink.tell(event)

    def close(self) -> None:
        self._sink.close()

"""One configuration through the real pipeline: capture, detect, deliver."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

import click
import numpy as np
from numpy.typing import NDArray

from sam3_edge.bench.figures import STAGES, Figures, Percentiles, percentiles
from sam3_edge.bench.load import Loaded
from sam3_edge.bench.memory import read_memory
from sam3_edge.bench.plan import Configuration
from sam3_edge.bench.source import SyntheticSource, TimedSink, TimedSource
from sam3_edge.bench.window import Window
from sam3_edge.runtime.capture import Capture
from sam3_edge.runtime.pipeline import deliver, detect
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.sinks import Sink
from sam3_edge.runtime.source_event import SourceEvent
from sam3_edge.runtime.sources import Source, open_source


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One measured frame. The others: milliseconds."""

    index: int
    preprocess: float
    vision: float
    decoder: float
    postprocess: float
    age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """total_ms: of every measured frame, which the plot draws. width, height: of the last one, 0
    without frames. live: of the source."""

    figures: Figures
    total_ms: tuple[float, ...] = ()
    width: int = 0
    height: int = 0
    live: bool = False


class Record:
    """What the results of the measured frames say; the pictures are let go."""

    def __init__(self, window: Window) -> None:
        self.rows: list[_Row] = []
        self.size = (0, 0)
        self.dropped = 0
        self._window = window
        self._dropped_before = 0

    def add(self, result: FrameResult) -> None:
        frame, timing = result.frame, result.timing
        if not self._window.add():
            self._dropped_before = frame.dropped
            return
        self.size = frame.size[1], frame.size[0]
        self.dropped = frame.dropped - self._dropped_before
        self.rows.append(
            _Row(
                index=frame.index,
                preprocess=timing.preprocess_ms,
                vision=timing.vision_ms,
                decoder=timing.decoder_ms,
                postprocess=timing.postprocess_ms,
                age=result.age_ms,
            )
        )


def measure_pipeline(
    configuration: Configuration,
    loaded: Loaded,
    window: Window,
    *,
    pictures: tuple[NDArray[np.uint8], ...],
    sink: Sink,
    should_stop: Callable[[], bool],
) -> Measured:
    """pictures: of the synthetic source, where the configuration names no other.

    Raises SourceError, EngineError, SinkError; UsageError for a source with too few frames.
    """
    loaded.owners.mark()
    source = TimedSource(_open(configuration, pictures))
    timed_sink, record = TimedSink(sink), Record(window)

    def on_result(result: FrameResult) -> None:
        if not window.is_warm:
            loaded.owners.claim_source()
        record.add(result)

    with closing(Capture(source)) as capture:
        found = detect(capture, loaded.backend, loaded.request, None, should_stop)
        with closing(_until_over(found, window)) as results:
            del found  # closing `results` lets go of the last reference, which ends its thread
            deliver(results, [timed_sink], on_result, live=source.live, should_stop=should_stop)
    if should_stop():
        raise click.Abort
    window.close()
    return _measured(record, source, timed_sink, window, loaded)


def _open(configuration: Configuration, pictures: tuple[NDArray[np.uint8], ...]) -> Source:
    if configuration.source is not None:
        return open_source(configuration.source)
    return SyntheticSource(pictures, configuration.fps)


def _until_over(
    results: Iterator[FrameResult | SourceEvent], window: Window
) -> Generator[FrameResult, None, None]:
    """The source goes on while the last frame is measured: the pipeline is full until then."""
    for result in results:
        if isinstance(result, SourceEvent):
            continue
        yield result
        if window.is_over:
            return


def _measured(
    record: Record, source: TimedSource, sink: TimedSink, window: Window, loaded: Loaded
) -> Measured:
    rows = record.rows
    total = tuple(
        row.preprocess + row.vision + row.decoder + row.postprocess + sink.ms[row.index]
        for row in rows
        if row.index in sink.ms  # a slow sink of a camera leaves results out
    )
    stages = {
        "source": [source.ms[row.index] for row in rows],
        "preprocess": [row.preprocess for row in rows],
        "vision": [row.vision for row in rows],
        "decoder": [row.decoder for row in rows],
        "postprocess": [row.postprocess for row in rows],
        "sink": [sink.ms[row.index] for row in rows if row.index in sink.ms],
        "total": total,
    }
    latency: dict[str, Percentiles | None] = {name: percentiles(stages[name]) for name in STAGES}
    figures = Figures(
        throughput_fps=window.throughput_fps,
        latency_ms=latency,
        frame_age_ms=percentiles([row.age for row in rows]),
        dropped=record.dropped,
        cpu_ms_per_frame=window.cpu(),
        memory=read_memory(loaded.device_bytes()),
        energy=window.energy(),
        frames=len(rows),
        warm_up_frames=window.warm_up,
        elapsed_s=window.elapsed_s,
    )
    width, height = record.size
    return Measured(figures=figures, total_ms=total, width=width, height=height, live=source.live)

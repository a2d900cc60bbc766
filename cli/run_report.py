"""What `sam3-edge run` tells the person in front of it."""

from collections.abc import Sequence
from contextlib import suppress
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING

import click

from sam3_edge.runtime.results import FrameResult, Timing
from sam3_edge.runtime.sinks.places import cannot_write
from sam3_edge.runtime.source_event import SourceEvent
from sam3_edge.runtime.tally import Summary, Tally

if TYPE_CHECKING:
    from rich.progress import Progress

_LIVE_EVERY_S = 1.0


class RunReport:
    """A progress bar where there is an end and a terminal, otherwise lines; then the summary.

    total: how many frames there will be; None where nobody knows.
    live: a line each second. to_stderr: because standard output carries the results.
    """

    def __init__(
        self, tally: Tally, *, total: int | None, live: bool, quiet: bool, to_stderr: bool
    ) -> None:
        self._tally = tally
        self._quiet = quiet
        self._to_stderr = to_stderr
        self._progress = None if total is None or quiet else _progress_bar()
        if self._progress is not None:
            self._task = self._progress.add_task("", total=total)
        self._live = live and not quiet and self._progress is None
        self._next_line_s = perf_counter() + _LIVE_EVERY_S

    def __enter__(self) -> "RunReport":
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def add(self, result: FrameResult) -> None:
        self._tally.add(result)
        if result.frame.state == "recovered":
            warn(f"{result.frame.source}: it is back")
        if self._progress is not None:
            self._progress.update(self._task, advance=1, description=found_text(result))
        elif self._live and perf_counter() >= self._next_line_s:
            rate = self._tally.summary().frames_per_s
            self._say(f"frame {result.frame.index}  {rate:.1f} frames/s  {found_text(result)}")
            self._next_line_s = perf_counter() + _LIVE_EVERY_S

    def tell(self, event: SourceEvent) -> None:
        """A loss, once, and no attempts; that it is back is told by `add`."""
        if event.state == "lost":
            again = "the others go on" if event.final else "trying to connect again"
            warn(f"{event.reason}; {again}")

    def finish(self, written: Sequence[str | None], *, live: bool, unwritten: int) -> None:
        """live: a camera: age and loss matter. unwritten: results that slow sinks have lost."""
        if self._progress is not None:
            self._progress.stop()
        if self._quiet:
            return
        summary, files = self._tally.summary(), [text for text in written if text]
        for line in [*summary_lines(summary, files), *live_lines(summary, live, unwritten)]:
            self._say(line)

    def _say(self, line: str) -> None:
        if self._to_stderr:
            _say_aside(line)
            return
        try:
            click.echo(line)
        except BrokenPipeError:
            raise  # whoever read it has seen enough: click ends without a word
        except OSError as error:
            raise cannot_write("standard output", error) from error


def warn(message: str) -> None:
    _say_aside(f"sam3-edge: warning: {message}")


def _say_aside(line: str) -> None:
    """A log that is full or closed is no reason to stop looking, and there is nobody to tell."""
    with suppress(OSError):
        click.echo(line, err=True)


def found_text(result: FrameResult) -> str:
    """ "fish 3 (best 0.91), jellyfish 0"."""
    found, words = result.detections, []
    for index, text in enumerate(result.prompts):
        scores = found.scores[found.prompt_index == index]
        best = f" (best {scores[0]:.2f})" if len(scores) else ""
        words.append(f"{_shown(text)} {len(scores)}{best}")
    return ", ".join(words)


def summary_lines(summary: Summary, written: Sequence[str]) -> list[str]:
    """Frames, objects and speed; the stages' times; where the files are."""
    frames = "1 frame" if summary.frames == 1 else f"{summary.frames} frames"
    lines = [f"{frames} at {summary.frames_per_s:.1f} frames/s; {_objects_text(summary)}"]
    if summary.median is not None:
        lines.append(f"median ms a frame: {_timing_text(summary.median)}")
    if written:
        lines.append(f"wrote {', '.join(written)}")
    return lines


def live_lines(summary: Summary, live: bool, unwritten: int) -> list[str]:
    lines = []
    if live and summary.age_ms is not None:
        dropped = "1 frame" if summary.dropped == 1 else f"{summary.dropped} frames"
        lines.append(f"median age of a result {summary.age_ms:.0f} ms; {dropped} dropped")
    if unwritten:
        lines.append(f"{unwritten} results were not written: an output is slower than the source")
    return lines


def _objects_text(summary: Summary) -> str:
    """An object stays for many frames: their mean says more than their sum."""
    if summary.frames <= 1:
        counts = [f"{_shown(text)} {count}" for text, count in summary.objects.items()]
        return f"objects found: {', '.join(counts)}"
    means = [f"{_shown(text)} {n / summary.frames:.1f}" for text, n in summary.objects.items()]
    return f"objects found a frame: {', '.join(means)}"


def _shown(text: str) -> str:
    """A terminal would obey control characters."""
    return text if text.isprintable() else repr(text)


def _timing_text(timing: Timing) -> str:
    return (
        f"preprocess {timing.preprocess_ms:.1f}, vision {timing.vision_ms:.1f}, decoder "
        f"{timing.decoder_ms:.1f}, postprocess {timing.postprocess_ms:.1f}, "
        f"total {timing.total_ms:.1f}"
    )


def _progress_bar() -> "Progress | None":
    """None where there is no terminal. rich is a quarter of what a start imports: here, or never."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        return None
    return Progress(
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
        console=console,
        transient=True,
    )

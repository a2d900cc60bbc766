"""Does a long run keep its memory? Resident memory, open files and threads while frames go by.

    python benchmarks/memory.py [--frames 10000] [--fast] [--quick]

The real pipeline with the default bundle, JSON lines to the null file and a run's own tally; first
on rendered pictures in turn, then on a video file of as many frames, 10,000 at most. --fast: the
engine's answers are played back, so that many more frames go through everything else.
Growth counts from frame 500, when pools, caches and the allocator have settled.
"""

import gc
import os
import re
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import click
import cv2
import numpy as np
from claim_table import Claim, machine_text, open_console, print_claims
from numpy.typing import NDArray
from rendered_video import write_video
from rich.console import Console
from rich.table import Table

from sam3_edge.bench.request import make_request
from sam3_edge.bench.source import SyntheticSource, render_pictures
from sam3_edge.engines.backend import Backend, Pending, PromptBatch, RawOutput, TextFeatures
from sam3_edge.engines.bundle import default_bundle_path
from sam3_edge.engines.load import load_backend, open_bundle
from sam3_edge.errors import EngineError, Sam3EdgeError
from sam3_edge.runtime.capture import Capture
from sam3_edge.runtime.one_frame import Request
from sam3_edge.runtime.pipeline import deliver, detect
from sam3_edge.runtime.preprocess import preprocess
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.sinks.jsonl import JsonlSink
from sam3_edge.runtime.sources import Source
from sam3_edge.runtime.sources.video import VideoSource
from sam3_edge.runtime.tally import Tally

FRAMES, FAST_FRAMES, QUICK_FRAMES = 10_000, 100_000, 60
SETTLED, EVERY, QUICK_SETTLED, QUICK_EVERY = 500, 1000, 20, 20
MOST_VIDEO_FRAMES = 10_000  # 90 MB
GROWTH_MB, RSS_MB = 5, 350
PROMPTS = ("fish", "jellyfish", "starfish")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """frame: how many results there were. rss_mb: MiB. files: open descriptors."""

    frame: int
    rss_mb: float
    files: int
    threads: int
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class _Answer:
    output: RawOutput

    def result(self) -> RawOutput:
        return self.output


class PlayedBack:
    """A backend that gives recorded answers in turn, at once, and remembers nothing."""

    def __init__(self, answers: tuple[RawOutput, ...], image_size: int) -> None:
        self._answers = answers
        self._slots = [np.zeros((image_size, image_size, 3), np.uint8) for _ in range(2)]
        self._count = 0

    @property
    def num_slots(self) -> int:
        return len(self._slots)

    def image_slot(self, slot: int) -> NDArray[np.uint8]:
        return self._slots[slot]

    def submit(self, slot: int, prompts: PromptBatch) -> Pending:
        del slot, prompts
        self._count += 1
        return _Answer(self._answers[self._count % len(self._answers)])

    def encode_text(self, token_ids: NDArray[np.int64]) -> TextFeatures:
        del token_ids
        raise EngineError("expected no text to encode, got some; the prompts are encoded before")

    def close(self) -> None:
        pass


@click.command()
@click.option("--frames", type=click.IntRange(min=1), help=f"[default: {FRAMES}]")
@click.option("--fast", is_flag=True, help=f"Recorded answers.  [default frames: {FAST_FRAMES}]")
@click.option("--quick", is_flag=True, help="Few frames: to see that it runs.")
def main(frames: int | None, fast: bool, quick: bool) -> None:
    frames = frames or (QUICK_FRAMES if quick else FAST_FRAMES if fast else FRAMES)
    settled, every = (QUICK_SETTLED, QUICK_EVERY) if quick else (SETTLED, EVERY)
    if frames <= settled:
        raise click.UsageError(f"expected more than {settled} --frames, got {frames}")
    cv2.setNumThreads(1)  # as `run` does
    console = open_console()
    engine = "recorded answers" if fast else "default bundle"
    console.print(f"{machine_text()}; {engine}, {frames} frames of each source", soft_wrap=True)
    marks = frozenset({settled, *range(every, frames + 1, every)})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        backend, request = _engine(stack, folder / "cache", fast=fast)
        video = write_video(folder / "video.mp4", min(frames, MOST_VIDEO_FRAMES))
        sources: dict[str, Callable[[], Source]] = {
            "pictures": lambda: SyntheticSource(render_pictures(1280, 720)),
            "video file": lambda: VideoSource(video),
        }
        claims = []
        for name, open_one in sources.items():
            samples = _watch(open_one(), backend, request, frames, marks)
            _print(console, name, samples)
            claims += _claims(name, [each for each in samples if each.frame >= settled])
    print_claims(console, claims, quick=quick)


def _engine(stack: ExitStack, cache: Path, *, fast: bool) -> tuple[Backend, Request]:
    bundle = open_bundle(default_bundle_path())
    backend = load_backend(bundle)
    request = make_request(
        PROMPTS, len(PROMPTS), bundle=bundle, backend=backend, text_cache=cache, warn=print
    )
    if not fast:
        return stack.enter_context(closing(backend)), request
    answers = []
    with closing(backend):
        for picture in render_pictures(1280, 720):
            preprocess(picture, backend.image_slot(0))
            answers.append(backend.submit(0, request.batch).result())
    return PlayedBack(tuple(answers), bundle.manifest.model.image_size), request


def _watch(
    source: Source, backend: Backend, request: Request, frames: int, marks: frozenset[int]
) -> list[Sample]:
    """At the frames of `marks`, of `frames` or as many as the source has."""
    samples: list[Sample] = []
    tally = Tally(request.texts)
    started, count = perf_counter(), 0

    def on_result(result: FrameResult) -> None:
        nonlocal count
        tally.add(result)
        count += 1
        if count in marks:
            samples.append(_sample(count, perf_counter() - started))

    gc.collect()
    with closing(Capture(source, limit=frames)) as capture:
        deliver(detect(capture, backend, request), [JsonlSink(os.devnull)], on_result)
    return samples


def _sample(frame: int, elapsed_s: float) -> Sample:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError as error:
        raise EngineError(
            f"expected /proc/self/status, got none on {os.name}: needs Linux"
        ) from error
    rss, threads = (
        re.search(rf"^{key}:\s+(\d+)", status, re.MULTILINE) for key in ("VmRSS", "Threads")
    )
    assert rss is not None
    assert threads is not None
    return Sample(
        frame=frame,
        rss_mb=int(rss[1]) / 1024,
        files=len(list(Path("/proc/self/fd").iterdir())),
        threads=int(threads[1]),
        elapsed_s=elapsed_s,
    )


def _print(console: Console, name: str, samples: list[Sample]) -> None:
    table = Table(name, box=None, header_style="bold")
    for column in ("resident MB", "open files", "threads", "frames/s so far"):
        table.add_column(column, justify="right")
    for each in samples:
        rate = f"{each.frame / each.elapsed_s:.1f}"
        table.add_row(
            str(each.frame), f"{each.rss_mb:.1f}", str(each.files), str(each.threads), rate
        )
    console.print(table)


def _claims(name: str, samples: list[Sample]) -> list[Claim]:
    """samples: from when all had settled. The most of any of them counts, not the last."""
    first = samples[0]
    after = f"since frame {first.frame}"
    return [
        Claim(
            name=f"{name}: growth of resident memory {after}",
            figure=max(each.rss_mb for each in samples) - first.rss_mb,
            unit="MB",
            limit=GROWTH_MB,
        ),
        Claim(
            name=f"{name}: resident memory at the end",
            figure=samples[-1].rss_mb,
            unit="MB",
            limit=RSS_MB,
        ),
        Claim(
            name=f"{name}: open files more {after}",
            figure=max(each.files for each in samples) - first.files,
            unit="",
            limit=0,
        ),
        Claim(
            name=f"{name}: threads more {after}",
            figure=max(each.threads for each in samples) - first.threads,
            unit="",
            limit=0,
        ),
    ]


if __name__ == "__main__":
    try:
        main()
    except Sam3EdgeError as error:
        raise SystemExit(f"memory: error: {error}") from error

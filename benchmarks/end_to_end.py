"""A video file through the default bundle, as `sam3-edge run` does it: what is spent around the engine.

    python benchmarks/end_to_end.py [--quick]

A 1280x720 MPEG-4 file of the demo's scene, three prompts, JSON lines with masks to a file. Processor
time of all threads, as `sam3-edge bench` counts it: the engine's, the decoding of the file (the
capture thread and FFmpeg's), and all else, which is the claim's. In a second run a clock of its
thread stands around each step of that rest, with what the clock itself takes; what no step has is
the threads, their hand-overs and the loops. The floor: memcpy of each frame once and of each JSON
line, what reading a frame and writing its result take at least.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from statistics import median
from time import perf_counter, thread_time_ns
from unittest.mock import patch

import click
import cv2
import numpy as np
from claim_table import Claim, machine_text, open_console, print_claims
from default_model import load_default
from rendered_video import write_video
from rich.table import Table

from sam3_edge.bench.engine import measure_engine
from sam3_edge.bench.figures import Figures
from sam3_edge.bench.load import Loaded
from sam3_edge.bench.plan import Configuration
from sam3_edge.bench.run import measure_pipeline
from sam3_edge.bench.window import Window
from sam3_edge.errors import EngineError, Sam3EdgeError
from sam3_edge.runtime.pipeline import never
from sam3_edge.runtime.sinks.jsonl import JsonlSink

OUTSIDE_MS = 6
PROMPTS = ("fish", "jellyfish", "starfish")
WIDTH, HEIGHT = 1280, 720
FRAMES, QUICK_FRAMES, WARM_UP, QUICK_WARM_UP = 600, 12, 50, 3
# What is left of a file when the window is over: the pipeline is full until the last one.
SPARE = 4
# Where those who call a step find it. Each is called on one thread only.
STEPS = {
    "resize (preprocess)": "sam3_edge.runtime._kernels.preprocess",
    "scores and boxes (decode_outputs)": "sam3_edge.runtime._kernels.decode_outputs",
    "masks to RLE": "sam3_edge.runtime.postprocess.logits_to_rle",
    "the rest of postprocess": "sam3_edge.runtime.one_frame.postprocess",
    "JSON line": "sam3_edge.runtime.sinks.jsonl.json_line",
    "writing the line": "sam3_edge.runtime.sinks.jsonl.JsonlSink._write",
}
INSIDE_POSTPROCESS = ("scores and boxes (decode_outputs)", "masks to RLE")


@click.command()
@click.option("--quick", is_flag=True, help="Few frames: to see that it runs.")
def main(quick: bool) -> None:
    frames, warm_up = (QUICK_FRAMES, QUICK_WARM_UP) if quick else (FRAMES, WARM_UP)
    cv2.setNumThreads(1)  # as `run` does
    console = open_console()
    console.print(
        f"{machine_text()}; default bundle, {frames} frames after {warm_up} of warm-up",
        soft_wrap=True,
    )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        video = write_video(folder / "video.mp4", warm_up + frames + SPARE, WIDTH, HEIGHT)
        loaded = stack.enter_context(load_default(folder / "cache", *PROMPTS))
        run = partial(_run, loaded, video, folder / "results.jsonl", warm_up, frames)
        before = _engine_fps(loaded, warm_up, frames // 2)
        whole = run()
        after = _engine_fps(loaded, warm_up, frames // 2)
        lines = (folder / "results.jsonl").read_bytes().splitlines(keepends=True)
        with _clocks() as spent_ns:
            timed = run()
    steps = _steps(spent_ns, timed, warm_up + frames)
    console.print(_table(steps))
    objects = sum(line.count(b'"track_id"') for line in lines) / len(lines)
    console.print(f"{objects:.1f} objects with masks a frame; JSON lines of {_mean_bytes(lines)} B")
    floor_ms = _copy_ms(WIDTH * HEIGHT * 3 + _mean_bytes(lines))
    print_claims(console, _claims(whole, (before + after) / 2, steps, floor_ms), quick=quick)


def _run(loaded: Loaded, video: Path, results: Path, warm_up: int, frames: int) -> Figures:
    configuration = Configuration(
        bundle="", source=str(video), size=(WIDTH, HEIGHT), fps=None, num_prompts=3, threads=None
    )
    return measure_pipeline(
        configuration,
        loaded,
        _window(loaded, warm_up, frames),
        pictures=(),
        sink=JsonlSink(str(results)),
        should_stop=never,
    ).figures


def _engine_fps(loaded: Loaded, warm_up: int, frames: int) -> float:
    """Measured before and after the rest: a machine's speed is not the same for long."""
    return measure_engine(loaded, _window(loaded, warm_up, frames), never).throughput_fps


def _window(loaded: Loaded, warm_up: int, frames: int) -> Window:
    return Window(
        warm_up=warm_up,
        frames=frames,
        owners=loaded.owners,
        calls_ns=lambda: loaded.backend.calls_ns,
        power=None,
    )


@contextmanager
def _clocks() -> Iterator[dict[str, int]]:
    """Nanoseconds of processor time by step, over all frames, the warm-up's too."""
    spent_ns = dict.fromkeys(STEPS, 0)
    with ExitStack() as stack:
        for name, place in STEPS.items():
            stack.enter_context(patch(place, _clocked(resolve_name(place), name, spent_ns)))
        yield spent_ns


def _clocked(
    work: Callable[..., object], name: str, spent_ns: dict[str, int]
) -> Callable[..., object]:
    def clocked(*arguments: object, **named: object) -> object:
        started = thread_time_ns()
        try:
            return work(*arguments, **named)
        finally:
            spent_ns[name] += thread_time_ns() - started

    return clocked


def _steps(spent_ns: dict[str, int], timed: Figures, frames: int) -> dict[str, float]:
    """Milliseconds a frame, the dearest first."""
    steps = {name: ns / 1e6 / frames for name, ns in spent_ns.items()}
    steps["the rest of postprocess"] -= sum(steps[name] for name in INSIDE_POSTPROCESS)
    steps["threads, hand-overs, loops"] = _outside(timed) - sum(steps.values())
    return dict(sorted(steps.items(), key=lambda step: -step[1]))


def _table(steps: dict[str, float]) -> Table:
    table = Table("step around the engine", box=None, header_style="bold")
    table.add_column("processor ms a frame", justify="right")
    for name, ms in steps.items():
        table.add_row(name, f"{ms:.3f}")
    return table


def _claims(
    whole: Figures, engine_fps: float, steps: dict[str, float], floor_ms: float
) -> list[Claim]:
    dearest = next(iter(steps))
    cpu = whole.cpu_ms_per_frame
    assert cpu.engine is not None
    assert cpu.source is not None
    return [
        Claim(
            name="processor time outside engine and decoding",
            figure=_outside(whole),
            unit="ms a frame",
            limit=OUTSIDE_MS,
            floor=f"{floor_ms:.2f} ms, memcpy of frame and line",
        ),
        Claim(name=f"the largest part of it: {dearest}", figure=steps[dearest], unit="ms a frame"),
        Claim(name="processor time of the engine", figure=cpu.engine, unit="ms a frame"),
        Claim(name="processor time of decoding the file", figure=cpu.source, unit="ms a frame"),
        Claim(name="end to end", figure=whole.throughput_fps, unit="frames/s"),
        Claim(name="the engine alone", figure=engine_fps, unit="frames/s"),
        Claim(
            name="end to end over the engine alone",
            figure=whole.throughput_fps / engine_fps,
            unit="",
        ),
    ]


def _outside(figures: Figures) -> float:
    outside = figures.cpu_ms_per_frame.outside
    if outside is None:
        raise EngineError(f"expected clocks of threads, got none on {os.name}; this needs Linux")
    return outside


def _mean_bytes(lines: list[bytes]) -> int:
    return sum(map(len, lines)) // len(lines)


def _copy_ms(num_bytes: int) -> float:
    """Of buffers that fit no cache together."""
    source = np.ones((16, num_bytes), np.uint8)
    target = np.empty_like(source)
    times = []
    for number in range(64):
        started = perf_counter()
        np.copyto(target[number % 16], source[number % 16])
        times.append((perf_counter() - started) * 1e3)
    return median(times[16:])


if __name__ == "__main__":
    try:
        main()
    except Sam3EdgeError as error:
        raise SystemExit(f"end_to_end: error: {error}") from error

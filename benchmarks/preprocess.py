"""Preprocessing on one core: ours, Pillow's, OpenCV's and NumPy's, medians of one run.

    python benchmarks/preprocess.py [--quick]

Frames take turns and together are larger than most caches, as a camera's are. The floor is the time
in which memcpy reads as many bytes as the frame has. OpenCV's INTER_AREA is another filter (an
average over boxes): it is here for its speed. NumPy is the tests' twin of the kernel.
"""

import os
import runpy
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import click
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from sam3_edge.runtime.preprocess import PixelFormat, layout_of, preprocess, preprocess_frame

CASES = ((1080, 1920, 252), (720, 1280, 336))
FORMATS: tuple[PixelFormat, ...] = ("BGRx", "NV12", "I420", "YUY2")
NUM_FRAMES = 8
COPIED_BYTES = 64 << 20
TWIN = Path(__file__).parents[1] / "tests/runtime/preprocess_twin.py"
resize_twin = runpy.run_path(str(TWIN))["resize_twin"]

Way = Callable[[int], object]  # of the number of the frame


@click.command()
@click.option("--quick", is_flag=True, help="Few rounds: to see that it runs.")
def main(quick: bool) -> None:
    rounds = 5 if quick else 100
    cv2.setNumThreads(1)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    console = Console(highlight=False)
    bandwidth = _copy_bandwidth(rounds)
    console.print(f"one core, median of {rounds} rounds, memcpy reads {bandwidth / 1e9:.1f} GB/s")
    for height, width, side in CASES:
        frames = np.random.default_rng(1).integers(
            0, 256, (NUM_FRAMES, height, width, 4), dtype=np.uint8
        )
        ways = {**_of_bgr(frames[..., :3].copy(), side), **_of_formats(frames, side)}
        read: dict[str, int] = {name: layout_of(name, height, width).num_bytes for name in FORMATS}
        _show(console, (height, width, side), _medians(ways, rounds), read, bandwidth)


def _of_bgr(frames: NDArray[np.uint8], side: int) -> dict[str, Way]:
    out = np.empty((side, side, 3), np.uint8)
    pictures = [Image.fromarray(frame) for frame in frames]

    def area(k: int) -> None:
        small = cv2.resize(frames[k], (side, side), interpolation=cv2.INTER_AREA)
        cv2.cvtColor(small, cv2.COLOR_BGR2RGB, dst=out)

    def twin(k: int) -> None:
        out[...] = (resize_twin(frames[k], side) + np.float32(0.5)).astype(np.uint8)[..., ::-1]

    return {
        "BGR": lambda k: preprocess(frames[k], out),
        "Pillow": lambda k: pictures[k].resize((side, side), Image.Resampling.BILINEAR),
        "OpenCV INTER_AREA": area,
        "NumPy": twin,
    }


def _of_formats(frames: NDArray[np.uint8], side: int) -> dict[str, Way]:
    """Ours, of the other formats: the same noise, cut to the bytes that each has."""
    _, height, width, _ = frames.shape
    out = np.empty((side, side, 3), np.uint8)
    buffers = frames.reshape(len(frames), -1)

    def way(name: PixelFormat) -> Way:
        layout = layout_of(name, height, width)
        return lambda k: preprocess_frame(buffers[k], layout, out)

    return {name: way(name) for name in FORMATS}


def _medians(ways: dict[str, Way], rounds: int) -> dict[str, float]:
    """Milliseconds. The ways take turns, so that all meet the same machine."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way(0)
    for number in range(rounds):
        for name, way in ways.items():
            started = perf_counter()
            way(number % NUM_FRAMES)
            times[name].append((perf_counter() - started) * 1e3)
    return {name: median(values) for name, values in times.items()}


def _copy_bandwidth(rounds: int) -> float:
    """Bytes a second that are read while as many are written, from memory and not from a cache."""
    source, target = (np.ones(COPIED_BYTES, np.uint8) for _ in range(2))
    times = []
    for _ in range(rounds):
        started = perf_counter()
        np.copyto(target, source)
        times.append(perf_counter() - started)
    return COPIED_BYTES / median(times)


def _show(
    console: Console,
    case: tuple[int, int, int],
    medians: dict[str, float],
    read: dict[str, int],
    bandwidth: float,
) -> None:
    height, width, side = case
    table = Table(box=None, header_style="bold", title=f"{width} x {height} to {side} px")
    table.add_column("")
    for name in ("ms", "of ours, BGR", "floor ms", "of the floor"):
        table.add_column(name, justify="right")
    for name, ms in medians.items():
        floor = read.get(name, height * width * 3) / bandwidth * 1e3
        ratio = f"{ms / medians['BGR']:.2f}"
        label = f"ours, {name}" if name == "BGR" or name in read else name
        table.add_row(label, f"{ms:.3f}", ratio, f"{floor:.3f}", f"{ms / floor:.1f}")
    console.print(table)


if __name__ == "__main__":
    main()

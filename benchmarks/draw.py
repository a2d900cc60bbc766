"""20 masks blended into a 720p frame on one core: ours, and what people use.

    python benchmarks/draw.py [--quick]

The NumPy way is what is written most often: for each mask, on the whole frame,
`frame[mask] = frame[mask] * (1 - a) + colour * a`. Beside it: `np.where` over the whole frame,
OpenCV's addWeighted with copyTo, and supervision's MaskAnnotator where it can be imported
(`pip install supervision`); that one blends once, so of masks that overlap one shows. Its
CompactMask is what it has for windows. The same masks in each: bool (N, H, W), or windows of them.
Below: tint and outlines of 2 pixels; OpenCV's are the contours that it finds and draws.

Medians; the ways take turns, frames too. The floor is the time to read the masks once, and the
pixels they cover once while as many are written, at the speed this machine copies large arrays;
masks that just came out of the engine, as these, may lie in a cache, and then less is possible.
--quick: few rounds, for CI. Pixels that differ by more than rounding are an error in both.
"""

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from types import ModuleType

import click
import cv2
import numpy as np
from claim_table import Claim, machine_text, open_console, print_claims
from numpy.typing import NDArray
from rich.table import Table

from sam3_edge.runtime import _kernels
from sam3_edge.runtime.draw import PALETTE

HEIGHT, WIDTH = 720, 1280
NUM_MASKS = 20
NUM_FRAMES = 8
STRENGTH = 0.4
OUTLINE_PX = 2
MOST_OF_NUMPY = 1 / 30
MOST_OF_SUPERVISION = 1 / 4
COPIED_BYTES = 1 << 26

Picture = NDArray[np.uint8]
Window = tuple[NDArray[np.bool_], int, int, tuple[int, int, int]]
Way = Callable[[Picture], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """masks: (N, H, W) bool. boxes: (N, 4) float32 xyxy. windows: the same masks in their boxes."""

    name: str
    masks: NDArray[np.bool_]
    boxes: NDArray[np.float32]
    windows: tuple[Window, ...]


@click.command()
@click.option("--quick", is_flag=True, help="Few rounds: does it run, and is it right?")
def main(quick: bool) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    rounds = 2 if quick else 15
    speed = _bytes_per_s(rounds)
    console = open_console()
    console.print(machine_text())
    console.print(
        f"{NUM_MASKS} masks, {WIDTH} x {HEIGHT}, one core, copying {speed / 1e9:.1f} GB/s"
    )
    shape = (NUM_FRAMES, HEIGHT, WIDTH, 3)
    frames = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    claims: list[Claim] = []
    for case in (_case("boxes of 10 %", 0.1), _case("whole frames", 1.0)):
        _check_pixels(case, frames[0])
        floors = _floors_ms(case, speed)
        tinted = _medians_ms(_tints(case), frames.copy(), rounds)
        console.print(_table(f"{case.name}, tint", tinted, floors))
        outlined = _medians_ms(_outlines(case), frames.copy(), rounds)
        console.print(_table(f"{case.name}, tint and outlines", outlined, floors))
        claims += _claims(case, tinted)
    print_claims(console, claims, quick=quick)


# ------------------------------ what is drawn ------------------------------


def _case(name: str, share: float) -> Case:
    """Objects that fill boxes of that share of the frame, somewhere in it."""
    rng = np.random.default_rng(0)
    height, width = round(HEIGHT * share**0.5), round(WIDTH * share**0.5)
    bits = _object(height, width)
    masks = np.zeros((NUM_MASKS, HEIGHT, WIDTH), np.bool_)
    corners = [
        (int(rng.integers(0, WIDTH - width + 1)), int(rng.integers(0, HEIGHT - height + 1)))
        for _ in range(NUM_MASKS)
    ]
    windows: list[Window] = []
    for k, (x, y) in enumerate(corners):
        masks[k, y : y + height, x : x + width] = bits
        windows.append((bits.copy(), x, y, PALETTE[k % len(PALETTE)]))
    boxes = np.array([(x, y, x + width, y + height) for x, y in corners], np.float32)
    return Case(name=name, masks=masks, boxes=boxes, windows=tuple(windows))


def _object(height: int, width: int) -> NDArray[np.bool_]:
    """A disc with a wavy rim that touches its box: two thirds of it are set."""
    y, x = (np.indices((height, width)) + 0.5) / np.array([height, width])[:, None, None] - 0.5
    inside: NDArray[np.bool_] = np.hypot(x, y) < 0.47 * (1 + 0.06 * np.sin(7 * np.arctan2(y, x)))
    return inside


# ------------------------------ the ways ------------------------------


def _paint(frame: Picture, masks: tuple[Window, ...], outline_px: float = 0.0) -> None:
    plane = frame.reshape(HEIGHT, WIDTH * 3)
    _kernels.paint_masks((plane,), "BGR", HEIGHT, WIDTH, masks, STRENGTH, outline_px)


def _whole_masks(case: Case) -> tuple[Window, ...]:
    return tuple((case.masks[k], 0, 0, case.windows[k][3]) for k in range(NUM_MASKS))


def _index(case: Case, frame: Picture) -> None:
    for mask, window in zip(case.masks, case.windows, strict=True):
        frame[mask] = frame[mask] * (1 - STRENGTH) + np.array(window[3]) * STRENGTH


def _where(case: Case, frame: Picture) -> None:
    for mask, window in zip(case.masks, case.windows, strict=True):
        blended = frame * (1 - STRENGTH) + np.array(window[3]) * STRENGTH
        frame[...] = np.where(mask[..., None], blended, frame)


def _opencv(case: Case, frame: Picture) -> None:
    tint = np.empty_like(frame)
    for mask, window in zip(case.masks, case.windows, strict=True):
        tint[:] = window[3]
        blended = cv2.addWeighted(frame, 1 - STRENGTH, tint, STRENGTH, 0)
        cv2.copyTo(blended, mask.view(np.uint8), frame)


def _opencv_windows(case: Case, frame: Picture, outline_px: int = 0) -> None:
    """Each mask in its window only: the best that OpenCV alone can do."""
    for bits, x, y, colour in case.windows:
        height, width = bits.shape
        window = frame[y : y + height, x : x + width]
        tint = np.empty_like(window)
        tint[:] = colour
        blended = cv2.addWeighted(window, 1 - STRENGTH, tint, STRENGTH, 0)
        cv2.copyTo(blended, bits.view(np.uint8), window)
        if outline_px:
            padded = np.pad(bits.view(np.uint8), 1)
            contours, _ = cv2.findContours(
                padded, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(x - 1, y - 1)
            )
            cv2.drawContours(frame, contours, -1, colour, outline_px)


def _supervision(case: Case) -> dict[str, Way]:
    """Both ways of handing it masks, as far as they are installed."""
    try:
        library: ModuleType = importlib.import_module("supervision")
    except ImportError:
        return {}
    colours = [library.Color(r=red, g=green, b=blue) for blue, green, red in PALETTE]
    annotator = library.MaskAnnotator(color=library.ColorPalette(colors=colours), opacity=STRENGTH)

    def way(masks: object) -> Way:
        detections = library.Detections(
            xyxy=case.boxes, mask=masks, class_id=np.arange(NUM_MASKS) % len(PALETTE)
        )
        return lambda frame: annotator.annotate(scene=frame, detections=detections)

    ways = {"supervision": way(case.masks)}
    if hasattr(library, "CompactMask"):
        last = case.boxes - np.array([0, 0, 1, 1], np.float32)  # boxes there hold their last pixel
        compact = library.CompactMask.from_dense(case.masks, last, (HEIGHT, WIDTH))
        ways["supervision, CompactMask"] = way(compact)
    return ways


def _check_pixels(case: Case, frame: Picture) -> None:
    """Within 2 of floating point a mask: each rounds, and opacity counts in 1/256."""
    ours, theirs, exact = frame.copy(), frame.copy(), frame.astype(np.float64)
    _paint(ours, case.windows)
    _paint(theirs, _whole_masks(case))
    for mask, window in zip(case.masks, case.windows, strict=True):
        exact[mask] = exact[mask] * (1 - STRENGTH) + np.array(window[3]) * STRENGTH
    away = float(np.abs(ours - exact).max())
    if away > 2 or not np.array_equal(ours, theirs):
        raise SystemExit(
            f"draw: error: expected pixels within 2 of floating point, got {away:.1f}, and windows "
            f"and whole masks {'equal' if np.array_equal(ours, theirs) else 'different'}"
        )


# ------------------------------ time ------------------------------


def _tints(case: Case) -> dict[str, Way]:
    whole = _whole_masks(case)
    return {
        "ours, windows": lambda out: _paint(out, case.windows),
        "ours, whole masks": lambda out: _paint(out, whole),
        "NumPy, boolean index": lambda out: _index(case, out),
        "NumPy, where": lambda out: _where(case, out),
        "OpenCV, windows": lambda out: _opencv_windows(case, out),
        "OpenCV, whole masks": lambda out: _opencv(case, out),
        **_supervision(case),
    }


def _outlines(case: Case) -> dict[str, Way]:
    return {
        "ours, windows": lambda out: _paint(out, case.windows, OUTLINE_PX),
        "OpenCV, windows": lambda out: _opencv_windows(case, out, OUTLINE_PX),
    }


def _medians_ms(ways: dict[str, Way], frames: NDArray[np.uint8], rounds: int) -> dict[str, float]:
    """Painted over and over: no way depends on what is in the frame."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            frame = frames[number % NUM_FRAMES]
            started = perf_counter()
            way(frame)
            times[name].append((perf_counter() - started) * 1e3)
    return {name: median(values[1:]) for name, values in times.items()}


def _floors_ms(case: Case, speed: float) -> dict[bool, float]:
    """Of whole masks and of windows."""
    covered = 3 * int(np.count_nonzero(case.masks.any(0)))
    in_windows = sum(window[0].nbytes for window in case.windows)
    return {
        True: (case.masks.nbytes + covered) / speed * 1e3,
        False: (in_windows + covered) / speed * 1e3,
    }


def _table(title: str, medians: dict[str, float], floors: dict[bool, float]) -> Table:
    table = Table("", title=title, title_justify="left", box=None, header_style="bold")
    for name in ("ms", "of ours", "floor ms"):
        table.add_column(name, justify="right")
    for name, ms in medians.items():
        floor = floors["windows" not in name and "Compact" not in name]
        table.add_row(name, f"{ms:.2f}", f"{ms / medians['ours, windows']:.1f}x", f"{floor:.2f}")
    if "supervision" not in medians and "NumPy, where" in medians:
        table.add_row("supervision", "not installed")
    return table


def _claims(case: Case, medians: dict[str, float]) -> list[Claim]:
    """Of the same arrays, and of the windows that the engine gives."""
    limits = {"NumPy, boolean index": MOST_OF_NUMPY, "supervision": MOST_OF_SUPERVISION}
    return [
        Claim(
            name=f"{case.name}: {ours}, of {theirs}",
            figure=100 * medians[ours] / medians[theirs],
            unit="%",
            limit=round(100 * limit, 1),
        )
        for theirs, limit in limits.items()
        if theirs in medians
        for ours in ("ours, windows", "ours, whole masks")
    ]


def _bytes_per_s(rounds: int) -> float:
    """Of a copy that fits no cache, each byte counted once."""
    source = np.ones(COPIED_BYTES, np.uint8)
    target = np.empty_like(source)
    times = []
    for _ in range(rounds):
        started = perf_counter()
        np.copyto(target, source)
        times.append(perf_counter() - started)
    return COPIED_BYTES / median(times)


if __name__ == "__main__":
    main()

"""Mask logits -> COCO RLE on one core: ours, what people use, and what memory alone would take.

    python benchmarks/masks.py [--quick]

Theirs is OpenCV's bilinear resize, a threshold and pycocotools' encode; where masks are cropped to
boxes theirs interpolates only inside the box as well. Medians of the time for all masks of a frame.
The floor is the time to read the logits and write the text or the bits once, at the speed this
machine copies large arrays. --quick: few rounds, for CI; pixels that differ are an error in both.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import click
import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco
from rich.console import Console
from rich.table import Table

from sam3_edge.errors import Sam3EdgeError
from sam3_edge.runtime.masks import logits_to_mask, logits_to_rle
from sam3_edge.runtime.rle import decode_rle, encode_rle

SIZE = (720, 1280)
NUM_MASKS = 20
BOX_SHARE = 0.1  # of the frame
MOST_DIFFERENT = 1e-3  # of the pixels inside: OpenCV interpolates with other roundings
COPIED_BYTES = 1 << 26

Logits = NDArray[np.float32]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """logits: N times (h, w). boxes: N, or None each: the whole frame."""

    name: str
    logits: list[Logits]
    boxes: list[Box | None]


@click.command()
@click.option("--quick", is_flag=True, help="Few rounds: does it run, and is it right?")
def main(quick: bool) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    rounds = 3 if quick else 30
    speed = _bytes_per_s(rounds)
    console = Console(highlight=False)
    console.print(
        f"{NUM_MASKS} masks, {SIZE[1]} x {SIZE[0]}, one core, copying {speed / 1e9:.1f} GB/s"
    )
    table = Table("logits", "masks", "step", box=None, header_style="bold")
    for name in ("ours ms", "theirs ms", "ratio", "floor ms"):
        table.add_column(name, justify="right")
    for side in (72, 84):
        for case in (_whole_frames(side), _boxes(side)):
            _check_pixels(case)
            for row in _rows(case, rounds, speed):
                table.add_row(f"{side} x {side}", case.name, *row)
    console.print(table)


# ------------------------------ what is measured ------------------------------


def _whole_frames(side: int) -> Case:
    logits = [_object(side, seed, (0.5, 0.5), 0.4) for seed in range(NUM_MASKS)]
    return Case(name="whole frame", logits=logits, boxes=[None] * NUM_MASKS)


def _boxes(side: int) -> Case:
    """Boxes of a tenth of the frame, each with an object that fills it."""
    rng = np.random.default_rng(0)
    half = BOX_SHARE**0.5 / 2
    logits: list[Logits] = []
    boxes: list[Box | None] = []
    for seed in range(NUM_MASKS):
        x, y = rng.uniform(half, 1 - half, 2)
        logits.append(_object(side, seed, (x, y), half))
        edges = (
            (x - half) * SIZE[1],
            (y - half) * SIZE[0],
            (x + half) * SIZE[1],
            (y + half) * SIZE[0],
        )
        boxes.append(edges)
    return Case(name="box of 10 %", logits=logits, boxes=boxes)


def _object(side: int, seed: int, centre: tuple[float, float], radius: float) -> Logits:
    """A disc with a wavy, noisy rim. centre (x, y) and radius are fractions of the side."""
    rng = np.random.default_rng(seed)
    y, x = (np.indices((side, side)) + 0.5) / side
    away = np.hypot(x - centre[0], y - centre[1])
    angle = np.arctan2(y - centre[1], x - centre[0])
    rim = radius * (0.9 + 0.15 * np.sin(rng.integers(3, 9) * angle + seed))
    logits = (rim - away) * 60 + rng.normal(0, 0.5, (side, side))
    as_float: Logits = logits.astype(np.float32)
    return as_float


def _rows(case: Case, rounds: int, speed: float) -> list[tuple[str, ...]]:
    pairs = list(zip(case.logits, case.boxes, strict=True))
    masks = [logits_to_mask(one, SIZE, box) for one, box in pairs]
    bits = [_their_bits(one, box) for one, box in pairs]
    num_read = sum(one.nbytes for one in case.logits)
    num_text = sum(len(logits_to_rle(one, SIZE, box)) for one, box in pairs)
    num_bits = sum(mask.bits.nbytes for mask in masks)

    def our_encoding() -> list[str]:
        return [encode_rle(mask.bits, size=SIZE, origin=mask.origin) for mask in masks]

    steps: list[tuple[str, Callable[[], object], Callable[[], object], int]] = [
        ("logits to RLE", lambda: [logits_to_rle(one, SIZE, box) for one, box in pairs],
         lambda: [_their_text(_their_bits(one, box)) for one, box in pairs], num_read + num_text),
        ("logits to bits", lambda: [logits_to_mask(one, SIZE, box) for one, box in pairs],
         lambda: [_their_bits(one, box) for one, box in pairs], num_read + num_bits),
        ("bits to RLE", our_encoding,
         lambda: [_their_text(one) for one in bits], num_bits + num_text),
    ]  # fmt: skip
    rows: list[tuple[str, ...]] = []
    for name, our_step, their_step, num_bytes in steps:
        ours, theirs = _median_ms(our_step, rounds), _median_ms(their_step, rounds)
        times = (
            f"{ours:.2f}",
            f"{theirs:.2f}",
            f"{theirs / ours:.1f}x",
            f"{num_bytes / speed * 1e3:.3f}",
        )
        rows.append((name, *times))
    return rows


# ------------------------------ what people use ------------------------------


def _their_bits(logits: Logits, box: Box | None) -> NDArray[np.uint8]:
    """(H, W) uint8, C order."""
    height, width = SIZE
    if box is None:
        values = cv2.resize(logits, (width, height), interpolation=cv2.INTER_LINEAR)
        return (values > 0).view(np.uint8)
    x1, y1, x2, y2 = int(box[0]), int(box[1]), int(np.ceil(box[2])), int(np.ceil(box[3]))
    across, down = logits.shape[1] / width, logits.shape[0] / height
    inverse = np.array([[across, 0, (x1 + 0.5) * across - 0.5], [0, down, (y1 + 0.5) * down - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    values = cv2.warpAffine(
        logits, inverse, (x2 - x1, y2 - y1), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    bits = np.zeros(SIZE, np.uint8)
    bits[y1:y2, x1:x2] = values > 0
    return bits


def _their_text(bits: NDArray[np.uint8]) -> object:
    return coco.encode(np.asfortranarray(bits))


def _check_pixels(case: Case) -> None:
    for logits, box in zip(case.logits, case.boxes, strict=True):
        theirs = cv2.resize(logits, SIZE[::-1], interpolation=cv2.INTER_LINEAR) > 0
        if box is not None:
            x1, y1, x2, y2 = int(box[0]), int(box[1]), int(np.ceil(box[2])), int(np.ceil(box[3]))
            inside = np.zeros(SIZE, np.bool_)
            inside[y1:y2, x1:x2] = True
            theirs &= inside
        mask = logits_to_mask(logits, SIZE, box)
        different = float((mask.full() != theirs).mean())
        same_text = logits_to_rle(logits, SIZE, box) == encode_rle(mask.full())
        if different > MOST_DIFFERENT or not same_text:
            raise SystemExit(
                f"masks: error: expected at most {MOST_DIFFERENT:.1%} other pixels than OpenCV's "
                f"and the RLE of our own bits, got {different:.2%} and RLE "
                f"{'equal' if same_text else 'different'}"
            )
        decode_rle(SIZE, logits_to_rle(logits, SIZE, box))


# ------------------------------ time ------------------------------


def _median_ms(work: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds + 1):
        started = perf_counter()
        work()
        times.append((perf_counter() - started) * 1e3)
    return median(times[1:])


def _bytes_per_s(rounds: int) -> float:
    """Of a copy that fits no cache, each byte counted once."""
    source = np.ones(COPIED_BYTES, np.uint8)
    target = np.empty_like(source)
    return COPIED_BYTES / (_median_ms(lambda: np.copyto(target, source), rounds) / 1e3)


if __name__ == "__main__":
    try:
        main()
    except Sam3EdgeError as error:
        raise SystemExit(f"masks: error: {error}") from error

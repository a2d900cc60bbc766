"""`PYTHON curve_picture.py OUT.png`: the curve as a picture; series as JSON on standard input.

Run with the Python of a leg, since OpenCV is there. {"NAME": [[hours, value], ...], ...}
"""

import json
import sys
from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 960, 540, 80, 30, 30, 60
COLOURS = ((160, 80, 20), (30, 120, 220), (60, 150, 60), (140, 60, 140))  # BGR
_Point = tuple[int, int]


def draw_curve(series: dict[str, list[list[float]]]) -> NDArray[np.uint8]:
    """(HEIGHT, WIDTH, 3) uint8 BGR."""
    points = [point for one in series.values() for point in one]
    right = max((x for x, _ in points), default=0.0) or 1.0
    top = 1.1 * max((y for _, y in points), default=0.0) or 1.0
    canvas = np.full((HEIGHT, WIDTH, 3), 255, dtype=np.uint8)

    def place(x: float, y: float) -> _Point:
        inside = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        return LEFT + round(x / right * inside[0]), HEIGHT - BOTTOM - round(y / top * inside[1])

    for number in range(6):
        x, y = right * number / 5, top * number / 5
        _line(canvas, [place(0.0, y), place(right, y)], (225, 225, 225), 1)
        _text(canvas, f"{y:.3f}", (10, place(0.0, y)[1] + 5))
        _text(canvas, f"{x:.2f} h", (place(x, 0.0)[0] - 30, HEIGHT - BOTTOM + 22))
    for number, (name, one) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        _line(canvas, [place(x, y) for x, y in one], colour, 2)
        for x, y in one:
            cv2.circle(canvas, place(x, y), 3, colour, -1, cv2.LINE_AA)
        _text(canvas, name, (LEFT + 260 * number, HEIGHT - 12), colour)
    return canvas


def _line(
    canvas: NDArray[np.uint8], points: Sequence[_Point], colour: tuple[int, int, int], width: int
) -> None:
    for start, end in pairwise(points):
        cv2.line(canvas, start, end, colour, width, cv2.LINE_AA)


def _text(
    canvas: NDArray[np.uint8],
    text: str,
    at: _Point,
    colour: tuple[int, int, int] = (60, 60, 60),
) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)


if __name__ == "__main__":
    sys.exit(not cv2.imwrite(sys.argv[1], draw_curve(json.load(sys.stdin))))

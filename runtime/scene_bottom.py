"""Textures of the demo scene's bottom, and the smooth noise they are made of."""

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.runtime.scene_patterns import xy

Gray: TypeAlias = NDArray[np.float32]


def fractal(rng: np.random.Generator, width: int, height: int, *cells: int) -> Gray:
    """Noise in about 0..1 with one octave per entry of `cells`, each half as strong."""
    total = np.zeros((height, width), np.float32)
    for octave, count in enumerate(cells):
        grid = rng.random((count, count), dtype=np.float32) * 0.5**octave
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return total / np.float32(2 - 0.5 ** (len(cells) - 1))


def bottom_texture(
    rng: np.random.Generator, kind: str, width: int, height: int, overhead: bool
) -> Gray:
    """(height, width) brightness in 0..1; seen at a slant, or straight from above if `overhead`."""
    flat = _TEXTURES[kind](rng, width, height)
    flat += fractal(rng, width, height, 150) * np.float32(0.12) - np.float32(0.06)
    if not overhead:
        far = 0.3 * width
        corners = np.array([[-far, 0], [width + far, 0], [width, height], [0, height]], np.float32)
        screen = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        view = cv2.getPerspectiveTransform(corners, screen)
        size = (width, height)
        slanted = cv2.warpPerspective(flat, view, size, borderMode=cv2.BORDER_REFLECT_101)
        return np.asarray(np.clip(slanted, 0.0, 1.0), np.float32)
    return np.clip(flat, 0.0, 1.0)


def _sand(rng: np.random.Generator, width: int, height: int) -> Gray:
    return 0.25 + 0.5 * fractal(rng, width, height, 6, 40, 110)


def _mud(rng: np.random.Generator, width: int, height: int) -> Gray:
    return 0.1 + 0.7 * fractal(rng, width, height, 4, 9)


def _ripples(rng: np.random.Generator, width: int, height: int) -> Gray:
    bend = fractal(rng, width, height, 4, 9) * np.float32(rng.uniform(8, 16))
    rows = np.linspace(0, rng.uniform(50, 130), height, dtype=np.float32)[:, None]
    return 0.45 + 0.18 * np.sin(rows + bend) + 0.2 * (fractal(rng, width, height, 60) - 0.5)


def _dunes(rng: np.random.Generator, width: int, height: int) -> Gray:
    bend = fractal(rng, width, height, 5, 11) * np.float32(10)
    rows = np.linspace(0, rng.uniform(30, 60), height, dtype=np.float32)[:, None]
    columns = np.linspace(0, rng.uniform(30, 60), width, dtype=np.float32)[None, :]
    waves = np.abs(np.sin(rows + bend) * np.sin(columns - bend))
    return np.asarray(0.3 + 0.45 * waves, np.float32)


def _rock(rng: np.random.Generator, width: int, height: int) -> Gray:
    ridges = 1 - 2 * np.abs(fractal(rng, width, height, 7, 17, 37, 81) - 0.5)
    return np.asarray(np.clip(1.6 * ridges - 0.75, 0, 1) * 0.8, np.float32)


def _terraces(rng: np.random.Generator, width: int, height: int) -> Gray:
    level = 7 * fractal(rng, width, height, 5, 13, 41)
    return (np.floor(level) / 7 + 0.12 * (level % 1) - 0.1).astype(np.float32)


def _pebbles(rng: np.random.Generator, width: int, height: int) -> Gray:
    canvas = np.full((height, width), 40, np.uint8)
    for x, y, size, tone, flat in rng.random((170, 5)):
        centre = (int(x * width), int(y * height))
        reach = width * (0.008 + 0.03 * size)
        axes = (int(reach), int(reach * (0.5 + 0.4 * flat)))
        cv2.ellipse(canvas, centre, axes, 60 * flat, 0, 360, 50 + 90 * tone, -1)
        lit = (centre[0], centre[1] - axes[1] // 3)
        cv2.ellipse(
            canvas, lit, (axes[0] // 2, axes[1] // 2), 60 * flat, 0, 360, 75 + 100 * tone, -1
        )
    return np.asarray(cv2.blur(canvas, (3, 3)), np.float32) / np.float32(230)


def _rubble(rng: np.random.Generator, width: int, height: int) -> Gray:
    canvas = np.full((height, width), 50, np.uint8)
    for x, y, size, tone, turn in rng.random((130, 5)):
        angle = 2 * np.pi * (turn + np.array([0.0, 0.2, 0.37, 0.6, 0.85]))
        reach = width * (0.01 + 0.04 * size)
        points = xy(x * width + reach * np.cos(angle), y * height + 0.7 * reach * np.sin(angle))
        corners = points.astype(np.int32)
        cv2.fillConvexPoly(canvas, corners, 45 + 130 * tone)
        cv2.polylines(canvas, [corners], True, 30 + 60 * tone)
    return np.asarray(cv2.blur(canvas, (3, 3)), np.float32) / np.float32(220)


def _meadow(rng: np.random.Generator, width: int, height: int) -> Gray:
    canvas = (255 * (0.25 + 0.35 * fractal(rng, width, height, 5, 30))).astype(np.uint8)
    for x, y, lean, tone in rng.random((260, 4)):
        foot = (int(x * width), int(y * height * 1.1))
        tip = (foot[0] + int(14 * (lean - 0.5)), foot[1] - int(height * (0.04 + 0.08 * y)))
        cv2.line(canvas, foot, tip, 30 + 150 * tone, 1, cv2.LINE_AA)
    return np.asarray(canvas, np.float32) / np.float32(255)


_TEXTURES: dict[str, Callable[[np.random.Generator, int, int], Gray]] = {
    "sand": _sand, "ripples": _ripples, "pebbles": _pebbles, "rock": _rock, "mud": _mud,
    "meadow": _meadow, "terraces": _terraces, "dunes": _dunes, "rubble": _rubble,
}  # fmt: skip

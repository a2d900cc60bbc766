"""Body patterns, drawn in the coordinates of a body's surface so that every creature wears them.

Surface coordinates are (u, v): u runs 0..1 along the body, v runs -1..1 across it.
"""

import itertools
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from sam3_edge.runtime.scene_palettes import Colour

Points: TypeAlias = NDArray[np.float64]
"""(N, 2) x, y of a polygon, in lengths of the creature (x right, y down), or u, v."""
_Number = TypeVar("_Number", bound=np.number[Any])
Mark: TypeAlias = tuple[Points, Colour]
Surface: TypeAlias = Callable[[Points], Points]
"""Surface coordinates to creature coordinates."""


def xy(x: Points, y: Points | float) -> Points:
    """Columns x and y as points."""
    points = np.empty((len(x), 2))
    points[:, 0], points[:, 1] = x, y
    return points


def mapped(function: Surface, polygons: list[Points]) -> list[Points]:
    """`function` applied to every polygon, all at once because that is several times faster."""
    if not polygons:
        return []
    return split(function(np.concatenate(polygons)), [len(each) for each in polygons])


def split(points: NDArray[_Number], lengths: list[int]) -> list[NDArray[_Number]]:
    """Consecutive runs of `points` along its first axis."""
    ends = list(itertools.accumulate(lengths))
    return [points[end - length : end] for end, length in zip(ends, lengths, strict=True)]


_TURN = np.linspace(0.0, 2 * np.pi, 14, endpoint=False)
_CIRCLE = xy(np.cos(_TURN), np.sin(_TURN))
_ACROSS = np.linspace(0.0, 1.0, 5)
_ALONG = np.linspace(0.0, 1.0, 7)[1:-1]


def ellipse(x: float, y: float, radius_x: float, radius_y: float) -> Points:
    """A fourteen-sided ellipse about (x, y)."""
    points: Points = _CIRCLE * (radius_x, radius_y) + (x, y)
    return points


def patch(u0: float, u1: float, v0: float, v1: float, slant: float = 0.0) -> Points:
    """A rectangle on the surface; `slant` pulls its middle back along u, into a chevron."""
    v = v0 + (v1 - v0) * _ACROSS
    bow = slant * (1 - np.abs(v))
    near, far = xy(u0 + bow, v), xy(u1 + bow[::-1], v[::-1])
    if slant:
        return np.concatenate([near, far])
    along = u0 + (u1 - u0) * _ALONG
    return np.concatenate([near, xy(along, v1), far, xy(along[::-1], v0)])


def _bars(s: tuple[float, ...]) -> list[Points]:
    count = 2 + int(4 * s[0])
    width = (0.25 + 0.3 * s[1]) / count
    return [patch(u, u + width, -1, 1) for u in 0.22 + 0.74 * np.arange(count) / count]


def _spots(s: tuple[float, ...]) -> list[Points]:
    size = 0.05 + 0.05 * s[0]
    return [
        ellipse(0.25 + 0.13 * k, 0.5 * ((k * (0.6 + s[1])) % 1.4 - 0.7), size, 4 * size)
        for k in range(3 + int(3 * s[2]))
    ]


def _speckle(s: tuple[float, ...]) -> list[Points]:
    size = 0.018 + 0.015 * s[0]
    return [
        ellipse(
            0.15 + 0.7 * ((k * 0.618 + s[1]) % 1),
            1.5 * ((k * 0.414 + s[2]) % 1) - 0.75,
            size,
            4 * size,
        )
        for k in range(11)
    ]


def _lines(s: tuple[float, ...]) -> list[Points]:
    count = 2 + int(2 * s[0])
    width = 0.5 / count
    return [patch(0.12, 0.98, v, v + width) for v in -0.8 + 1.7 * np.arange(count) / count]


def _chevrons(s: tuple[float, ...]) -> list[Points]:
    count = 2 + int(3 * s[0])
    return [patch(u, u + 0.35 / count, -1, 1, 0.12) for u in 0.2 + 0.65 * np.arange(count) / count]


_AREAS: dict[str, Callable[[tuple[float, ...]], list[Points]]] = {
    "plain": lambda _s: [],
    "bars": _bars,
    "spots": _spots,
    "speckle": _speckle,
    "back": lambda s: [patch(0.0, 1.0, -1.0, -0.1 - 0.5 * s[0])],
    "saddle": lambda s: [patch(0.3 + 0.2 * s[0], 0.6 + 0.2 * s[1], -1.0, 1.0)],
    "lines": _lines,
    "chevrons": _chevrons,
    "hood": lambda s: [patch(0.0, 0.28 + 0.2 * s[0], -1.0, 1.0)],
    "rings": lambda s: [each for spot in _spots(s) for each in (spot, _shrunk(spot))],
}


def _shrunk(spot: Points) -> Points:
    middle = spot.mean(axis=0)
    inner: Points = middle + 0.5 * (spot - middle)
    return inner


def pattern_marks(pattern: str, shape: tuple[float, ...], ink: Colour, body: Colour) -> list[Mark]:
    """The marks of `pattern`, in surface coordinates. shape: at least three numbers in 0..1."""
    areas = _AREAS[pattern](shape)
    if pattern == "rings":
        return [(area, body if k % 2 else ink) for k, area in enumerate(areas)]
    return [(area, ink) for area in areas]

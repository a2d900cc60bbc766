"""Sketches to pixels: each is drawn into a patch of its own, then laid over the picture."""

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.runtime.scene_creatures import Sketch
from sam3_edge.runtime.scene_palettes import Colour, mix
from sam3_edge.runtime.scene_patterns import split

_SUBPIXEL_BITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a sketch goes: centre in pixels, size of one unit in pixels, angle in radians
    (clockwise on the screen), mirrored left to right or not, squash of the vertical in 0..1."""

    x: float
    y: float
    size: float
    angle: float
    mirrored: bool
    squash: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stencil:
    """A placed sketch. left, top: pixels of the frame, may be negative; coverage: (h, w) uint8,
    255 where the silhouette is; marks: int32 polygons in 1/16 pixels of the patch."""

    left: int
    top: int
    coverage: NDArray[np.uint8]
    marks: list[tuple[NDArray[np.int32], Colour]]
    sketch: Sketch


def place(sketch: Sketch, placement: Placement, limit: tuple[float, float]) -> Stencil:
    """Draws the silhouette, shrunk where needed so that its box stays within limit (w, h)."""
    outline = sketch.outline
    points = np.concatenate(outline + [mark for mark, _ in sketch.marks])
    cos, sin = np.cos(placement.angle), np.sin(placement.angle)
    flip = -1.0 if placement.mirrored else 1.0
    turn = np.array([[flip * cos, flip * sin * placement.squash], [-sin, cos * placement.squash]])
    points = points @ turn
    lengths = [len(p) for p in outline] + [len(p) for p, _ in sketch.marks]
    solid = points[: sum(lengths[: len(outline)])]
    low, high = solid.min(axis=0), solid.max(axis=0)
    size = min(placement.size, *((np.array(limit) - 2.0) / (high - low)))
    left = math.floor(placement.x + size * low[0]) - 1
    top = math.floor(placement.y + size * low[1]) - 1
    points = points * size + (placement.x - left, placement.y - top)
    polygons = split(np.rint(points * (1 << _SUBPIXEL_BITS)).astype(np.int32), lengths)
    width, height = (math.ceil(size * extent) + 4 for extent in high - low)
    coverage = np.zeros((height, width), np.uint8)
    for polygon in polygons[: len(outline)]:
        cv2.fillPoly(coverage, [polygon], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
    colours = [colour for _, colour in sketch.marks]
    marks = list(zip(polygons[len(outline) :], colours, strict=True))
    return Stencil(left=left, top=top, coverage=coverage, marks=marks, sketch=sketch)


def overlap(stencil: Stencil, width: int, height: int) -> tuple[slice, slice, slice, slice] | None:
    """Rows and columns of the frame, then of the patch, where the two meet."""
    h, w = stencil.coverage.shape
    top, left = max(stencil.top, 0), max(stencil.left, 0)
    bottom, right = min(stencil.top + h, height), min(stencil.left + w, width)
    if top >= bottom or left >= right:
        return None
    rows = slice(top - stencil.top, bottom - stencil.top)
    columns = slice(left - stencil.left, right - stencil.left)
    return slice(top, bottom), slice(left, right), rows, columns


@lru_cache(maxsize=1)
def _surface_grain() -> NDArray[np.float32]:
    """(640, 640) blotchy noise about zero, the same for everything that has a rough skin."""
    noise = np.random.default_rng(11).random((320, 320), dtype=np.float32) - 0.5
    soft = cv2.resize(cv2.blur(noise, (5, 5)) * 2 + cv2.blur(noise, (2, 2)), (640, 640))
    return np.asarray(soft, np.float32)


def paint(
    picture: NDArray[np.uint8], stencil: Stencil, haze: Colour, thickness: float, shadow: float
) -> None:
    """Lays a placed sketch over the picture, in place. thickness: share of haze, 0..1;
    shadow: darkness of the shadow below it, 0..1."""
    sketch, coverage = stencil.sketch, stencil.coverage
    height, width = coverage.shape
    cut = overlap(stencil, picture.shape[1], picture.shape[0])
    if cut is None:
        return
    if shadow > 0:
        _cast_shadow(picture, stencil, shadow)
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = mix(sketch.ground, haze, thickness)
    for polygon, colour in stencil.marks:
        tint = mix(colour, haze, thickness)
        cv2.fillPoly(canvas, [polygon], tint, cv2.LINE_AA, _SUBPIXEL_BITS)
    reach = max(3, int(0.12 * min(height, width)) | 1)
    soft = np.asarray(cv2.blur(coverage, (reach, reach), borderType=cv2.BORDER_CONSTANT), np.uint8)
    shade = _shade(sketch, soft, reach // 2 + 1, 1 - thickness)
    lit = cv2.multiply(canvas, cv2.cvtColor(shade, cv2.COLOR_GRAY2BGR), dtype=cv2.CV_8U)
    alpha = coverage * np.float32(sketch.opacity / 255)
    if sketch.hollow > 0:
        alpha *= 1.0 - sketch.hollow * (soft / np.float32(255)) ** 2
    rows, columns, inner_rows, inner_columns = cut
    alpha = np.ascontiguousarray(alpha[inner_rows, inner_columns])
    region = np.ascontiguousarray(picture[rows, columns])
    over = np.ascontiguousarray(lit[inner_rows, inner_columns])
    picture[rows, columns] = cv2.blendLinear(over, region, alpha, 1 - alpha)


def _shade(
    sketch: Sketch, soft: NDArray[np.uint8], step: int, clarity: float
) -> NDArray[np.float32]:
    """(h, w) float32 factor: light from above on a rounded body, and the grain of its skin."""
    padded = cv2.copyMakeBorder(soft, step, step, 0, 0, cv2.BORDER_CONSTANT)
    relief = cv2.subtract(padded[2 * step :], padded[: -2 * step], dtype=cv2.CV_32F)
    shade = relief * np.float32(0.8 * clarity * sketch.relief / 255) + np.float32(1.0)
    if sketch.rough > 0:
        height, width = shade.shape
        grain = np.float32(clarity * sketch.rough) * _surface_grain()[:height, :width]
        shade[: grain.shape[0], : grain.shape[1]] += grain
    return np.asarray(shade, np.float32)


def _cast_shadow(picture: NDArray[np.uint8], stencil: Stencil, darkness: float) -> None:
    pad = max(2, stencil.coverage.shape[0] // 8)
    framed = cv2.copyMakeBorder(stencil.coverage, pad, pad, pad, pad, cv2.BORDER_CONSTANT)
    soft = np.asarray(cv2.blur(framed, (pad, pad)), np.uint8)
    cast = Stencil(
        left=stencil.left - pad // 2, top=stencil.top - pad // 3, coverage=soft, marks=[],
        sketch=stencil.sketch,
    )  # fmt: skip
    cut = overlap(cast, picture.shape[1], picture.shape[0])
    if cut is None:
        return
    rows, columns, inner_rows, inner_columns = cut
    dim = cv2.convertScaleAbs(soft[inner_rows, inner_columns], alpha=-darkness, beta=255)
    dim = cv2.cvtColor(dim, cv2.COLOR_GRAY2BGR)
    picture[rows, columns] = cv2.multiply(picture[rows, columns], dim, scale=1 / 255)

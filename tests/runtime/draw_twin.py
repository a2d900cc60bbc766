"""Masks painted into a frame in NumPy: the kernel's twin, mask by mask on the whole frame."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Planes = tuple[NDArray[np.uint8], ...]
Opacity = NDArray[np.int64]

_CHANNELS = {"BGR": 3, "RGB": 3, "BGRx": 4, "RGBA": 4}
# BT.601, limited range, of B, G and R: rounded so that white is 235 and grey has no chroma.
_TO_YUV = np.array([[6416, 33039, 16829], [28785, -19071, -9714], [-4681, -24104, 28785]])


@dataclass(frozen=True, slots=True, kw_only=True)
class PaintedMask:
    """bits: (h, w) bool, at `origin`, (x, y), of the frame."""

    bits: NDArray[np.bool_]
    origin: tuple[int, int]
    colour: tuple[int, int, int]


def paint_twin(
    planes: Planes,
    pixel_format: str,
    size: tuple[int, int],
    masks: list[PaintedMask],
    strength: float,
    thickness: float,
) -> Planes:
    """Copies of the planes with the masks painted over one another, the first one first."""
    painted = tuple(plane.copy() for plane in planes)
    for mask in masks:
        opacity = _opacity(mask, size, strength, thickness)
        if pixel_format == "NV12":
            luma, *chroma = to_yuv_twin(mask.colour)
            _blend(painted[0], opacity, np.array(luma))
            pairs = painted[1].reshape(len(painted[1]), -1, 2)
            _blend(pairs, _of_four(opacity)[..., None], np.array(chroma))
        else:
            order = -1 if pixel_format.startswith("RGB") else 1
            pixels = painted[0].reshape(*size, _CHANNELS[pixel_format])
            _blend(pixels[..., :3], opacity[..., None], np.array(mask.colour[::order]))
    return painted


def outline_twin(bits: NDArray[np.bool_], thickness: float) -> NDArray[np.bool_]:
    """The set pixels that have one that is not set, or is outside, within `thickness`."""
    reach = int(thickness)
    height, width = bits.shape
    around = np.pad(bits, reach)
    inner = bits.copy()
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if dy * dy + dx * dx <= thickness * thickness:
                y, x = reach + dy, reach + dx
                inner &= around[y : y + height, x : x + width]
    return bits & ~inner


def to_yuv_twin(bgr: tuple[int, int, int]) -> tuple[int, int, int]:
    y, u, v = (_TO_YUV @ np.array(bgr) + (1 << 15) >> 16) + np.array([16, 128, 128])
    return int(y), int(u), int(v)


def _opacity(
    mask: PaintedMask, size: tuple[int, int], strength: float, thickness: float
) -> Opacity:
    """(H, W), 0 to 256."""
    opacity = np.zeros(size, np.int64)
    x, y = mask.origin
    height, width = mask.bits.shape
    window = opacity[y : y + height, x : x + width]
    window[mask.bits] = int(strength * 256 + 0.5)
    window[outline_twin(mask.bits, thickness)] = 256
    return opacity


def _of_four(opacity: Opacity) -> Opacity:
    """(H, W) -> (ceil(H / 2), ceil(W / 2)): the mean; the last row or column may count twice."""
    height, width = opacity.shape
    even = np.pad(opacity, ((0, height % 2), (0, width % 2)), mode="edge")
    mean: Opacity = even.reshape((height + 1) // 2, 2, (width + 1) // 2, 2).sum((1, 3)) + 2 >> 2
    return mean


def _blend(values: NDArray[np.uint8], opacity: Opacity, colour: NDArray[np.int64]) -> None:
    values[...] = values * (256 - opacity) + colour * opacity + 128 >> 8

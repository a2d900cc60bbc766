"""Preprocessing in NumPy: the kernel's twin. Matrix products in floating point, block by block."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

_ROWS_PER_BLOCK = 8
# Small products on purpose: OpenBLAS starts threads above 2**18 multiplications.
_MULTIPLICATIONS = 1 << 18
_TO_RGB = {
    "NV12": cv2.COLOR_YUV2RGB_NV12,
    "I420": cv2.COLOR_YUV2RGB_I420,
    "YUY2": cv2.COLOR_YUV2RGB_YUY2,
}


@dataclass(frozen=True, slots=True)
class _Block:
    """Some output lines as weighted sums of neighbouring input lines.

    lines: which output lines. sources: which input lines. weights: (lines, sources) float32.
    """

    lines: slice
    sources: slice
    weights: NDArray[np.float32]


def resize_twin(rgb: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """(H, W, 3) uint8 -> (side, side, 3) float32, not rounded."""
    height, width, _ = rgb.shape
    rows = _weigh(_blocks(height, side), np.ascontiguousarray(rgb).reshape(height, width * 3))
    columns = _weigh(_blocks(width, side), cv2.transpose(rows).reshape(width, 3 * side))
    return columns.reshape(side, 3, side).transpose(2, 0, 1)


def to_rgb_twin(
    planes: tuple[NDArray[np.uint8], ...], pixel_format: str, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """The planes of a picture of any format -> (H, W, 3) RGB, as OpenCV converts it."""
    height, width = size
    first = planes[0]
    if pixel_format in _TO_RGB:
        # OpenCV wants even sides: what is added is cut off again.
        even = _even(planes, pixel_format)
        rgb = cv2.cvtColor(even, _TO_RGB[pixel_format])
        return np.ascontiguousarray(rgb[:height, :width], dtype=np.uint8)
    if pixel_format == "GRAY8":
        return np.repeat(first[..., None], 3, axis=2)
    pixels = first.reshape(height, width, -1)[..., :3]
    return pixels[..., ::-1] if pixel_format.startswith("BGR") else pixels


def _even(planes: tuple[NDArray[np.uint8], ...], pixel_format: str) -> NDArray[np.uint8]:
    """The planes in the one array that OpenCV takes."""
    if pixel_format == "YUY2":
        return planes[0].reshape(len(planes[0]), -1, 2)
    luma, *chroma = planes
    height, width = luma.shape
    luma = np.pad(luma, ((0, height % 2), (0, width % 2)))
    parts = [plane.reshape(-1) for plane in (luma, *chroma)]
    return np.concatenate(parts).reshape(-1, luma.shape[1])


def _weigh(blocks: tuple[_Block, ...], lines: NDArray[np.generic]) -> NDArray[np.float32]:
    """(num_in, n) of any type -> (num_out, n) float32: every output line from its sources."""
    length = lines.shape[1]
    weighed = np.empty((blocks[-1].lines.stop, length), dtype=np.float32)
    for block in blocks:
        sources = lines[block.sources].astype(np.float32, copy=False)
        step = max(1, _MULTIPLICATIONS // block.weights.size)
        for start in range(0, length, step):
            part = slice(start, start + step)
            np.matmul(block.weights, sources[:, part], out=weighed[block.lines, part])
    return weighed


@lru_cache(maxsize=16)
def _blocks(num_in: int, num_out: int) -> tuple[_Block, ...]:
    """The triangle filter from `num_in` to `num_out` lines."""
    scale = num_in / num_out
    reach = max(scale, 1.0)
    centres = (np.arange(num_out) + 0.5) * scale
    blocks = []
    for start in range(0, num_out, _ROWS_PER_BLOCK):
        lines = slice(start, min(start + _ROWS_PER_BLOCK, num_out))
        first = max(0, int(centres[lines.start] - reach))
        stop = min(num_in, int(np.ceil(centres[lines.stop - 1] + reach)))
        distance = np.arange(first, stop) + 0.5 - centres[lines, None]
        weights = np.maximum(0.0, 1.0 - np.abs(distance) / reach)
        weights /= weights.sum(axis=1, keepdims=True)
        blocks.append(
            _Block(lines=lines, sources=slice(first, stop), weights=weights.astype(np.float32))
        )
    return tuple(blocks)

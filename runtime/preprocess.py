"""Frame -> the square RGB picture the vision graph takes, resized as SAM 3's own pictures were.

The filter is antialiased bilinear: a triangle over the source pixels, as wide as one output pixel
on each side when shrinking, and one source pixel when enlarging. Plain bilinear and area averages
give other pictures, and a model that was trained on this one finds less in those.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

_ROWS_PER_BLOCK = 8
# Small products on purpose: OpenBLAS starts threads above 2**18 multiplications, and these spin
# on the processors that the engine works on.
_MULTIPLICATIONS = 1 << 18


@dataclass(frozen=True, slots=True)
class _Block:
    """Some output lines as weighted sums of neighbouring input lines.

    lines: which output lines. sources: which input lines. weights: (lines, sources) float32.
    """

    lines: slice
    sources: slice
    weights: NDArray[np.float32]


def preprocess(image_bgr: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """image_bgr: (H, W, 3) uint8 BGR, any size and row stride. out: (S, S, 3) uint8 RGB, filled.

    The picture is squeezed into the square, as SAM 3 does. Equal within 1 to Pillow's
    `resize((S, S), BILINEAR)` and to PyTorch's `interpolate(..., antialias=True)`.
    """
    height, width, _ = image_bgr.shape
    size = len(out)
    rows = _weigh(_blocks(height, size), image_bgr.reshape(height, width * 3))
    columns = _weigh(_blocks(width, size), cv2.transpose(rows).reshape(width, 3 * size))
    planes = (columns + np.float32(0.5)).astype(np.uint8).reshape(size, 3, size)
    out[...] = planes.transpose(2, 0, 1)[..., ::-1]


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

"""Mask logits of the network's square -> bits or RLE of the frame, no float image in between."""

import numpy as np
from numpy.typing import NDArray

from sam3_edge.runtime import _kernels
from sam3_edge.runtime.detections import Mask

_Box = tuple[float, float, float, float]


def logits_to_mask(
    logits: NDArray[np.float32], size: tuple[int, int], box: _Box | None = None
) -> Mask:
    """The mask as bits.

    logits: (h, w) float32, over the whole frame, sides of 1 to 2**20. size: (H, W) of the frame.
    box: xyxy pixels of the frame; nothing outside it is set. None: anywhere in the frame.
    Equivalent to `interpolate(logits, size, mode="bilinear", align_corners=False) > 0`; around a
    NaN nothing is set. Raises ValueError for another shape or type.
    """
    logits = np.ascontiguousarray(logits)
    x, y, width, height = _kernels.mask_window(logits, *size, box)
    bits = np.empty((height, width), dtype=np.bool_)
    _kernels.mask_to_bits(bits, logits, *size, x, y, False)
    return Mask(size=size, origin=(x, y), bits=bits)


def logits_to_rle(
    logits: NDArray[np.float32], size: tuple[int, int], box: _Box | None = None
) -> str:
    """The `counts` of `logits_to_mask(logits, size, box)`, found without making its bits."""
    return _kernels.mask_to_rle(np.ascontiguousarray(logits), *size, box, False)


def logits_to_packed(
    logits: NDArray[np.float32], size: tuple[int, int], box: _Box | None = None
) -> tuple[tuple[int, int, int, int], NDArray[np.uint8]]:
    """The mask as packed bits: its window x, y, width, height, and (height, (width + 7) // 8) uint8.

    The first of eight pixels is the highest bit: `np.unpackbits(packed, axis=1, count=width)` gives
    the bits of `logits_to_mask(logits, size, box)` back.
    """
    logits = np.ascontiguousarray(logits)
    window = _kernels.mask_window(logits, *size, box)
    x, y, width, height = window
    packed = np.empty((height, (width + 7) // 8), dtype=np.uint8)
    _kernels.mask_to_packed(packed, logits, *size, x, y, width, False)
    return window, packed


def mask_extent(bits: NDArray[np.bool_]) -> tuple[int, tuple[int, int, int, int]]:
    """Set pixels of (h, w) bits, and the box around them: x1, y1, x2, y2, x1 <= x < x2.

    Nothing set: an area of 0 and a box of zeros.
    """
    area, *box = _kernels.mask_measure(np.ascontiguousarray(bits))
    return area, (box[0], box[1], box[2], box[3])

"""Masks as text: COCO's compressed run-length encoding, as pycocotools writes and reads it."""

import numpy as np
from numpy.typing import NDArray

from sam3_edge.runtime import _kernels

MAX_PIXELS = 2**32 - 1


def encode_rle(
    mask: NDArray[np.bool_] | NDArray[np.uint8],
    *,
    size: tuple[int, int] | None = None,
    origin: tuple[int, int] = (0, 0),
) -> str:
    """The `counts` of a mask.

    mask: (h, w) bool or uint8, nonzero = object, any strides.
    size: (H, W) of the frame, when `mask` is only a window of it with its top left pixel at
        `origin` (x, y) and everything outside is empty: time then goes with the window's area.
    Raises ValueError for another shape or type and for a window that leaves the frame.
    """
    if mask.ndim != 2 or mask.dtype not in (np.bool_, np.uint8):
        raise ValueError(
            f"mask: expected (h, w) of bool or uint8, got shape {mask.shape} of {mask.dtype}"
        )
    height, width = mask.shape if size is None else size
    return _kernels.encode_rle(mask, height, width, *origin)


def decode_rle(size: tuple[int, int], counts: str) -> NDArray[np.bool_]:
    """(H, W) bool mask of `size` (H, W). Raises ValueError unless `counts` fills it exactly."""
    height, width = size
    if height < 0 or width < 0 or height * width > MAX_PIXELS:
        raise ValueError(
            f"RLE: expected a size of 0 to {MAX_PIXELS} pixels, got {width} x {height}"
        )
    mask = np.empty(size, np.bool_)
    _kernels.decode_rle(mask, counts, height, width, 0, 0)
    return mask


def rle_window(size: tuple[int, int], counts: str) -> tuple[tuple[int, int], NDArray[np.bool_]]:
    """The smallest window that holds a mask of `size` (H, W): its origin (x, y), and its bits.

    bits: (h, w) bool, C order; of an empty mask (0, 0), at (0, 0). Time and memory go with the
    window, not with the frame. Raises ValueError unless `counts` fills the frame exactly.
    """
    _, (x1, y1, x2, y2) = rle_extent(size, counts)
    bits = np.empty((y2 - y1, x2 - x1), np.bool_)
    _kernels.decode_rle(bits, counts, *size, x1, y1)
    return (x1, y1), bits


def rle_extent(size: tuple[int, int], counts: str) -> tuple[int, tuple[int, int, int, int]]:
    """Set pixels of a mask of `size` (H, W), and the box around them, without decoding it.

    The box is x1, y1, x2, y2 with x1 <= x < x2; nothing set: an area of 0 and a box of zeros.
    Raises ValueError unless `counts` fills the mask exactly.
    """
    area, *box = _kernels.rle_measure(counts, *size)
    return area, (box[0], box[1], box[2], box[3])


def rle_iou(size: tuple[int, int], a: str, b: str) -> float:
    """Intersection over union, 0..1, of two masks of `size` (H, W); 0 where both are empty.

    Raises ValueError unless each fills the mask exactly.
    """
    first, second, both = _kernels.rle_intersect(a, b, *size)
    union = first + second - both
    return both / union if union else 0.0

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
    _kernels.decode_rle(mask, counts)
    return mask

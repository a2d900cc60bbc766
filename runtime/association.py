"""How much boxes and masks overlap, and which to keep where they overlap too much."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sam3_edge.runtime import _kernels


def box_iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, M) float32: intersection over union, 0..1, of boxes a (N, 4) and b (M, 4), xyxy float32.

    A box without area, turned around or not finite overlaps nothing, itself included.
    Raises ValueError for another shape or type.
    """
    ious = np.empty((len(a), len(b)), np.float32)
    _kernels.box_iou(ious, np.ascontiguousarray(a), np.ascontiguousarray(b))
    return ious


def mask_iou(size: tuple[int, int], a: Sequence[str], b: Sequence[str]) -> NDArray[np.float32]:
    """(N, M) float32: intersection over union, 0..1, of N and M masks of `size` (H, W).

    a, b: COCO's compressed RLE, `Mask.counts`. Counted on the runs, each text read once, and each
    pair once where b is a. An empty mask overlaps nothing.
    Raises ValueError unless each fills the frame exactly.
    """
    ious = np.empty((len(a), len(b)), np.float32)
    first = tuple(a)
    _kernels.mask_iou(ious, first, first if b is a else tuple(b), *size)
    return ious


def suppress(ious: NDArray[np.float32], limit: float) -> NDArray[np.int64]:
    """(K,) int64, ascending: greedy suppression of N objects that are sorted best first.

    ious: (N, N) float32, as box_iou or mask_iou of the objects with themselves. An object is kept
    unless its IoU with one kept before it is above `limit`; NaN is not above anything.
    Raises ValueError for another shape or type.
    """
    kept = np.empty(len(ious), np.int64)
    num_kept = _kernels.suppress(kept, np.ascontiguousarray(ious), limit)
    return kept[:num_kept]

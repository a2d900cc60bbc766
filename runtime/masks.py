"""Mask logits of the network's square -> bits of the frame, computed only where they can be true."""

import math

import numpy as np
from numpy.typing import NDArray

from sam3_edge.runtime.detections import Mask

_Box = tuple[float, float, float, float]


def logits_to_mask(
    logits: NDArray[np.float32], size: tuple[int, int], box: _Box | None = None
) -> Mask:
    """logits: (h, w) float32, over the whole frame. size: (H, W) of the frame.

    box: xyxy pixels of the frame; nothing outside it is set. None: anywhere in the frame.
    Equivalent to `interpolate(logits, size, mode="bilinear", align_corners=False) > 0`.
    """
    window = _positive_window(logits, size)
    if box is not None:
        window = _intersection(window, _pixels(box, size))
    x1, y1, x2, y2 = window
    if x2 <= x1 or y2 <= y1:
        return Mask(size=size, origin=(0, 0), bits=np.zeros((0, 0), dtype=np.bool_))
    top, bottom, down = _neighbours(logits.shape[0], size[0], y1, y2)
    left, right, across = _neighbours(logits.shape[1], size[1], x1, x2)
    # Columns first: there are few rows of logits, and many of pixels.
    columns = logits[:, left] + (logits[:, right] - logits[:, left]) * across
    values = columns[bottom]
    values -= columns[top]
    values *= down[:, None]
    values += columns[top]
    return Mask(size=size, origin=(x1, y1), bits=values > 0)


def _neighbours(
    num_in: int, num_out: int, start: int, stop: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For outputs start..stop: the two inputs each lies between, and its share of the second."""
    centres = (np.arange(start, stop) + 0.5) * (num_in / num_out) - 0.5
    centres = np.clip(centres, 0, num_in - 1)
    first = centres.astype(np.intp)
    second = np.minimum(first + 1, num_in - 1)
    return first, second, (centres - first).astype(np.float32)


def _positive_window(
    logits: NDArray[np.float32], size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """xyxy pixels, outside of which every interpolated value is 0 or less.

    A value is positive only if one of the four logits around it is.
    """
    positive = logits > 0
    rows, columns = np.flatnonzero(positive.any(axis=1)), np.flatnonzero(positive.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    (height, width), (num_rows, num_columns) = size, logits.shape
    cells = (columns[0] - 0.5, rows[0] - 0.5, columns[-1] + 1.5, rows[-1] + 1.5)
    x, y = width / num_columns, height / num_rows
    return _pixels((cells[0] * x, cells[1] * y, cells[2] * x, cells[3] * y), size)


def _pixels(box: _Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Every pixel that `box` touches, clipped to the frame."""
    height, width = size
    return (
        max(0, math.floor(box[0])),
        max(0, math.floor(box[1])),
        min(width, math.ceil(box[2])),
        min(height, math.ceil(box[3])),
    )


def _intersection(
    a: tuple[int, int, int, int], b: tuple[int, int, int, int]
) -> tuple[int, int, int, int]:
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])

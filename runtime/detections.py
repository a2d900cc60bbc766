"""What was found in one frame."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """The pixels of one object, stored only inside a window of the frame.

    size: (H, W) of the frame.
    origin: (x, y) of the window's top left pixel in the frame.
    bits: (h, w) bool, C order; every pixel outside the window is False.
    """

    size: tuple[int, int]
    origin: tuple[int, int]
    bits: NDArray[np.bool_]

    def full(self) -> NDArray[np.bool_]:
        """(H, W) bool: the mask in the whole frame."""
        whole = np.zeros(self.size, dtype=np.bool_)
        x, y = self.origin
        height, width = self.bits.shape
        whole[y : y + height, x : x + width] = self.bits
        return whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """N objects, best score first.

    boxes: (N, 4) float32, xyxy pixels of the original frame, clipped to it.
    scores: (N,) float32, 0..1, sigmoid(logit) * sigmoid(presence).
    prompt_index: (N,) int64, which prompt of the request found it.
    masks: N masks.
    track_ids: (N,) int64, or None while nothing tracks.
    presence: (P,) float32, 0..1, whether each prompt is in the picture at all.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    prompt_index: NDArray[np.int64]
    masks: tuple[Mask, ...]
    presence: NDArray[np.float32]
    track_ids: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.boxes)

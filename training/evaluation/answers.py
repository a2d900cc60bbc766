"""What was asked about a picture, what is true, and what a model said."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """M objects in one picture.

    boxes: (M, 4) float64, xyxy pixels of the picture.
    masks: M masks of the whole picture as COCO's compressed run lengths, None for an object whose
        mask is not known; None instead of them all where the picture is judged by boxes alone.
    areas, mask_areas: (M,) float64, pixels, by which an object counts as small, medium or large
        when boxes and when masks are judged; None for the area of the box or mask itself.
    """

    boxes: NDArray[np.float64]
    masks: tuple[str | None, ...] | None
    areas: NDArray[np.float64] | None = None
    mask_areas: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One phrase asked about one picture.

    picture: its number. path: where it comes from, for people. size: (H, W), pixels.
    ignore: (T,) bool, objects of `truth` that are neither right nor wrong to find.
    found: best first; every one has a mask where `truth.masks` is not None.
    scores: (M,) float64 of `found`, 0..1. presence: 0..1, sigmoid of the presence logit.
    """

    picture: int
    path: str
    size: tuple[int, int]
    phrase: str
    truth: Objects
    ignore: NDArray[np.bool_]
    found: Objects
    scores: NDArray[np.float64]
    presence: float

"""A picture with its objects, before it becomes a training sample."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPicture:
    """image: (H, W, 3) uint8 RGB.

    phrases: what is asked; objects of any other phrase are not listed.
    boxes: (M, 4) float32 xyxy pixels. phrase: (M,) int64 index into phrases.
    ignore: (M,) bool, objects that are neither right nor wrong to find.
    masks: M masks (H, W) bool, or None where only boxes are known.
    """

    image: NDArray[np.uint8]
    phrases: tuple[str, ...]
    boxes: NDArray[np.float32]
    phrase: NDArray[np.int64]
    ignore: NDArray[np.bool_]
    masks: tuple[NDArray[np.bool_], ...] | None


class LabelledPictures(Protocol):
    """A data set. `picture` is a function of its arguments alone."""

    @property
    def length(self) -> int | None:
        """None where there is no end."""

    def picture(
        self, index: int, rng: np.random.Generator, phrases: tuple[str, ...] | None = None
    ) -> LabelledPicture:
        """index: 0 .. length - 1. phrases: what to ask, of this data set's own; None lets rng
        choose.
        """

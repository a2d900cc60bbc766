"""A picture with its objects, before it becomes a training sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Mask: TypeAlias = NDArray[np.bool_]
"""(H, W), as large as its picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPicture:
    """image: (H, W, 3) uint8 RGB.

    phrases: what is asked; objects of any other phrase are not listed.
    boxes: (M, 4) float32 xyxy pixels. phrase: (M,) int64 index into phrases.
    ignore: (M,) bool, objects that are neither right nor wrong to find.
    masks: one for each object, None for one of which only the box is known; None for none at all.
    """

    image: NDArray[np.uint8]
    phrases: tuple[str, ...]
    boxes: NDArray[np.float32]
    phrase: NDArray[np.int64]
    ignore: NDArray[np.bool_]
    masks: tuple[Mask | None, ...] | None

    def mask(self, index: int) -> Mask | None:
        return None if self.masks is None else self.masks[index]

    def whole_masks(self) -> tuple[Mask, ...] | None:
        """The masks where every object has one, as judging masks needs; else None."""
        if self.masks is None:
            return None
        known = tuple(mask for mask in self.masks if mask is not None)
        return known if len(known) == len(self.masks) else None


def known_masks(masks: Sequence[Mask | None]) -> tuple[Mask | None, ...] | None:
    """The masks of a picture; None where there are objects and no mask."""
    return None if masks and all(mask is None for mask in masks) else tuple(masks)


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

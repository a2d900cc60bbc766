"""Objects cut out of pictures: along their mask or, where only the box is known, with soft edges.

A rectangle keeps all of the object and what is around it, which does for another picture of the
same kind. In a picture of another kind that would give the object away: there it is an oval whose
edge takes on the colour of the place it comes to.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.training.data.augment import resized
from sam3_edge.training.data.augmentation import Augmentation
from sam3_edge.training.data.labelled import LabelledPicture

# A rectangle of which another object covers more would bring half of that along.
SHARED_RECTANGLE = 0.1
# A rectangle's edge fades over this share of its shorter side.
FEATHER = 0.12
# An oval is |x|^p + |y|^p < 1; 2 would be an ellipse and cost a box's object its corners.
OVAL = 2.6
# Its edge fades over this share of the way to the middle; only within CORE all is the object's own.
OVAL_FEATHER, CORE = 0.25, 0.45


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutout:
    """image: (h, w, 3) uint8. opacity: (h, w) float32 in 0..1. cut_along: a mask was known.

    surroundings: (h, w) float32 in 0..1, how much a pixel is still what was around the object, which
    then takes on the colour of the place it comes to.
    """

    image: NDArray[np.uint8]
    opacity: NDArray[np.float32]
    cut_along: bool
    phrase: int
    surroundings: NDArray[np.float32] | None = None


def usable_objects(
    donor: LabelledPicture, largest_without_mask: float, least_side: float
) -> NDArray[np.int64]:
    """Which objects can be cut out. largest_without_mask: share of the picture's longer side.
    least_side: pixels, of the shorter side.
    """
    size = donor.boxes[:, 2:] - donor.boxes[:, :2]
    largest = largest_without_mask * max(donor.image.shape[:2])
    small = (size.max(axis=1, initial=0.0) <= largest) & ~_shared(donor.boxes)
    masked = np.array([donor.mask(i) is not None for i in range(len(size))], dtype=np.bool_)
    usable = ~donor.ignore & (size.min(axis=1, initial=np.inf) >= least_side) & (masked | small)
    return np.flatnonzero(usable)


def _shared(boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(M,): another box covers a part of this one."""
    low = np.maximum(boxes[:, None, :2], boxes[:, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[:, 2:])
    common = (high - low).clip(0.0).prod(axis=2)
    own = np.diag(common).copy()
    np.fill_diagonal(common, 0.0)
    shared: NDArray[np.bool_] = common.max(axis=1, initial=0.0) > SHARED_RECTANGLE * own
    return shared


def cut_out(
    donor: LabelledPicture,
    index: int,
    onto: tuple[int, int],
    frame: tuple[int, int],
    rng: np.random.Generator,
    augmentation: Augmentation,
    *,
    oval: bool,
) -> Cutout:
    """One object, perhaps mirrored, resized for a picture of the size `onto`, width and height; it
    fits into `frame`.
    """
    height, width = donor.image.shape[:2]
    x0, y0 = np.floor(donor.boxes[index, :2]).clip(0).astype(int)
    x1, y1 = np.minimum(np.ceil(donor.boxes[index, 2:]).astype(int), [width, height])
    scale = np.sqrt(onto[0] * onto[1] / (width * height)) * rng.uniform(*augmentation.pasted_scale)
    scale = min(scale, frame[0] / (x1 - x0), frame[1] / (y1 - y0))
    w, h = (
        min(max(round((x1 - x0) * scale), 4), frame[0]),
        min(max(round((y1 - y0) * scale), 4), frame[1]),
    )
    image, mask = resized(donor.image[y0:y1, x0:x1], w, h), donor.mask(index)
    surroundings = None
    if mask is None and oval:
        opacity, surroundings = _soft_oval(w, h)
    elif mask is None:
        opacity = _soft_rectangle(w, h)
    else:
        bits = np.ascontiguousarray(mask[y0:y1, x0:x1], dtype=np.float32)
        opacity = cv2.resize(bits, (w, h), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    if rng.random() < augmentation.flip:
        image, opacity = image[:, ::-1], opacity[:, ::-1]
    return Cutout(
        image=image,
        opacity=opacity,
        cut_along=mask is not None,
        phrase=int(donor.phrase[index]),
        surroundings=surroundings,
    )


def _soft_rectangle(width: int, height: int) -> NDArray[np.float32]:
    feather = max(FEATHER * min(width, height), 1.5)
    x, y = (
        np.minimum(np.arange(side) + 0.5, side - 0.5 - np.arange(side)) / feather
        for side in (width, height)
    )
    soft: NDArray[np.float32] = np.minimum(y[:, None], x).clip(0.0, 1.0).astype(np.float32)
    return soft


def _soft_oval(width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(h, w) opacity and share of the surroundings; both run over the same rounded shape."""
    x, y = ((np.arange(side) + 0.5) / side * 2.0 - 1.0 for side in (width, height))
    radius = (np.abs(x) ** OVAL + np.abs(y[:, None]) ** OVAL) ** (1.0 / OVAL)
    opacity = ((1.0 - radius) / OVAL_FEATHER).clip(0.0, 1.0)
    surroundings = ((radius - CORE) / (1.0 - CORE)).clip(0.0, 1.0)
    return opacity.astype(np.float32), surroundings.astype(np.float32)


def recoloured(cutout: Cutout, place: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(h, w, 3): the outermost pixels take on the mean colour of those they come to lie on.

    A coarse form of seamless cloning (Perez et al., SIGGRAPH 2003), that leaves the middle alone.
    """
    if cutout.surroundings is None:
        return cutout.image.astype(np.float32)
    edge = cutout.surroundings > 0.5
    there, here = (image[edge].mean(axis=0, dtype=np.float32) for image in (place, cutout.image))
    away = there - here
    shown: NDArray[np.float32] = cutout.image + cutout.surroundings[..., None] * away
    return shown.clip(0.0, 255.0)

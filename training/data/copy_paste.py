"""Objects of one picture pasted into another (arXiv:2012.07177), and what they hide taken note of.

An object with a mask is cut out along it. One of which only the box is known is pasted as a
rectangle with soft edges, where it is small: of a large one the background would be learned.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.training.data.augment import LEAST_VISIBLE, resized
from sam3_edge.training.data.augmentation import Augmentation
from sam3_edge.training.data.labelled import LabelledPicture, Mask, known_masks

# Nothing smaller is cut out, pixels a side.
LEAST_SIDE = 8
# A rectangle of which another object covers more would bring half of that along.
SHARED_RECTANGLE = 0.1
# A rectangle's edge fades over this share of its shorter side.
FEATHER = 0.12
# From here on a pixel shows what was pasted.
OPAQUE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutout:
    """image: (h, w, 3) uint8. opacity: (h, w) float32 in 0..1. cut_along: a mask was known."""

    image: NDArray[np.uint8]
    opacity: NDArray[np.float32]
    cut_along: bool
    phrase: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Object:
    """One object of the picture being made. order: which it was pasted as; 0 if it was there."""

    box: NDArray[np.float32]
    mask: Mask | None
    phrase: int
    ignore: bool
    order: int


def paste_objects(
    picture: LabelledPicture,
    donor: LabelledPicture,
    rng: np.random.Generator,
    augmentation: Augmentation,
) -> LabelledPicture:
    """The picture with some objects of the donor, which was asked the same phrases.

    Masks and their boxes shrink to what stays visible. An object of which less than
    `LEAST_VISIBLE` does is ignored, one that is hidden whole is gone.
    """
    assert picture.phrases == donor.phrases
    image = picture.image.copy()
    height, width = image.shape[:2]
    depth = np.zeros((height, width), dtype=np.uint8)
    objects = [_original(picture, index) for index in range(len(picture.boxes))]
    for number, index in enumerate(_chosen(donor, rng, augmentation), start=1):
        cutout = _cutout(donor, int(index), (width, height), rng, augmentation)
        if (cutout.opacity >= OPAQUE).any():
            objects.append(_pasted(image, depth, cutout, number, rng))
    if len(objects) == len(picture.boxes):
        return picture
    seen = [one for one in (_seen(one, depth) for one in objects) if one is not None]
    return LabelledPicture(
        image=image,
        phrases=picture.phrases,
        boxes=np.array([one.box for one in seen], dtype=np.float32).reshape(-1, 4),
        phrase=np.array([one.phrase for one in seen], dtype=np.int64),
        ignore=np.array([one.ignore for one in seen], dtype=np.bool_),
        masks=known_masks([one.mask for one in seen]),
    )


def _chosen(
    donor: LabelledPicture, rng: np.random.Generator, augmentation: Augmentation
) -> NDArray[np.int64]:
    size = donor.boxes[:, 2:] - donor.boxes[:, :2]
    largest = augmentation.pasted_rectangle * max(donor.image.shape[:2])
    small = (size.max(axis=1, initial=0.0) <= largest) & ~_shared(donor.boxes)
    masked = np.array([donor.mask(i) is not None for i in range(len(size))], dtype=np.bool_)
    usable = ~donor.ignore & (size.min(axis=1, initial=np.inf) >= LEAST_SIDE) & (masked | small)
    count = int(rng.integers(1, augmentation.pasted_objects + 1))
    return rng.permutation(np.flatnonzero(usable))[:count]


def _shared(boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(M,): another box covers a part of this one."""
    low = np.maximum(boxes[:, None, :2], boxes[:, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[:, 2:])
    common = (high - low).clip(0.0).prod(axis=2)
    own = np.diag(common).copy()
    np.fill_diagonal(common, 0.0)
    shared: NDArray[np.bool_] = common.max(axis=1, initial=0.0) > SHARED_RECTANGLE * own
    return shared


def _cutout(
    donor: LabelledPicture,
    index: int,
    frame: tuple[int, int],
    rng: np.random.Generator,
    augmentation: Augmentation,
) -> Cutout:
    """One object, resized and perhaps mirrored; it fits into `frame`, width and height."""
    height, width = donor.image.shape[:2]
    x0, y0 = np.floor(donor.boxes[index, :2]).clip(0).astype(int)
    x1, y1 = np.minimum(np.ceil(donor.boxes[index, 2:]).astype(int), [width, height])
    scale = np.sqrt(frame[0] * frame[1] / (width * height)) * rng.uniform(
        *augmentation.pasted_scale
    )
    scale = min(scale, frame[0] / (x1 - x0), frame[1] / (y1 - y0))
    w, h = (
        min(max(round((x1 - x0) * scale), 4), frame[0]),
        min(max(round((y1 - y0) * scale), 4), frame[1]),
    )
    image, mask = resized(donor.image[y0:y1, x0:x1], w, h), donor.mask(index)
    if mask is None:
        opacity = _soft_rectangle(w, h)
    else:
        bits = np.ascontiguousarray(mask[y0:y1, x0:x1], dtype=np.float32)
        opacity = cv2.resize(bits, (w, h), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    if rng.random() < augmentation.flip:
        image, opacity = image[:, ::-1], opacity[:, ::-1]
    return Cutout(
        image=image, opacity=opacity, cut_along=mask is not None, phrase=int(donor.phrase[index])
    )


def _soft_rectangle(width: int, height: int) -> NDArray[np.float32]:
    feather = max(FEATHER * min(width, height), 1.5)
    x, y = (
        np.minimum(np.arange(side) + 0.5, side - 0.5 - np.arange(side)) / feather
        for side in (width, height)
    )
    soft: NDArray[np.float32] = np.minimum(y[:, None], x).clip(0.0, 1.0).astype(np.float32)
    return soft


def _original(picture: LabelledPicture, index: int) -> _Object:
    return _Object(
        box=picture.boxes[index],
        mask=picture.mask(index),
        phrase=int(picture.phrase[index]),
        ignore=bool(picture.ignore[index]),
        order=0,
    )


def _pasted(
    image: NDArray[np.uint8],
    depth: NDArray[np.uint8],
    cutout: Cutout,
    order: int,
    rng: np.random.Generator,
) -> _Object:
    """Blends it into the image, somewhere. depth: which object was pasted last over each pixel."""
    h, w = cutout.opacity.shape
    x = int(rng.integers(image.shape[1] - w + 1))
    y = int(rng.integers(image.shape[0] - h + 1))
    place, opacity = image[y : y + h, x : x + w], cutout.opacity[..., None]
    place[:] = np.round(opacity * cutout.image + (1.0 - opacity) * place).astype(np.uint8)
    bits = cutout.opacity >= OPAQUE
    depth[y : y + h, x : x + w][bits] = order
    box, mask = np.array([x, y, x + w, y + h], dtype=np.float32), None
    if cutout.cut_along:
        mask, box = _placed(bits, x, y, depth.shape)
    return _Object(box=box, mask=mask, phrase=cutout.phrase, ignore=False, order=order)


def _seen(one: _Object, depth: NDArray[np.uint8]) -> _Object | None:
    """What later objects leave of it; None for nothing."""
    x0, y0 = np.floor(one.box[:2]).clip(0).astype(int).tolist()
    x1, y1 = np.ceil(one.box[2:]).astype(int).tolist()
    free = depth[y0:y1, x0:x1] <= one.order
    if free.all():
        return one
    own = np.ones_like(free) if one.mask is None else one.mask[y0:y1, x0:x1]
    visible = own & free
    if not visible.any():
        return None
    ignore = one.ignore or bool(visible.sum() < LEAST_VISIBLE * own.sum())
    if one.mask is None:
        return replace(one, ignore=ignore)
    mask, box = _placed(visible, x0, y0, depth.shape)
    return replace(one, mask=mask, box=box, ignore=ignore)


def _placed(
    bits: NDArray[np.bool_], x: int, y: int, shape: tuple[int, ...]
) -> tuple[Mask, NDArray[np.float32]]:
    """Bits as a mask of a whole picture, with their top left pixel at x, y; and their box."""
    mask = np.zeros(shape, dtype=np.bool_)
    mask[y : y + bits.shape[0], x : x + bits.shape[1]] = bits
    rows, columns = np.flatnonzero(bits.any(axis=1)), np.flatnonzero(bits.any(axis=0))
    box = [x + columns[0], y + rows[0], x + columns[-1] + 1, y + rows[-1] + 1]
    return mask, np.array(box, dtype=np.float32)

"""Objects of one picture pasted into another (arXiv:2012.07177), and what they hide taken note of.

An object of which only the box is known is pasted where it is small: of a large one the background
would be learned.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sam3_edge.training.data.augment import LEAST_VISIBLE
from sam3_edge.training.data.augmentation import Augmentation
from sam3_edge.training.data.cutouts import Cutout, cut_out, recoloured, usable_objects
from sam3_edge.training.data.labelled import LabelledPicture, Mask, known_masks

# Nothing smaller is cut out, pixels a side.
LEAST_SIDE = 8
# From here on a pixel shows what was pasted.
OPAQUE = 0.5


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
    usable = usable_objects(donor, augmentation.pasted_rectangle, LEAST_SIDE)
    count = int(rng.integers(1, augmentation.pasted_objects + 1))
    return with_objects(picture, donor, rng.permutation(usable)[:count], rng, augmentation)


def with_objects(
    picture: LabelledPicture,
    donor: LabelledPicture,
    chosen: NDArray[np.int64],
    rng: np.random.Generator,
    augmentation: Augmentation,
    *,
    oval: bool = False,
    most_side: float = 1.0,
) -> LabelledPicture:
    """The picture with these objects of the donor, one after the other; itself where none fits.

    oval: what has no mask is cut out as an oval that fades into the place it comes to. most_side: of
    the picture's, that an object takes at most.
    """
    if len(chosen) == 0:
        return picture
    image = picture.image.copy()
    height, width = image.shape[:2]
    depth = np.zeros((height, width), dtype=np.uint8)
    frame = round(most_side * width), round(most_side * height)
    objects = [_original(picture, index) for index in range(len(picture.boxes))]
    for number, index in enumerate(chosen, start=1):
        cutout = cut_out(donor, int(index), (width, height), frame, rng, augmentation, oval=oval)
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
    shown = recoloured(cutout, place)
    place[:] = np.round(opacity * shown + (1.0 - opacity) * place).astype(np.uint8)
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

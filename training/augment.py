"""From a labelled picture to a training sample: crop, flip, colours, mosaic.

Everything random comes from the generator that is passed in, so that a sample is a function of
(seed, epoch, index).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.training.labelled import LabelledPicture
from sam3_edge.training.targets import PhraseTarget, Sample

# An object of which a crop leaves less than this share is neither right nor wrong to find.
LEAST_VISIBLE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """x0, y0, x1, y1: pixels of the picture that fill the sample. flip: left to right."""

    x0: float
    y0: float
    x1: float
    y1: float
    flip: bool = False


def augmented_sample(
    picture: LabelledPicture, rng: np.random.Generator, size: int, mask_side: int
) -> Sample:
    window = random_window(picture.image.shape[1], picture.image.shape[0], rng)
    sample = cut(picture, window, size, mask_side)
    return Sample(image=jitter_colours(sample.image, rng), phrases=sample.phrases)


def plain_sample(picture: LabelledPicture, size: int, mask_side: int) -> Sample:
    """The whole picture, as it is at inference."""
    height, width = picture.image.shape[:2]
    return cut(picture, Window(x0=0, y0=0, x1=width, y1=height), size, mask_side)


def random_window(width: int, height: int, rng: np.random.Generator) -> Window:
    """The whole picture in a third of the cases, else 30 to 100 % of it, slightly stretched."""
    flip = bool(rng.random() < 0.5)
    if rng.random() < 0.33:
        return Window(x0=0, y0=0, x1=width, y1=height, flip=flip)
    side, stretch = np.sqrt(rng.uniform(0.3, 1.0)), np.exp(rng.uniform(-0.2, 0.2))
    w, h = width * min(side * stretch, 1.0), height * min(side / stretch, 1.0)
    x0, y0 = rng.uniform(0.0, width - w), rng.uniform(0.0, height - h)
    return Window(x0=round(x0), y0=round(y0), x1=round(x0 + w), y1=round(y0 + h), flip=flip)


def cut(picture: LabelledPicture, window: Window, size: int, mask_side: int) -> Sample:
    """The window, resized to (size, size), with what is known of it."""
    columns, rows = slice(int(window.x0), int(window.x1)), slice(int(window.y0), int(window.y1))
    image = _resize(picture.image[rows, columns], size)
    low = np.array([window.x0, window.y0] * 2, dtype=np.float32)
    span = np.array([window.x1 - window.x0, window.y1 - window.y0] * 2, dtype=np.float32)
    inside = ((picture.boxes - low) / span).clip(0.0, 1.0)
    whole = (picture.boxes[:, 2:] - picture.boxes[:, :2]).prod(axis=1)
    left = (inside[:, 2:] - inside[:, :2]).prod(axis=1) * span[:2].prod()
    ignore = picture.ignore | (left < LEAST_VISIBLE * whole)
    if window.flip:
        image = np.ascontiguousarray(image[:, ::-1])
        inside = inside[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + np.array([1, 0, 1, 0])
    inside = inside.astype(np.float32)
    boxes = np.concatenate(((inside[:, :2] + inside[:, 2:]) / 2, inside[:, 2:] - inside[:, :2]), 1)
    targets = []
    for index, text in enumerate(picture.phrases):
        mine = (picture.phrase == index) & (left > 0.0)
        wanted = np.flatnonzero(mine & ~ignore)
        masks = None
        if picture.masks is not None:
            cropped = [picture.masks[i][rows, columns] for i in wanted]
            masks = _shrink(cropped, mask_side, flip=window.flip)
        targets.append(
            PhraseTarget(text=text, boxes=boxes[wanted], masks=masks, ignore=boxes[mine & ignore])
        )
    return Sample(image=image, phrases=tuple(targets))


def mosaic(pictures: Sequence[LabelledPicture], side: int) -> LabelledPicture:
    """Four pictures that are asked the same phrases, as the quarters of one of 2 side x 2 side."""
    assert len(pictures) == 4
    assert len({picture.phrases for picture in pictures}) == 1
    image = np.empty((2 * side, 2 * side, 3), dtype=np.uint8)
    boxes, masks = [], []
    for quarter, picture in enumerate(pictures):
        x, y = side * (quarter % 2), side * (quarter // 2)
        height, width = picture.image.shape[:2]
        image[y : y + side, x : x + side] = _resize(picture.image, side)
        scale = np.array([side / width, side / height] * 2, dtype=np.float32)
        boxes.append(picture.boxes * scale + np.array([x, y] * 2, dtype=np.float32))
        for mask in picture.masks or ():
            placed = np.zeros((2 * side, 2 * side), dtype=np.bool_)
            placed[y : y + side, x : x + side] = _resize(mask.astype(np.uint8), side) > 0
            masks.append(placed)
    known = all(picture.masks is not None for picture in pictures)
    return LabelledPicture(
        image=image,
        phrases=pictures[0].phrases,
        boxes=np.concatenate(boxes),
        phrase=np.concatenate([picture.phrase for picture in pictures]),
        ignore=np.concatenate([picture.ignore for picture in pictures]),
        masks=tuple(masks) if known else None,
    )


def jitter_colours(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Hue, saturation, brightness and contrast; seldom grey or blurred. (S, S, 3) RGB."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    ramp = np.arange(256, dtype=np.float32)
    hue = ((ramp + rng.uniform(-12.0, 12.0)) % 180).astype(np.uint8)
    saturation = (ramp * rng.uniform(0.6, 1.4)).clip(0, 255).astype(np.uint8)
    contrast, light = rng.uniform(0.7, 1.3), rng.uniform(-30.0, 30.0)
    value = ((ramp - 128.0) * contrast + 128.0 + light).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.05:
        saturation[:] = 0
    tables = np.stack((hue, saturation, value), axis=-1)[None]
    jittered = cv2.cvtColor(cv2.LUT(hsv, tables), cv2.COLOR_HSV2RGB)
    if rng.random() < 0.1:
        jittered = cv2.GaussianBlur(jittered, (0, 0), rng.uniform(0.4, 1.0))
    return jittered.astype(np.uint8, copy=False)


def _resize(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    shrinks = image.shape[0] >= side and image.shape[1] >= side
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(np.ascontiguousarray(image), (side, side), interpolation=method)
    return resized.astype(np.uint8, copy=False)


def _shrink(masks: Sequence[NDArray[np.bool_]], side: int, *, flip: bool) -> NDArray[np.float32]:
    """(M, side, side) float32: the share of each cell that is covered."""
    shrunk = np.zeros((len(masks), side, side), dtype=np.float32)
    for mask, out in zip(masks, shrunk, strict=True):
        seen = mask[:, ::-1] if flip else mask
        out[...] = cv2.resize(
            np.ascontiguousarray(seen, dtype=np.float32), (side, side), interpolation=cv2.INTER_AREA
        )
    return shrunk

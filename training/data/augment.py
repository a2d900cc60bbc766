"""From a labelled picture to a training sample: crop or zoom, flip, colours, mosaic.

Everything random comes from the generator that is passed in, so that a sample is a function of
(seed, epoch, index).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.training.data.augmentation import DEFAULT, Augmentation
from sam3_edge.training.data.camera import through_camera
from sam3_edge.training.data.labelled import LabelledPicture, Mask, known_masks
from sam3_edge.training.data.targets import PhraseTarget, Sample
from sam3_edge.training.data.water import through_water
from sam3_edge.training.data.windows import Window, chosen_window

# An object of which a crop leaves less than this share is neither right nor wrong to find.
LEAST_VISIBLE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """What of a picture is seen: rows and columns, and in which part of the sample, 0..1."""

    rows: slice
    columns: slice
    part: tuple[float, float, float, float]
    flip: bool


def augmented_sample(
    picture: LabelledPicture,
    rng: np.random.Generator,
    size: int,
    mask_side: int,
    augmentation: Augmentation = DEFAULT,
) -> Sample:
    window = chosen_window(picture, rng, mask_side, augmentation)
    sample = cut(picture, window, size, mask_side)
    image = jitter_colours(sample.image, rng, augmentation)
    image = through_water(image, rng, augmentation.water)
    image = through_camera(image, rng, augmentation.camera)
    return Sample(image=image, phrases=sample.phrases)


def plain_sample(picture: LabelledPicture, size: int, mask_side: int) -> Sample:
    """The whole picture, as it is at inference."""
    height, width = picture.image.shape[:2]
    return cut(picture, Window(x0=0, y0=0, x1=width, y1=height), size, mask_side)


def cut(picture: LabelledPicture, window: Window, size: int, mask_side: int) -> Sample:
    """The window, resized to (size, size), with what is known of it."""
    view = _view(window, *picture.image.shape[:2])
    low = np.array([window.x0, window.y0] * 2, dtype=np.float32)
    span = np.array([window.x1 - window.x0, window.y1 - window.y0] * 2, dtype=np.float32)
    inside = ((picture.boxes - low) / span).clip(0.0, 1.0)
    whole = (picture.boxes[:, 2:] - picture.boxes[:, :2]).prod(axis=1)
    left = (inside[:, 2:] - inside[:, :2]).prod(axis=1) * span[:2].prod()
    ignore = picture.ignore | (left < LEAST_VISIBLE * whole)
    if window.flip:
        inside = inside[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + np.array([1, 0, 1, 0])
    inside = inside.astype(np.float32)
    boxes = np.concatenate(((inside[:, :2] + inside[:, 2:]) / 2, inside[:, 2:] - inside[:, :2]), 1)
    targets = []
    for index, text in enumerate(picture.phrases):
        mine = (picture.phrase == index) & (left > 0.0)
        wanted = np.flatnonzero(mine & ~ignore)
        masks, owner = _cut_masks(picture, wanted, view, mask_side)
        targets.append(
            PhraseTarget(
                text=text,
                boxes=boxes[wanted],
                masks=masks,
                mask_object=owner,
                ignore=boxes[mine & ignore],
            )
        )
    return Sample(image=_cut_image(picture.image, view, size), phrases=tuple(targets))


def mosaic(pictures: Sequence[LabelledPicture], side: int) -> LabelledPicture:
    """Four pictures that are asked the same phrases, as the quarters of one of 2 side x 2 side."""
    assert len(pictures) == 4
    assert len({picture.phrases for picture in pictures}) == 1
    image = np.empty((2 * side, 2 * side, 3), dtype=np.uint8)
    boxes: list[NDArray[np.float32]] = []
    masks: list[Mask | None] = []
    for quarter, picture in enumerate(pictures):
        x, y = side * (quarter % 2), side * (quarter // 2)
        height, width = picture.image.shape[:2]
        image[y : y + side, x : x + side] = resized(picture.image, side, side)
        scale = np.array([side / width, side / height] * 2, dtype=np.float32)
        boxes.append(picture.boxes * scale + np.array([x, y] * 2, dtype=np.float32))
        for index in range(len(picture.boxes)):
            placed, mask = None, picture.mask(index)
            if mask is not None:
                placed = np.zeros((2 * side, 2 * side), dtype=np.bool_)
                small = resized(mask.astype(np.uint8), side, side)
                placed[y : y + side, x : x + side] = small > 0
            masks.append(placed)
    return LabelledPicture(
        image=image,
        phrases=pictures[0].phrases,
        boxes=np.concatenate(boxes),
        phrase=np.concatenate([picture.phrase for picture in pictures]),
        ignore=np.concatenate([picture.ignore for picture in pictures]),
        masks=known_masks(masks),
    )


def jitter_colours(
    image: NDArray[np.uint8], rng: np.random.Generator, strength: Augmentation = DEFAULT
) -> NDArray[np.uint8]:
    """Hue, saturation, brightness and contrast; seldom grey or blurred. (S, S, 3) RGB."""
    ramp = np.arange(256, dtype=np.float32)
    hue = ((ramp + rng.uniform(-strength.hue, strength.hue)) % 180).astype(np.uint8)
    more = 1.0 + rng.uniform(-strength.saturation, strength.saturation)
    saturation = (ramp * more).clip(0, 255).astype(np.uint8)
    contrast = 1.0 + rng.uniform(-strength.contrast, strength.contrast)
    light = rng.uniform(-strength.light, strength.light)
    value = ((ramp - 128.0) * contrast + 128.0 + light).clip(0, 255).astype(np.uint8)
    if rng.random() < strength.grey:
        saturation[:] = 0
    tables = np.stack((hue, saturation, value), axis=-1)[None]
    changed = not np.array_equal(tables[0, :180], np.repeat(np.arange(180)[:, None], 3, axis=1))
    jittered = image
    if changed:  # There and back alone would cost up to two levels.
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        jittered = cv2.cvtColor(cv2.LUT(hsv, tables), cv2.COLOR_HSV2RGB)  # type: ignore[assignment]
    if rng.random() < strength.blur:
        jittered = cv2.GaussianBlur(jittered, (0, 0), rng.uniform(0.4, 1.0))  # type: ignore[assignment]
    return jittered.astype(np.uint8, copy=False)


def resized(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    given = np.ascontiguousarray(image)
    return cv2.resize(given, (width, height), interpolation=method).astype(np.uint8, copy=False)


def _view(window: Window, height: int, width: int) -> _View:
    x0, y0 = max(int(window.x0), 0), max(int(window.y0), 0)
    x1, y1 = min(int(window.x1), width), min(int(window.y1), height)
    span_x, span_y = window.x1 - window.x0, window.y1 - window.y0
    part = (
        (x0 - window.x0) / span_x,
        (y0 - window.y0) / span_y,
        (x1 - window.x0) / span_x,
        (y1 - window.y0) / span_y,
    )
    return _View(rows=slice(y0, y1), columns=slice(x0, x1), part=part, flip=window.flip)


def _target(view: _View, side: int) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1: which of side x side cells the view fills, before a flip."""
    x0, y0, x1, y1 = (round(edge * side) for edge in view.part)
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def _cut_image(image: NDArray[np.uint8], view: _View, size: int) -> NDArray[np.uint8]:
    x0, y0, x1, y1 = _target(view, size)
    small = resized(image[view.rows, view.columns], x1 - x0, y1 - y0)
    if small.shape[:2] != (size, size):
        canvas = np.empty((size, size, 3), dtype=np.uint8)
        canvas[:] = np.round(cv2.mean(small)[:3])
        canvas[y0:y1, x0:x1] = small
        small = canvas
    return cv2.flip(small, 1).astype(np.uint8, copy=False) if view.flip else small


def _cut_masks(
    picture: LabelledPicture, wanted: NDArray[np.int64], view: _View, side: int
) -> tuple[NDArray[np.float32] | None, NDArray[np.int64] | None]:
    """Masks of the wanted objects, share of each cell that is covered, and which have one."""
    if picture.masks is None:
        return None, None
    known = [(i, mask) for i, one in enumerate(wanted) if (mask := picture.mask(one)) is not None]
    shrunk = np.zeros((len(known), side, side), dtype=np.float32)
    x0, y0, x1, y1 = _target(view, side)
    for (_, mask), out in zip(known, shrunk, strict=True):
        seen = np.ascontiguousarray(mask[view.rows, view.columns]).view(np.uint8) * np.uint8(255)
        out[y0:y1, x0:x1] = cv2.resize(seen, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    shrunk /= 255.0
    if view.flip:
        shrunk = np.ascontiguousarray(shrunk[:, :, ::-1])
    owner = None if len(known) == len(wanted) else np.array([i for i, _ in known], dtype=np.int64)
    return shrunk, owner

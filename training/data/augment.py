"""From a labelled picture to a training sample: crop or zoom, flip, colours, mosaic.

Everything random comes from the generator that is passed in, so that a sample is a function of
(seed, epoch, index).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.training.data.labelled import LabelledPicture, Mask, known_masks
from sam3_edge.training.data.targets import PhraseTarget, Sample

# An object of which a crop leaves less than this share is neither right nor wrong to find.
LEAST_VISIBLE = 0.3
# No crop that is put around an object is smaller, pixels: there would be nothing left to see.
LEAST_WINDOW = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How strongly pictures are changed. All but the stated are probabilities.

    mosaic: four pictures become one. copy_paste: objects of another picture are pasted in, at most
    `pasted_objects` of them, `pasted_scale` times as large; one without a mask only if its longer
    side is at most `pasted_rectangle` of the picture's, 0 for never.

    Then, of what is left each time: zoom_in: a crop around one object, which takes `object_side`
    of its side; zoom_out: the picture on a canvas of its mean colour, `zoomed_side` as wide; whole:
    no crop; otherwise a crop of at least `crop` of the area, whose sides are stretched against each
    other by up to exp(`stretch`).

    hue: of 180, up or down. saturation, contrast: share, up or down. light: of 255, up or down.
    """

    mosaic: float = 0.0
    copy_paste: float = 0.0
    pasted_objects: int = 4
    pasted_scale: tuple[float, float] = (0.5, 1.5)
    pasted_rectangle: float = 0.2
    zoom_in: float = 0.0
    object_side: tuple[float, float] = (0.15, 0.6)
    zoom_out: float = 0.0
    zoomed_side: tuple[float, float] = (0.3, 0.9)
    whole: float = 0.33
    crop: float = 0.3
    stretch: float = 0.2
    flip: float = 0.5
    hue: float = 12.0
    saturation: float = 0.4
    contrast: float = 0.3
    light: float = 30.0
    grey: float = 0.05
    blur: float = 0.1

    @classmethod
    def none(cls) -> "Augmentation":
        """Every picture as it is at inference."""
        return cls(
            whole=1.0,
            flip=0.0,
            hue=0.0,
            saturation=0.0,
            contrast=0.0,
            light=0.0,
            grey=0.0,
            blur=0.0,
        )


DEFAULT = Augmentation()


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """x0, y0, x1, y1: pixels of the picture that fill the sample; where they lie outside of it, the
    sample shows the picture's mean colour. flip: left to right.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    flip: bool = False


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
    return Sample(image=image, phrases=sample.phrases)


def plain_sample(picture: LabelledPicture, size: int, mask_side: int) -> Sample:
    """The whole picture, as it is at inference."""
    height, width = picture.image.shape[:2]
    return cut(picture, Window(x0=0, y0=0, x1=width, y1=height), size, mask_side)


def chosen_window(
    picture: LabelledPicture, rng: np.random.Generator, mask_side: int, strength: Augmentation
) -> Window:
    height, width = picture.image.shape[:2]
    wanted = picture.boxes[~picture.ignore]
    if len(wanted) and rng.random() < strength.zoom_in:
        return zoomed_in_window(wanted[rng.integers(len(wanted))], width, height, rng, strength)
    if rng.random() < strength.zoom_out:
        return zoomed_out_window(width, height, rng, mask_side, strength)
    return random_window(width, height, rng, strength)


def random_window(
    width: int, height: int, rng: np.random.Generator, strength: Augmentation = DEFAULT
) -> Window:
    """The whole picture, or a part of it, slightly stretched."""
    flip = bool(rng.random() < strength.flip)
    if rng.random() < strength.whole:
        return Window(x0=0, y0=0, x1=width, y1=height, flip=flip)
    side = np.sqrt(rng.uniform(strength.crop, 1.0))
    stretch = np.exp(rng.uniform(-strength.stretch, strength.stretch))
    w, h = width * min(side * stretch, 1.0), height * min(side / stretch, 1.0)
    x0, y0 = rng.uniform(0.0, width - w), rng.uniform(0.0, height - h)
    return Window(x0=round(x0), y0=round(y0), x1=round(x0 + w), y1=round(y0 + h), flip=flip)


def zoomed_in_window(
    box: NDArray[np.float32],
    width: int,
    height: int,
    rng: np.random.Generator,
    strength: Augmentation = DEFAULT,
) -> Window:
    """A part of the picture, of its proportions, with all of one object in it, xyxy pixels."""
    frame = np.array([width, height], dtype=np.float64)
    low, high = box[:2].astype(np.float64), box[2:].astype(np.float64)
    share = ((high - low) / frame).max() / rng.uniform(*strength.object_side)
    side = frame * np.clip(share, LEAST_WINDOW / frame.max(), 1.0)
    first, last = (high - side).clip(0.0, frame - side), low.clip(0.0, frame - side)
    corner = first + rng.random(2) * (last - first)
    (x0, y0), (x1, y1) = np.floor(corner), np.ceil(corner + side).clip(0.0, frame)
    flip = bool(rng.random() < strength.flip)
    return Window(x0=x0, y0=y0, x1=x1, y1=y1, flip=flip)


def zoomed_out_window(
    width: int,
    height: int,
    rng: np.random.Generator,
    mask_side: int,
    strength: Augmentation = DEFAULT,
) -> Window:
    """More than the picture. It fills whole cells of the masks, so that these stay exact."""
    scale = rng.uniform(*strength.zoomed_side)
    stretch = np.exp(rng.uniform(-strength.stretch, strength.stretch))
    shares = scale * np.array([np.sqrt(stretch), 1.0 / np.sqrt(stretch)])
    cells = (2 * np.round(shares * mask_side / 2)).clip(2, mask_side)
    start = 2 * np.floor(rng.random(2) * ((mask_side - cells) / 2 + 1))
    frame = np.array([width, height])
    (x0, y0), (x1, y1) = -start * frame / cells, (mask_side - start) * frame / cells
    flip = bool(rng.random() < strength.flip)
    return Window(x0=x0, y0=y0, x1=x1, y1=y1, flip=flip)


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
    return np.ascontiguousarray(small[:, ::-1]) if view.flip else small


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

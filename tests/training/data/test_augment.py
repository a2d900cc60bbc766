"""Wherever a picture is cut, its boxes and masks go along."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_edge.training.data.augment import (
    LEAST_VISIBLE,
    augmented_sample,
    cut,
    jitter_colours,
    mosaic,
    plain_sample,
)
from sam3_edge.training.data.augmentation import Augmentation
from sam3_edge.training.data.labelled import LabelledPicture
from sam3_edge.training.data.targets import Sample
from sam3_edge.training.data.windows import (
    Window,
    chosen_window,
    random_window,
    zoomed_in_window,
    zoomed_out_window,
)

SIZE, MASK_SIDE = 96, 48
BOXES = ((20, 10, 60, 50), (100, 40, 140, 100), (50, 70, 90, 110))
PHRASES = (0, 1, 0)
COLOURS = ((250, 20, 20), (20, 250, 20), (20, 20, 250))


def picture(*, masks: bool = True, ignore: tuple[bool, ...] = (False,) * 3) -> LabelledPicture:
    """(120, 160): three plain rectangles on black, each of another colour."""
    image = np.zeros((120, 160, 3), np.uint8)
    bits = []
    for (x0, y0, x1, y1), colour in zip(BOXES, COLOURS, strict=True):
        image[y0:y1, x0:x1] = colour
        one = np.zeros(image.shape[:2], np.bool_)
        one[y0:y1, x0:x1] = True
        bits.append(one)
    return LabelledPicture(
        image=image,
        phrases=("fish", "starfish", "shark"),
        boxes=np.array(BOXES, np.float32),
        phrase=np.array(PHRASES, np.int64),
        ignore=np.array(ignore, np.bool_),
        masks=tuple(bits) if masks else None,
    )


def corners(box: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    cx, cy, w, h = box * side
    return np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])


def extent(bits: NDArray[np.bool_]) -> NDArray[np.int64]:
    rows, columns = np.nonzero(bits)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def agree(sample: Sample) -> None:
    """Each box is the extent of its mask, and of what the picture shows in its colour."""
    for phrase, target in enumerate(sample.phrases):
        assert target.masks is not None
        channels = [COLOURS[i].index(250) for i, p in enumerate(PHRASES) if p == phrase]
        for box, mask in zip(target.boxes, target.masks, strict=True):
            assert np.abs(extent(mask > 0.5) - corners(box, MASK_SIDE)).max() <= 1.01
            seen = [extent(sample.image[..., c] > 125) for c in channels
                    if (sample.image[..., c] > 125).any()]  # fmt: skip
            assert min(np.abs(e - corners(box, SIZE)).max() for e in seen) <= 1.51


@pytest.mark.parametrize("seed", range(20))
def test_boxes_masks_and_pixels_agree_after_any_cut(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sample = cut(picture(), random_window(160, 120, rng), SIZE, MASK_SIDE)
    assert sample.image.shape == (SIZE, SIZE, 3)
    for target in sample.phrases:
        assert target.masks is not None
        assert target.masks.shape == (len(target.boxes), MASK_SIDE, MASK_SIDE)
    agree(sample)


def test_a_flip_twice_is_no_flip() -> None:
    original = picture()
    mirrored = LabelledPicture(
        image=original.image[:, ::-1],
        phrases=original.phrases,
        boxes=np.array([160, 0, 160, 0], np.float32)
        + original.boxes[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32),
        phrase=original.phrase,
        ignore=original.ignore,
        masks=tuple(mask[:, ::-1] for mask in original.whole_masks() or ()),
    )
    whole = Window(x0=0, y0=0, x1=160, y1=120, flip=True)
    flipped, plain = cut(mirrored, whole, SIZE, MASK_SIDE), plain_sample(original, SIZE, MASK_SIDE)
    # Which resized pixel a coordinate rounds to may differ on the two sides of an edge.
    assert np.abs(flipped.image.astype(int) - plain.image).mean() < 1.0
    for one, other in zip(flipped.phrases, plain.phrases, strict=True):
        assert one.boxes == pytest.approx(other.boxes, abs=1e-6)
        assert one.masks == pytest.approx(other.masks, abs=1e-5)


def test_what_a_cut_leaves_little_of_is_ignored_and_what_is_outside_is_gone() -> None:
    # x from 50: a quarter of the first box is left, the others are whole.
    sample = cut(picture(), Window(x0=50, y0=0, x1=160, y1=120), SIZE, MASK_SIDE)
    assert LEAST_VISIBLE > 0.25
    fish, starfish, shark = sample.phrases
    assert (len(fish.boxes), len(fish.ignore)) == (1, 1)
    assert corners(fish.ignore[0], 1)[[0, 2]] == pytest.approx([0.0, 10 / 110], abs=1e-6)
    assert (len(starfish.boxes), len(shark.boxes), len(shark.ignore)) == (1, 0, 0)
    # y from 60 leaves nothing of the first box.
    fish = cut(picture(), Window(x0=0, y0=60, x1=160, y1=120), SIZE, MASK_SIDE).phrases[0]
    assert (len(fish.boxes), len(fish.ignore)) == (1, 0)


def test_what_was_ignored_stays_ignored() -> None:
    fish = plain_sample(picture(ignore=(True, False, False)), SIZE, MASK_SIDE).phrases[0]
    assert (len(fish.boxes), len(fish.ignore)) == (1, 1)
    assert fish.masks is not None
    assert len(fish.masks) == 1


def test_without_masks_there_are_none() -> None:
    sample = plain_sample(picture(masks=False), SIZE, MASK_SIDE)
    assert [target.masks for target in sample.phrases] == [None] * 3


def test_a_sample_is_a_function_of_its_generator() -> None:
    one, same, other = (
        augmented_sample(picture(), np.random.default_rng(seed), SIZE, MASK_SIDE)
        for seed in (3, 3, 4)
    )
    assert np.array_equal(one.image, same.image)
    assert not np.array_equal(one.image, other.image)
    for a, b in zip(one.phrases, same.phrases, strict=True):
        assert np.array_equal(a.boxes, b.boxes)


def test_colours_change_and_shapes_do_not() -> None:
    image = plain_sample(picture(), SIZE, MASK_SIDE).image
    before = image.copy()
    for seed in range(10):
        jittered = jitter_colours(image, np.random.default_rng(seed))
        assert jittered.shape == image.shape
        assert jittered.dtype == np.uint8
    assert np.array_equal(image, before)


@pytest.mark.parametrize("masks", [True, False])
def test_a_mosaic_shows_four_pictures(masks: bool) -> None:
    whole = mosaic([picture(masks=masks)] * 4, 80)
    assert whole.image.shape == (160, 160, 3)
    assert whole.boxes.shape == (12, 4)
    assert whole.phrases == picture().phrases
    for i, box in enumerate(whole.boxes):
        x0, y0, x1, y1 = np.round(box).astype(int)
        inside = whole.image[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2]
        assert np.abs(inside.astype(int) - COLOURS[i % 3]).max() < 25
        if masks:
            mask = whole.mask(i)
            assert mask is not None
            assert np.abs(extent(mask) - box).max() <= 1.0
    assert (whole.masks is None) is not masks


def test_a_mosaic_with_a_picture_without_masks_keeps_those_of_the_others() -> None:
    made = mosaic([picture()] * 3 + [picture(masks=False)], 80)
    assert [made.mask(i) is not None for i in range(12)] == [True] * 9 + [False] * 3
    assert made.whole_masks() is None


@pytest.mark.parametrize("flip", [False, True])
def test_masks_known_for_some_objects_stay_theirs(flip: bool) -> None:
    known = replace(picture(), masks=(None, *(picture().masks or ())[1:]))
    whole = Window(x0=0, y0=0, x1=160, y1=120, flip=flip)
    some, every = (cut(p, whole, SIZE, MASK_SIDE).phrases for p in (known, picture()))
    assert some[0].masks is not None
    assert every[0].masks is not None
    assert some[0].mask_object is not None
    assert some[0].mask_object.tolist() == [1]
    assert np.array_equal(some[0].masks, every[0].masks[1:])
    assert some[1].mask_object is None


def test_no_augmentation_leaves_the_picture_as_it_is() -> None:
    plain = plain_sample(picture(), SIZE, MASK_SIDE)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        sample = augmented_sample(picture(), rng, SIZE, MASK_SIDE, Augmentation.none())
        assert np.array_equal(sample.image, plain.image)
        for one, other in zip(sample.phrases, plain.phrases, strict=True):
            assert np.array_equal(one.boxes, other.boxes)


@pytest.mark.parametrize("seed", range(20))
def test_zooming_out_makes_everything_smaller(seed: int) -> None:
    rng = np.random.default_rng(seed)
    window = zoomed_out_window(160, 120, rng, MASK_SIDE, Augmentation(zoomed_side=(0.4, 0.8)))
    sample, plain = (
        cut(picture(), w, SIZE, MASK_SIDE) for w in (window, Window(x0=0, y0=0, x1=160, y1=120))
    )
    agree(sample)
    for one, other in zip(sample.phrases, plain.phrases, strict=True):
        assert len(one.boxes) == len(other.boxes)
        ratio = one.boxes[:, 2:] / other.boxes[:, 2:]
        assert (ratio < 0.95).all()
        assert (ratio > 0.3).all()
    x0, y0, x1, y1 = window.x0, window.y0, window.x1, window.y1
    assert x0 <= 0 <= 160 <= x1
    assert y0 <= 0 <= 120 <= y1
    # Around it the picture's mean colour.
    corner = sample.image[0 if y0 < -1e-6 else -1, 0 if (x0 < -1e-6) != window.flip else -1]
    assert np.abs(corner.astype(float) - picture().image.mean(axis=(0, 1))).max() < 6.0


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("index", range(3))
def test_zooming_in_keeps_all_of_one_object_and_makes_it_large(index: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    strength = Augmentation(object_side=(0.5, 0.6))
    box = np.array(BOXES[index], np.float32)
    large = LabelledPicture(
        image=np.zeros((1200, 1600, 3), np.uint8),
        phrases=("fish",),
        boxes=box[None] * 10,
        phrase=np.zeros(1, np.int64),
        ignore=np.zeros(1, np.bool_),
        masks=None,
    )
    window = zoomed_in_window(large.boxes[0], 1600, 1200, rng, strength)
    assert 0 <= window.x0 < window.x1 <= 1600
    assert 0 <= window.y0 < window.y1 <= 1200
    (target,) = cut(large, window, SIZE, MASK_SIDE).phrases
    (zoomed,) = target.boxes
    assert 0.45 < zoomed[2:].max() <= 0.61
    low, high = zoomed[:2] - zoomed[2:] / 2, zoomed[:2] + zoomed[2:] / 2
    assert (low >= -1e-6).all()
    assert (high <= 1 + 1e-6).all()


def test_a_picture_that_is_zoomed_out_lies_anywhere() -> None:
    rng = np.random.default_rng(0)
    windows = [zoomed_out_window(160, 120, rng, MASK_SIDE) for _ in range(60)]
    left = np.array([-w.x0 / (w.x1 - w.x0 - 160) for w in windows if w.x1 - w.x0 > 190])
    assert left.min() < 0.15 < 0.85 < left.max()


def test_every_strength_is_a_probability_of_its_own() -> None:
    rng = np.random.default_rng(0)
    out = replace(Augmentation.none(), zoom_out=1.0, zoomed_side=(0.3, 0.4))
    agree(augmented_sample(picture(), rng, SIZE, MASK_SIDE, out))
    zoomed = chosen_window(picture(), rng, MASK_SIDE, out)
    assert zoomed.x1 - zoomed.x0 > 2 * 160
    into = replace(Augmentation.none(), zoom_in=1.0, object_side=(0.9, 0.9))
    zoomed = chosen_window(picture(), rng, MASK_SIDE, into)
    assert zoomed.x1 - zoomed.x0 < 160
    nothing = replace(picture(), ignore=np.ones(3, np.bool_))
    zoomed = chosen_window(nothing, rng, MASK_SIDE, into)
    assert (zoomed.x0, zoomed.x1) == (0, 160)

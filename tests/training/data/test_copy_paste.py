"""What is pasted is labelled, and what it hides is no longer asked for."""

from dataclasses import replace

import numpy as np
import pytest

from sam3_edge.training.data.augment import LEAST_VISIBLE
from sam3_edge.training.data.augmentation import Augmentation
from sam3_edge.training.data.copy_paste import paste_objects
from sam3_edge.training.data.labelled import LabelledPicture

PHRASES = ("fish", "shark")
ALWAYS = Augmentation(copy_paste=1.0, pasted_objects=3)
# As large as the donor's picture's share: what is pasted keeps its size.
SAME_SIZE = replace(ALWAYS, pasted_scale=(1.0, 1.0), flip=0.0)


def picture(
    boxes: list[tuple[int, int, int, int]], colour: int, *, masks: bool = True, side: int = 100
) -> LabelledPicture:
    """Bright rectangles of one value on a dark one of `colour`; masks leave a margin of a pixel."""
    image = np.full((side, side, 3), colour, np.uint8)
    bits = []
    for x0, y0, x1, y1 in boxes:
        image[y0:y1, x0:x1] = colour + 100
        one = np.zeros((side, side), np.bool_)
        one[y0:y1, x0:x1] = True
        bits.append(one)
    return LabelledPicture(
        image=image,
        phrases=PHRASES,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        phrase=np.arange(len(boxes)) % 2,
        ignore=np.zeros(len(boxes), np.bool_),
        masks=tuple(bits) if masks else None,
    )


SEA = [(10, 10, 40, 40), (50, 20, 90, 60), (20, 70, 60, 95)]
DONOR = [(5, 5, 25, 35), (40, 40, 80, 60), (60, 5, 90, 30)]


@pytest.mark.parametrize("seed", range(20))
def test_boxes_are_the_extents_of_what_is_visible(seed: int) -> None:
    made = paste_objects(picture(SEA, 20), picture(DONOR, 120), np.random.default_rng(seed), ALWAYS)
    assert made.masks is not None
    assert len(made.boxes) == len(made.phrase) == len(made.ignore) == len(made.masks)
    total = np.zeros(made.image.shape[:2], int)
    for box, mask in zip(made.boxes, made.masks, strict=True):
        assert mask is not None
        rows, columns = np.nonzero(mask)
        extent = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert box.tolist() == extent
        total += mask
    assert total.max() == 1, "nothing is seen through what was pasted"
    # A pasted pixel is bright, an original object's less so, water darkest.
    pasted = made.image[..., 0] > 200
    known = np.logical_or.reduce([m for m in made.masks if m is not None])
    assert (pasted & ~known).sum() == 0


@pytest.mark.parametrize("seed", range(10))
def test_the_originals_are_not_written_to(seed: int) -> None:
    sea, donor = picture(SEA, 20), picture(DONOR, 120)
    paste_objects(sea, donor, np.random.default_rng(seed), ALWAYS)
    for one, fresh in ((sea, picture(SEA, 20)), (donor, picture(DONOR, 120))):
        assert np.array_equal(one.image, fresh.image)
        assert np.array_equal(one.boxes, fresh.boxes)
        for mask, other in zip(one.masks or (), fresh.masks or (), strict=True):
            assert mask is not None
            assert other is not None
            assert np.array_equal(mask, other)


def covered(box: tuple[int, int, int, int], pasted_side: int) -> LabelledPicture:
    """One object under one that is `pasted_side` large and fills a corner-to-corner picture."""
    sea, donor = picture([box], 20), picture([(0, 0, pasted_side, 100)], 120)
    return paste_objects(sea, donor, np.random.default_rng(0), SAME_SIZE)


def test_what_is_hidden_whole_is_gone_and_what_is_nearly_is_ignored() -> None:
    made = covered((10, 10, 40, 40), 100)
    assert made.boxes.tolist() == [[0, 0, 100, 100]]
    sea = picture([(0, 0, 100, 10)], 20)
    for left in (10, 29, 31, 60):
        donor = picture([(0, 0, 100 - left, 100)], 120)
        made = paste_objects(sea, donor, np.random.default_rng(1), SAME_SIZE)
        assert made.ignore.tolist() == [left < 100 * LEAST_VISIBLE, False]


def test_small_objects_without_masks_are_pasted_with_soft_edges() -> None:
    sea, donor = picture(SEA, 20), picture([(40, 40, 56, 56)], 120, masks=False)
    made = paste_objects(sea, donor, np.random.default_rng(2), SAME_SIZE)
    assert len(made.boxes) == 4
    assert made.masks is not None
    assert made.masks[-1] is None
    x0, y0, x1, y1 = made.boxes[-1].astype(int)
    patch = made.image[y0:y1, x0:x1, 0].astype(int)
    assert (patch[4:-4, 4:-4] == 220).all()
    assert (patch[0] < 200).all()


@pytest.mark.parametrize("limit", [0.0, 0.15])
def test_large_objects_without_masks_are_not(limit: float) -> None:
    sea, donor = picture(SEA, 20), picture([(40, 40, 56, 56)], 120, masks=False)
    strength = replace(ALWAYS, pasted_rectangle=limit)
    assert paste_objects(sea, donor, np.random.default_rng(2), strength) is sea


def test_a_rectangle_that_shows_another_object_is_not_pasted() -> None:
    sea = picture(SEA, 20, masks=False)
    donor = picture([(40, 40, 56, 56), (50, 40, 66, 56)], 120, masks=False)
    assert paste_objects(sea, donor, np.random.default_rng(2), ALWAYS) is sea


def test_what_is_ignored_or_tiny_is_not_pasted() -> None:
    sea, donor = picture(SEA, 20), picture([(5, 5, 25, 35), (40, 40, 44, 60)], 120)
    donor = replace(donor, ignore=np.array([True, False]))
    assert paste_objects(sea, donor, np.random.default_rng(0), ALWAYS) is sea


def test_a_donor_of_another_size_fits() -> None:
    donor = picture([(0, 0, 400, 390)], 120, side=400)
    strength = replace(ALWAYS, pasted_scale=(3.0, 3.0))
    made = paste_objects(picture(SEA, 20), donor, np.random.default_rng(0), strength)
    assert made.image.shape == (100, 100, 3)
    assert (made.boxes[:, 2:] <= 100).all()


def test_the_result_is_the_generators() -> None:
    sea, donor = picture(SEA, 20), picture(DONOR, 120)
    one, same, other = (
        paste_objects(sea, donor, np.random.default_rng(seed), ALWAYS) for seed in (1, 1, 2)
    )
    assert np.array_equal(one.image, same.image)
    assert np.array_equal(one.boxes, same.boxes)
    assert not np.array_equal(one.image, other.image)

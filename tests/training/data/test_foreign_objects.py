"""Objects of another data set are labelled and asked for; nothing else about the picture changes."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_edge.training.data.augmentation import Augmentation
from sam3_edge.training.data.foreign_objects import MOST_SIDE, merged_phrases, paste_foreign
from sam3_edge.training.data.labelled import LabelledPicture
from sam3_edge.training.data.mixture import Mixture, Source
from sam3_edge.training.data.targets import Sample

STRENGTH = Augmentation(paste_foreign=1.0, pasted_objects=2)
SEA, LAND = ("fish", "shark", "Starfish"), ("car", "person", "fish")


def picture(
    phrases: tuple[str, ...],
    shown: list[int],
    colour: int,
    *,
    masks: bool = True,
    side: int = 100,
    large: int = 24,
) -> LabelledPicture:
    """Squares one beside the other, of `colour` + 100 on `colour`."""
    image = np.full((100, side, 3), colour, np.uint8)
    boxes, bits = [], []
    for number in range(len(shown)):
        x, y = 3 + (large + 4) * number, 30
        image[y : y + large, x : x + large] += np.uint8(100)
        one = np.zeros((100, side), np.bool_)
        one[y : y + large, x : x + large] = True
        boxes.append((x, y, x + large, y + large))
        bits.append(one)
    return LabelledPicture(
        image=image,
        phrases=phrases,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        phrase=np.array(shown, np.int64),
        ignore=np.zeros(len(shown), np.bool_),
        masks=tuple(bits) if masks else None,
    )


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_the_pasted_are_asked_for_and_lie_where_the_pixels_changed(seed: int, masks: bool) -> None:
    sea, donor = picture(SEA, [0, 1], 20), picture(LAND, [0, 1], 120, masks=masks, side=200)
    made = paste_foreign(sea, donor, np.random.default_rng(seed), STRENGTH)
    new = {made.phrases[i] for i in made.phrase} - set(SEA)
    assert new
    assert new <= {"car", "person"}
    assert made.phrases == (*SEA, *(p for p in made.phrases if p in new))
    inside = np.zeros(made.image.shape[:2], np.bool_)
    for box, phrase in zip(made.boxes.astype(int).tolist(), made.phrase, strict=True):
        if made.phrases[phrase] in new:
            x0, y0, x1, y1 = box
            inside[max(y0 - 1, 0) : y1 + 1, max(x0 - 1, 0) : x1 + 1] = True
            assert (made.image[(y0 + y1) // 2, (x0 + x1) // 2] > 120).all()
    changed = (made.image != sea.image).any(axis=2)
    assert changed.any()
    assert not (changed & ~inside).any()


def test_a_phrase_both_know_is_one_phrase() -> None:
    donor = picture(("starfish",), [0], 120)
    made = paste_foreign(picture(SEA, [0], 20), donor, np.random.default_rng(0), STRENGTH)
    assert made.phrases == SEA
    assert 2 in made.phrase


def a_kind_of_shark(_one: str, other: str) -> bool:
    return other == "shark"


def test_what_is_withheld_or_related_is_not_pasted() -> None:
    sea, donor, rng = picture(SEA, [0], 20), picture(LAND, [0, 1], 120), np.random.default_rng
    both = frozenset({"car", "person"})
    assert paste_foreign(sea, donor, rng(0), STRENGTH, withheld=both) is sea
    assert paste_foreign(sea, donor, rng(0), STRENGTH, related=a_kind_of_shark) is sea
    for seed in range(5):
        made = paste_foreign(sea, donor, rng(seed), STRENGTH, withheld=frozenset({"car"}))
        assert made.phrases == (*SEA, "person")
    asked = picture(("car",), [], 20)
    assert paste_foreign(asked, donor, rng(0), STRENGTH, withheld=both).phrases == ("car",)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("most", [3, 4, 5, None])
def test_an_added_phrase_takes_the_place_of_an_absent_one(seed: int, most: int | None) -> None:
    sea = picture((*SEA, "puffin"), [1], 20)
    asked = merged_phrases(sea, ("car", "shark", "person"), np.random.default_rng(seed), most)
    assert "shark" in asked
    assert len(set(asked)) == len(asked)
    assert len(asked) == 6 if most is None else len(asked) <= most
    absent = set(asked) - {"shark", "car", "person"}
    assert absent, "one that is not there is always asked"


def test_nothing_is_made_larger_than_the_picture_bears() -> None:
    donor = picture(LAND, [0], 120, large=69)
    strength = replace(STRENGTH, pasted_scale=(5.0, 5.0))
    made = paste_foreign(picture(SEA, [], 20), donor, np.random.default_rng(0), strength)
    (box,) = made.boxes
    assert (box[2:] - box[:2]).max() == 100 * MOST_SIDE


def test_of_a_large_object_without_mask_only_the_background_would_be_learned() -> None:
    donor, sea = picture(LAND, [0], 120, masks=False, large=60), picture(SEA, [0], 20)
    assert paste_foreign(sea, donor, np.random.default_rng(0), STRENGTH) is sea


def test_an_ovals_edge_takes_on_the_colour_of_its_place() -> None:
    """The donor's grey around the object is gone; the object's own middle is as it was."""
    donor = picture(LAND, [0], 120, masks=False, large=30)
    inner = donor.image[30:60, 3:33]
    inner[:] = 120
    inner[9:21, 9:21] = 220
    strength = replace(STRENGTH, pasted_scale=(1.0, 1.0))
    made = paste_foreign(picture(SEA, [], 20), donor, np.random.default_rng(3), strength)
    x0, y0, x1, y1 = made.boxes[0].astype(int).tolist()
    patch = made.image[y0:y1, x0:x1, 0].astype(int)
    assert (patch[0] <= 25).all()
    assert (patch[:, 0] <= 25).all()
    assert patch.max() > 210


class Endless:
    """The same picture again and again."""

    length = None

    def __init__(self, phrases: tuple[str, ...], colour: int) -> None:
        self.shown = picture(phrases, [0], colour)

    def picture(
        self,
        index: int,  # noqa: ARG002
        rng: np.random.Generator,  # noqa: ARG002
        phrases: tuple[str, ...] | None = None,  # noqa: ARG002
    ) -> LabelledPicture:
        return self.shown


def samples(probability: float, count: int = 6) -> list[Sample]:
    strength = replace(Augmentation.none(), paste_foreign=probability)
    sources = [
        Source(data=Endless(("fish",), 20), weight=1.0, augmentation=strength),
        Source(data=Endless(("car",), 120), weight=3.0, augmentation=strength),
    ]
    stream = Mixture(sources, seed=0, batch_size=2, image_size=96, mask_side=24)
    return [stream.sample(i) for i in range(count)]


def texts(sample: Sample) -> set[str]:
    return {phrase.text for phrase in sample.phrases}


def test_in_a_mixture_every_source_gives_to_every_other() -> None:
    assert all(texts(sample) == {"fish", "car"} for sample in samples(1.0))
    assert {frozenset(texts(one)) for one in samples(0.0)} == {
        frozenset({"fish"}),
        frozenset({"car"}),
    }
    same: list[NDArray[np.bool_]] = [
        one.image == other.image for one, other in zip(samples(1.0), samples(1.0), strict=True)
    ]
    assert all(one.all() for one in same)


def test_a_single_source_has_nothing_to_get() -> None:
    strength = replace(Augmentation.none(), paste_foreign=1.0)
    sources = [Source(data=Endless(("fish",), 20), weight=1.0, augmentation=strength)]
    stream = Mixture(sources, seed=0, batch_size=2, image_size=96, mask_side=24)
    assert texts(stream.sample(0)) == {"fish"}

"""A subset is a function of its arguments, and holds what it promises."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sam3_edge.errors import DatasetError
from sam3_edge.training.data.coco_annotations import Annotation, Photo
from sam3_edge.training.data.subsets import few_shot, limit_ids


def photo(id_: int, *categories: int, crowd: bool = False) -> Photo:
    annotations = tuple(
        Annotation(id=i, category=c, box=(0.0, 0.0, 1.0, 1.0), segmentation=None, crowd=crowd)
        for i, c in enumerate(categories)
    )
    return Photo(id=id_, path=Path("a"), width=4, height=4, annotations=annotations)


def many() -> list[Photo]:
    rng = np.random.default_rng(0)
    drawn = [rng.choice(6, size=rng.integers(0, 4), p=[0.4, 0.3, 0.15, 0.1, 0.04, 0.01])
             for _ in range(120)]  # fmt: skip
    return [photo(1000 - i, *categories.tolist()) for i, categories in enumerate(drawn)]


def shown(photos: tuple[Photo, ...] | list[Photo]) -> Counter[int]:
    return Counter(c for p in photos for c in {a.category for a in p.annotations})


def ids(photos: tuple[Photo, ...]) -> list[int]:
    return [one.id for one in photos]


def test_the_lowest_ids_are_the_first() -> None:
    photos = [photo(id_) for id_ in (7, 3, 9, 1)]
    assert ids(limit_ids(photos, 2)) == [3, 1]
    assert ids(limit_ids(photos, 100)) == [7, 3, 9, 1]
    assert ids(limit_ids(photos, [9, 7])) == [7, 9]


@pytest.mark.parametrize("limit", [0, -1, [], [3, 4]])
def test_nothing_or_an_unknown_id_is_refused(limit: int | list[int]) -> None:
    with pytest.raises(DatasetError, match=r"limit_ids: expected .*; give ids"):
        limit_ids([photo(3), photo(5)], limit)


@pytest.mark.parametrize("shots", [1, 3, 10])
@pytest.mark.parametrize("seed", range(5))
def test_every_category_has_its_shots_or_all_it_has(shots: int, seed: int) -> None:
    photos = many()
    chosen, whole = few_shot(photos, shots, seed), shown(photos)
    found = shown(chosen)
    assert all(found[c] >= min(shots, count) for c, count in whole.items())
    assert len(chosen) <= sum(min(shots, count) for count in whole.values())
    places = [photos.index(one) for one in chosen]
    assert places == sorted(places)


def test_a_photo_that_was_chosen_for_another_category_counts() -> None:
    photos = [photo(1, 0, 1), *(photo(id_, 1) for id_ in range(2, 9))]
    assert [ids(few_shot(photos, 1, seed)) for seed in range(5)] == [[1]] * 5


def test_the_seed_decides() -> None:
    one, same, other = (ids(few_shot(many(), 3, seed)) for seed in (1, 1, 2))
    assert one == same != other


def test_a_crowd_is_no_shot() -> None:
    assert few_shot([photo(1, 0, crowd=True), photo(2, 0)], 1, 0)[0].id == 2


def test_no_shots_are_refused() -> None:
    with pytest.raises(DatasetError, match="shots: expected at least 1, got 0"):
        few_shot(many(), 0, 0)

"""A place is on one side of a split, whole; and the groupings that are shipped say so of the data."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sam3_edge.errors import DatasetError
from sam3_edge.training.data.coco_annotations import Photo, read_coco
from sam3_edge.training.data.groups import (
    grouping_path,
    part_of,
    read_grouping,
    shipped_groupings,
)

REEF = {"reef": ["a.jpg", "b"], "harbour": ["c.jpg"], "pier": ["d.jpg"]}
SHARED = {
    "aquarium": ("aquarium/train/_annotations.coco.json", "aquarium/valid/_annotations.coco.json"),
    "coco_more": ("coco_more/_annotations.coco.json",),
    "deepfish": ("deepfish/_annotations.coco.json",),
    "openimages_fish": ("openimages_fish/_annotations.coco.json",),
}


def write(folder: Path, **other: Any) -> str:
    path = folder / "groups.json"
    known = {"schema": 1, "about": "by eye", "groups": REEF, "held_out": ["reef", "pier"]}
    path.write_text(json.dumps({**known, **other}))
    return str(path)


def photos(*names: str) -> tuple[Photo, ...]:
    return tuple(Photo(path=Path("far") / n, width=1, height=1, annotations=()) for n in names)


def names(chosen: tuple[Photo, ...]) -> list[str]:
    return [photo.path.name for photo in chosen]


def test_parts_keep_the_order_and_share_nothing(tmp_path: Path) -> None:
    every, groups = photos("d.jpg", "c.jpg", "b.rf.0af3.jpg", "a.jpg"), write(tmp_path)
    assert names(part_of(every, groups, "unseen")) == ["d.jpg", "b.rf.0af3.jpg", "a.jpg"]
    assert names(part_of(every, groups, "seen")) == ["c.jpg"]
    assert part_of(every, groups, "all") == every
    assert part_of(every, None, "all") == every


@pytest.mark.parametrize(
    ("shown", "part", "fact"),
    [
        (("a.jpg", "x.jpg", "y.jpg"), "all", "2 of 3, the first x.jpg"),
        (("a.jpg",), "seen", "none of 1"),
        (("a.jpg",), "held", "'held'"),
    ],
)
def test_what_the_grouping_cannot_answer_is_refused(
    tmp_path: Path, shown: tuple[str, ...], part: str, fact: str
) -> None:
    with pytest.raises(DatasetError) as error:
        part_of(photos(*shown), write(tmp_path), part)
    assert fact in str(error.value)
    assert "\n" not in str(error.value)


def test_a_part_needs_groups() -> None:
    with pytest.raises(DatasetError):
        part_of(photos("a.jpg"), None, "unseen")


@pytest.mark.parametrize(
    ("other", "fact"),
    [
        ({"schema": 2}, "schema 2"),
        ({"groups": [1]}, "AttributeError"),
        ({"groups": {"reef": [3], "pier": []}}, "TypeError"),
        ({"held_out": ["river"]}, "'river'"),
        ({"groups": {**REEF, "pier": ["a.jpg"]}}, "'a.jpg'"),
        ({"groups": {**REEF, "pier": ["d.jpg", "d.rf.1.jpg", "d"]}}, "'d'"),
    ],
)
def test_another_form_is_refused(tmp_path: Path, other: dict[str, Any], fact: str) -> None:
    with pytest.raises(DatasetError) as error:
        read_grouping(write(tmp_path, **other))
    assert fact in str(error.value)


def test_an_unknown_grouping_lists_the_shipped_ones() -> None:
    with pytest.raises(DatasetError) as error:
        grouping_path("aquariums")
    assert all(name in str(error.value) for name in shipped_groupings())


@pytest.mark.parametrize("name", shipped_groupings())
def test_a_shipped_grouping_knows_every_picture_and_holds_out_a_fifth(
    shared: Path, name: str
) -> None:
    train, *others = SHARED[name]
    phrases, every = read_coco(shared / "data" / train)
    seen, unseen = (part_of(every, name, part) for part in ("seen", "unseen"))
    assert sorted(names(seen + unseen)) == sorted(names(every))
    assert 0.15 < len(unseen) / len(every) <= 0.2 + 1 / len(every)
    for other in others:
        part_of(read_coco(shared / "data" / other)[1], name, "all")
    if name != "aquarium":
        return
    counts = Counter(phrases[a.category] for photo in unseen for a in photo.annotations)
    assert all(counts[phrase] >= 10 for phrase in phrases)

"""Annotations are checked before the first step: every fault counted, the first quoted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sam3_edge.errors import DatasetError
from sam3_edge.training.data.coco_annotations import find_faults, read_coco

Change = Callable[[dict[str, Any]], object]


def good() -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": "a.png", "width": 40, "height": 30}],
        "categories": [{"id": 3, "name": "fish"}, {"id": 9, "name": "starfish"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 9, "bbox": [4, 5, 10, 20], "segmentation": []},
            {"id": 2, "image_id": 7, "category_id": 3, "bbox": [-0.5, 0, 40.8, 30], "iscrowd": 1},
        ],
    }


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((30, 40, 3), np.uint8))
    return tmp_path / "annotations.json"


def test_what_is_read(annotations: Path) -> None:
    annotations.write_text(json.dumps(good()))
    phrases, photos = read_coco(annotations)
    assert phrases == ("fish", "starfish")
    assert [photo.path.name for photo in photos] == ["a.png"]
    first, second = photos[0].annotations
    assert (first.category, first.box, first.crowd) == (1, (4.0, 5.0, 14.0, 25.0), False)
    assert first.segmentation is None
    # Up to a pixel outside is rounding, and is cut off.
    assert (second.category, second.box, second.crowd) == (0, (0.0, 0.0, 40.0, 30.0), True)


def test_photos_may_lie_in_images(annotations: Path) -> None:
    annotations.write_text(json.dumps(good()))
    (annotations.parent / "images").mkdir()
    (annotations.parent / "a.png").rename(annotations.parent / "images" / "a.png")
    assert read_coco(annotations)[1][0].path.parent.name == "images"
    (annotations.parent / "images").rename(annotations.parent / "photos")
    photos = annotations.parent / "photos"
    assert read_coco(annotations, images=photos)[1][0].path.parent == photos
    assert find_faults(annotations, images=photos).total == 0
    assert find_faults(annotations).total == 1


def in_image(**fields: object) -> Change:
    return lambda data: data["images"][0].update(fields)


def in_object(**fields: object) -> Change:
    return lambda data: data["annotations"][0].update(fields)


FAULTS: dict[str, tuple[Change, str, str]] = {
    "outside": (in_object(bbox=[35, 5, 10, 20]), "box outside", r"40x30 pixels, got x 35\.\.45"),
    "just outside": (in_object(bbox=[40.2, 5, 0.5, 20]), "box outside", "inside 40x30 pixels"),
    "no area": (in_object(bbox=[4, 5, 0, 20]), "without an area", "got width 0 and height 20"),
    "inverted": (in_object(bbox=[4, 5, 3, -2]), "negative side", "a box with an area"),
    "three numbers": (in_object(bbox=[4, 5, 3]), "not four finite", "four finite numbers as bbox"),
    "not numbers": (in_object(bbox=[4, 5, 3, None]), "not four finite", "four finite numbers"),
    "NaN": (in_object(bbox=[4, 5, float("nan"), 2]), "not four finite", "four finite numbers"),
    "infinite": (in_object(bbox=[4, 5, float("inf"), 2]), "not four finite", "four finite"),
    "too long": (in_object(bbox=[4, 5, 10**400, 2]), "not four finite", "four finite numbers"),
    "no box": (lambda d: d["annotations"][0].pop("bbox"), "bbox missing", "a list .* got nothing"),
    "category": (in_object(category_id=4), "unknown category_id", "listed category, .* 4"),
    "image": (in_object(image_id=8), "unknown image_id", "image_id of a listed image, got 8"),
    "missing file": (in_image(file_name="b.png"), "missing image file", "picture b.png .* no such"),
    "no name": (lambda d: d["images"][0].pop("file_name"), "file_name missing", "a text as"),
    "no width": (in_image(width=None), "width of another type", "a whole number as width, got None"),
    "size zero": (in_image(height=0), "image without a size", "a size in pixels, got 40x0"),
    "annotation twice": (in_object(id=2), "annotation id given twice", "once, got 2 again"),
    "image twice": (
        lambda d: d["images"].append(d["images"][0]), "image id given twice", "got 7 again",
    ),
    "category twice": (
        lambda d: d["categories"].append(d["categories"][0]), "category id given twice", "got 3",
    ),
    "nameless": (lambda d: d["categories"][0].pop("name"), "name missing", "a text as name"),
    "blank": (lambda d: d["categories"][0].update(name=" "), "without a name", "got ' '; name it"),
    "no id": (lambda d: d["annotations"][1].pop("id"), "id missing", "annotation number 1: .* as id"),
    "open polygon": (in_object(segmentation=[[1, 2, 3, 4]]), "broken polygon", "three points"),
    "odd polygon": (in_object(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "broken polygon", "three"),
    "a text": (in_object(segmentation="abc"), "broken polygon", "expected polygons"),
    "turned RLE": (
        in_object(segmentation={"size": [40, 30], "counts": "0"}), "another size", "RLE of 40x30",
    ),
    "short RLE": (
        in_object(segmentation={"size": [30, 40], "counts": [5, 6]}), "does not fill", "11 pixels",
    ),
    "broken RLE": (
        in_object(segmentation={"size": [30, 40], "counts": "abc"}), "does not fill", "RLE that",
    ),
    "no images": (lambda d: d.pop("images"), "images missing", "a list as images, got nothing"),
    "no objects": (lambda d: d.pop("annotations"), "annotations missing", "got nothing"),
    "no categories": (lambda d: d.pop("categories"), "categories missing", "got nothing"),
    "odd images": (lambda d: d["images"].append(1), "no object", "expected objects, got 1"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_one_line_naming_the_file(annotations: Path, fault: str) -> None:
    change, kind, message = FAULTS[fault]
    data = good()
    change(data)
    annotations.write_text(json.dumps(data))
    with pytest.raises(DatasetError, match=f"[1-9] x .*{kind}.*; first: .*{message}") as caught:
        read_coco(annotations)
    assert str(caught.value).startswith(str(annotations))
    assert "\n" not in str(caught.value)
    assert "; run `sam3-edge train --check-data`" in str(caught.value), "says what to do"
    report = find_faults(annotations)
    found = [one for one in report.counts if kind in one.kind]
    assert [one.count for one in found] == [1]


def many_faults() -> dict[str, Any]:
    data = good()
    data["images"].append({"id": 8, "file_name": "b.png", "width": 40, "height": 30})
    data["annotations"] += [
        {"id": 3, "image_id": 8, "category_id": 3, "bbox": [1, 1, 5, 5]},
        *({"id": i, "image_id": 7, "category_id": 3, "bbox": [30, 1, 50, i]} for i in range(4, 9)),
        {"id": 9, "image_id": 7, "category_id": 4, "bbox": [1, 1, 0, 5], "segmentation": [[1]]},
    ]
    return data


def test_all_faults_are_found_in_one_pass(annotations: Path) -> None:
    annotations.write_text(json.dumps(many_faults()))
    report = find_faults(annotations)
    assert {one.kind: one.count for one in report.counts} == {
        "missing image file": 1,
        "box outside its picture": 5,
        "unknown category_id": 1,
        "box without an area": 1,
        "broken polygon": 1,
    }
    assert (report.images, report.annotations, report.total) == (1, 2, 9)
    outside = next(one for one in report.counts if one.kind == "box outside its picture")
    assert [text[:12] for text in outside.examples] == [f"annotation {i}" for i in (4, 5, 6)]
    lines = report.lines()
    assert lines[0].endswith("9 faults; 1 images and 2 annotations can be used")
    assert sum("annotation 9" in line for line in lines) == 3


def test_what_is_faulty_can_be_left_out(annotations: Path) -> None:
    annotations.write_text(json.dumps(good()))
    clean = read_coco(annotations)
    assert (
        find_faults(annotations)
        .lines()[0]
        .endswith("no faults; 1 images and 2 annotations can be used")
    )
    annotations.write_text(json.dumps(many_faults()))
    assert read_coco(annotations, skip_faulty=True) == clean


@pytest.mark.parametrize("key", ["images", "categories", "annotations"])
def test_nothing_left_is_an_error(annotations: Path, key: str) -> None:
    data = good()
    del data[key]
    annotations.write_text(json.dumps(data))
    with pytest.raises(DatasetError, match="expected categories, photos and annotations"):
        read_coco(annotations, skip_faulty=True)


def test_pictures_are_opened_where_asked(annotations: Path) -> None:
    annotations.write_text(json.dumps(good()))
    picture = annotations.parent / "a.png"
    cv2.imwrite(str(picture), np.zeros((40, 30, 3), np.uint8))
    assert find_faults(annotations).total == 0
    (turned,) = find_faults(annotations, decode=True).counts
    assert (turned.kind, turned.count) == ("picture of another size", 1)
    picture.write_bytes(b"not a picture")
    report = find_faults(annotations, decode=True)
    assert [one.kind for one in report.counts] == ["picture that does not decode"]
    assert report.images == 0


def test_categories_of_one_name_are_one_phrase(annotations: Path) -> None:
    data = good()
    data["categories"].append({"id": 11, "name": " Fish"})
    data["annotations"][0]["category_id"] = 11
    annotations.write_text(json.dumps(data))
    phrases, photos = read_coco(annotations)
    assert phrases == ("fish", "starfish")
    assert [a.category for a in photos[0].annotations] == [0, 0]


def test_the_root_above_the_categories_is_no_phrase(annotations: Path) -> None:
    data = good()
    data["categories"] = [
        {"id": 0, "name": "creatures", "supercategory": "none"},
        *({**category, "supercategory": "creatures"} for category in data["categories"]),
    ]
    annotations.write_text(json.dumps(data))
    assert read_coco(annotations)[0] == ("fish", "starfish")
    data["annotations"][0]["category_id"] = 0
    annotations.write_text(json.dumps(data))
    assert read_coco(annotations)[0] == ("creatures", "fish", "starfish")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"images": [{"id": 1'])
def test_what_is_no_annotation_file_is_refused(annotations: Path, text: str) -> None:
    annotations.write_text(text)
    for read in (read_coco, find_faults):
        with pytest.raises(DatasetError, match="expected COCO annotations"):
            read(annotations)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="FileNotFoundError"):
        read_coco(tmp_path / "none.json")

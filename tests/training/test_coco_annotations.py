"""Annotations are checked before the first step, each fault with one line that says what to do."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sam3_edge.errors import DatasetError
from sam3_edge.training.coco_annotations import read_coco

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


def in_image(**fields: object) -> Change:
    return lambda data: data["images"][0].update(fields)


def in_object(**fields: object) -> Change:
    return lambda data: data["annotations"][0].update(fields)


FAULTS: dict[str, tuple[Change, str]] = {
    "outside": (in_object(bbox=[35, 5, 10, 20]), r"inside 40x30 pixels, got x 35\.\.45"),
    "just outside": (in_object(bbox=[40.2, 5, 0.5, 20]), "inside 40x30 pixels"),
    "no area": (in_object(bbox=[4, 5, 0, 20]), "a box with an area, got width 0 and height 20"),
    "negative": (in_object(bbox=[4, 5, 3, -2]), "a box with an area"),
    "three numbers": (in_object(bbox=[4, 5, 3]), "four finite numbers as bbox"),
    "not numbers": (in_object(bbox=[4, 5, 3, None]), "four finite numbers as bbox"),
    "NaN": (in_object(bbox=[4, 5, float("nan"), 2]), "four finite numbers as bbox"),
    "no box": (lambda d: d["annotations"][0].pop("bbox"), "a list as bbox, got nothing"),
    "unknown category": (in_object(category_id=4), "a listed category, got category_id 4"),
    "unknown image": (in_object(image_id=8), "image_id of a listed image, got 8"),
    "missing file": (in_image(file_name="b.png"), "the picture b.png .* no such file"),
    "no file name": (lambda d: d["images"][0].pop("file_name"), "a text as file_name, got nothing"),
    "no width": (in_image(width=None), "a whole number as width, got None"),
    "size zero": (in_image(height=0), "a size in pixels, got 40x0"),
    "annotation twice": (in_object(id=2), "each annotation id once, got 2 2 times"),
    "image twice": (lambda d: d["images"].append(d["images"][0]), "each image id once"),
    "category twice": (lambda d: d["categories"].append(d["categories"][0]), "each category id"),
    "nameless": (lambda d: d["categories"][0].pop("name"), "a text as name, got nothing"),
    "no id": (lambda d: d["annotations"][1].pop("id"), "annotation number 1: .* as id"),
    "open polygon": (in_object(segmentation=[[1, 2, 3, 4]]), "at least three points"),
    "odd polygon": (in_object(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "at least three points"),
    "wrong RLE": (in_object(segmentation={"size": [40, 30], "counts": "0"}), "an RLE of 40x30"),
    "a text": (in_object(segmentation="abc"), "expected polygons"),
    "no images": (lambda d: d.pop("images"), "COCO annotations .* KeyError"),
    "odd images": (lambda d: d.update(images=[1]), "COCO annotations .* TypeError"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_one_line_naming_the_file(annotations: Path, fault: str) -> None:
    change, message = FAULTS[fault]
    data = good()
    change(data)
    annotations.write_text(json.dumps(data))
    with pytest.raises(DatasetError, match=message) as caught:
        read_coco(annotations)
    assert str(caught.value).startswith(str(annotations))
    assert "\n" not in str(caught.value)
    assert "; " in str(caught.value), "says what to do"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"images": 3}'])
def test_what_is_no_annotation_file_is_refused(annotations: Path, text: str) -> None:
    annotations.write_text(text)
    with pytest.raises(DatasetError, match="expected COCO annotations"):
        read_coco(annotations)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="FileNotFoundError"):
        read_coco(tmp_path / "none.json")

"""What is read of annotations for evaluation: full size, areas, and masks from either file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam3_edge.errors import DatasetError
from sam3_edge.runtime.rle import decode_rle, encode_rle
from sam3_edge.training.evaluation.coco_pictures import CocoPictures
from sam3_edge.training.evaluation.pictures import JudgedPicture, ScenePictures, each


def mask(picture: JudgedPicture, index: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    counts = (picture.masks or ())[index]
    assert counts is not None
    return decode_rle((picture.image.shape[0], picture.image.shape[1]), counts)


def edit(path: Path, **changes: Any) -> Path:
    """Annotation 3 changed."""
    data = json.loads(path.read_text())
    data["annotations"][2] |= changes
    path.write_text(json.dumps(data))
    return path


def other_file(coco: Path, folder: Path, **changes: Any) -> Path:
    """Masks for annotation 3 under other ids, names and folders."""
    bits = np.zeros((40, 60), np.bool_)
    bits[3:12, 2:20] = True
    entry = {"id": 77, "image_id": 5, "category_id": 1, "bbox": [2, 3, 19, 10], "area": 161.5}
    entry |= {"segmentation": {"size": [40, 60], "counts": encode_rle(bits)}} | changes
    data = {
        "images": [{"id": 5, "file_name": "elsewhere/2.png", "width": 60, "height": 40}],
        "categories": [{"id": 1, "name": "prawn"}],
        "annotations": [entry, {**entry, "id": 78, "bbox": [30, 20, 5, 5]}],
    }
    path = folder / "masks.json"
    path.write_text(json.dumps(data))
    return path


def test_a_category_is_asked_in_other_words(coco: Path) -> None:
    pictures = CocoPictures(coco, say={"crab": "crabs"})
    assert pictures.phrases == ("crabs", "shrimp")
    plain = CocoPictures(coco).picture(0)
    assert pictures.picture(0).phrases == ("crabs", "shrimp")
    assert np.array_equal(pictures.picture(0).phrase, plain.phrase)
    for wrong in ({"lobster": "x"}, {"crab": "shrimp"}):
        with pytest.raises(DatasetError):
            CocoPictures(coco, say=wrong)


def test_boxes_areas_and_crowds(coco: Path) -> None:
    pictures = CocoPictures(coco)
    assert (pictures.phrases, len(pictures)) == (("crab", "shrimp"), 3)
    crabs, shrimp, nothing = each(pictures)
    assert crabs.boxes.tolist() == [[30, 5, 50, 25], [10, 0, 20, 40]]
    assert crabs.ignore.tolist() == [False, True]
    assert crabs.areas is not None
    assert crabs.areas.tolist() == [200.0, 400.0]
    assert shrimp.boxes.tolist() == [[1.5, 2.5, 21.5, 12.5]]
    assert shrimp.areas is not None
    assert shrimp.areas.tolist() == [200.0]  # the box's
    assert shrimp.phrase.tolist() == [1]
    assert nothing.boxes.shape == (0, 4)
    assert crabs.image.shape == (40, 60, 3)
    assert int(nothing.image[0, 0, 0]) == 120


def test_masks_of_the_file_itself(coco: Path) -> None:
    crabs, shrimp, _ = each(CocoPictures(coco))
    assert mask(crabs, 0)[6, 31]
    assert not mask(crabs, 0)[24, 49]
    assert mask(crabs, 0).sum() == pytest.approx(200, abs=15)
    assert np.flatnonzero(mask(crabs, 1).any(axis=0)).tolist() == list(range(10, 20))
    assert shrimp.masks == (None,)


def test_without_any_mask_only_boxes_are_judged(coco: Path) -> None:
    data = json.loads(coco.read_text())
    data["annotations"] = [{**a, "segmentation": []} for a in data["annotations"]]
    coco.write_text(json.dumps(data))
    assert [picture.masks for picture in each(CocoPictures(coco))] == [None] * 3


def test_masks_of_another_file(coco: Path, tmp_path: Path) -> None:
    pictures = CocoPictures(coco, masks=other_file(coco, tmp_path))
    crabs, shrimp, nothing = each(pictures)
    assert (crabs.masks, nothing.masks) == ((None, None), ())
    assert mask(shrimp, 0).sum() == 9 * 18
    assert shrimp.mask_areas is not None
    assert shrimp.areas is not None
    assert (shrimp.mask_areas.tolist(), shrimp.areas.tolist()) == ([161.5], [200.0])


def test_without_a_given_area_the_mask_counts(coco: Path, tmp_path: Path) -> None:
    pictures = CocoPictures(coco, masks=other_file(coco, tmp_path, area=None))
    areas = pictures.picture(1).mask_areas
    assert areas is not None
    assert areas.tolist() == [9.0 * 18.0]


def test_between_equal_boxes_the_name_decides(coco: Path, tmp_path: Path) -> None:
    data = json.loads(coco.read_text())
    data["annotations"].append({**data["annotations"][2], "id": 4, "category_id": 7})
    coco.write_text(json.dumps(data))
    path = other_file(coco, tmp_path, bbox=[1.5, 2.5, 20, 10])
    masks = json.loads(path.read_text())
    masks["categories"] = [{"id": 1, "name": "crab"}]
    path.write_text(json.dumps(masks))
    chosen = CocoPictures(coco, masks=path).picture(1).masks
    assert chosen is not None
    assert [one is not None for one in chosen] == [False, True]


def test_another_files_masks_must_be_of_these_pictures(coco: Path, tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [{"bbox": [40, 20, 20, 10]}, {"segmentation": []}]
    for change in changes:
        path = other_file(coco, tmp_path, **change)
        with pytest.raises(DatasetError, match="expected masks of the annotated pictures"):
            CocoPictures(coco, masks=path)


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [40, 61], "counts": "0"},
        {"size": [40, 60], "counts": "nonsense"},
        {"size": [40, 60], "counts": [2399]},
        {"size": [40, 60], "counts": [-1, 2401]},
        {"size": [40, 60], "counts": [1.5, 2398.5]},
        [[1, 2, 3, 4]],
        [["a"] * 6],
    ],
)
def test_wrong_masks_are_refused(coco: Path, tmp_path: Path, segmentation: object) -> None:
    path = other_file(coco, tmp_path, segmentation=segmentation)
    with pytest.raises(DatasetError, match="expected polygons, or an RLE of 60x40 pixels"):
        CocoPictures(coco, masks=path)


def test_another_file_that_is_none(coco: Path, tmp_path: Path) -> None:
    path = tmp_path / "masks.json"
    for text in ("", "[]", '{"images": []}', '{"images": 1, "annotations": 2, "categories": 3}'):
        path.write_text(text)
        with pytest.raises(DatasetError, match=r"masks.json: expected COCO annotations"):
            CocoPictures(coco, masks=path)


def test_pictures_in_another_folder(coco: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    for number in (1, 2, 3):
        (tmp_path / f"{number}.png").rename(moved / f"{number}.png")
    pictures = CocoPictures(coco, images=moved, limit=2)
    assert [Path(picture.path) for picture in each(pictures)] == [moved / "1.png", moved / "2.png"]
    with pytest.raises(DatasetError, match="missing") as caught:
        CocoPictures(coco, images=tmp_path / "empty")
    assert str(coco) in str(caught.value)
    assert str(tmp_path / "empty") in str(caught.value)


def test_faults_are_the_data_sets_error_and_may_be_left_out(coco: Path) -> None:
    edit(coco, bbox=[50, 2, 40, 10])
    with pytest.raises(DatasetError):
        CocoPictures(coco)
    assert len(CocoPictures(coco, skip_faulty=True).picture(1).boxes) == 0


def test_scenes_are_the_same_again() -> None:
    pictures = ScenePictures(2, width=120, height=80)
    first, second = each(pictures)
    assert np.array_equal(first.image, pictures.picture(0).image)
    assert not np.array_equal(first.image, second.image)
    assert first.masks is not None
    assert len(first.masks) == len(first.boxes) == len(first.phrase)


def test_what_is_asked_takes_the_categories_place(coco: Path) -> None:
    pictures = CocoPictures(coco, ask=("whale", "Shrimp"))
    crabs, shrimp, _ = each(pictures)
    assert pictures.phrases == shrimp.phrases == ("whale", "Shrimp")
    assert len(crabs.boxes) == 0
    assert shrimp.phrase.tolist() == [1]
    assert shrimp.boxes.tolist() == [[1.5, 2.5, 21.5, 12.5]]
    assert shrimp.areas is not None
    assert shrimp.areas.tolist() == [200.0]
    for ask in (("crab", " CRAB"), ("crab", " ")):
        with pytest.raises(DatasetError):
            CocoPictures(coco, ask=ask)


def test_a_part_is_taken_before_the_limit(coco: Path, tmp_path: Path) -> None:
    groups = tmp_path / "groups.json"
    places = {"reef": ["1.png", "3.png"], "pier": ["2.png"]}
    groups.write_text(json.dumps({"schema": 1, "groups": places, "held_out": ["reef"]}))
    unseen = CocoPictures(coco, groups=str(groups), part="unseen")
    assert [Path(picture.path).name for picture in each(unseen)] == ["1.png", "3.png"]
    seen = CocoPictures(coco, groups=str(groups), part="seen", limit=1)
    assert [Path(picture.path).name for picture in each(seen)] == ["2.png"]

"""Photos with annotations: phrases asked, masks rasterised, pictures that are none."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sam3_edge.errors import DatasetError
from sam3_edge.runtime.rle import encode_rle
from sam3_edge.training.data import coco_dataset
from sam3_edge.training.data.coco_annotations import Photo, kept_image
from sam3_edge.training.data.coco_dataset import KEPT_SIDE, CocoDataset, rasterise
from sam3_edge.training.data.negatives import Negatives

PHOTO = Photo(path=Path("a.png"), width=40, height=30, annotations=())


def write(folder: Path, *annotations: dict[str, Any], width: int = 40, height: int = 30) -> Path:
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 2] = 200  # red, in OpenCV's order
    cv2.imwrite(str(folder / "a.png"), picture)
    data = {
        "images": [{"id": 1, "file_name": "a.png", "width": width, "height": height}],
        "categories": [{"id": i, "name": f"kind {i}"} for i in range(10)],
        "annotations": [
            {"id": i, "image_id": 1, "bbox": [4, 5, 10, 20], **a} for i, a in enumerate(annotations)
        ],
    }
    path = folder / "annotations.json"
    path.write_text(json.dumps(data))
    return path


def test_all_phrases_are_asked_of_a_small_vocabulary(tmp_path: Path) -> None:
    data = CocoDataset(write(tmp_path, {"category_id": 4}, {"category_id": 4}, {"category_id": 1}))
    picture = data.picture(0, np.random.default_rng(0))
    assert picture.phrases == tuple(f"kind {i}" for i in range(10))
    assert picture.phrase.tolist() == [4, 4, 1]
    assert picture.boxes.tolist() == [[4.0, 5.0, 14.0, 25.0]] * 3
    assert picture.image[0, 0].tolist() == [200, 0, 0]
    assert picture.masks is None


def test_a_phrase_of_another_data_set_is_absent(tmp_path: Path) -> None:
    data = CocoDataset(write(tmp_path, {"category_id": 4}))
    picture = data.picture(0, np.random.default_rng(0), ("dog", "Kind  4", "kind 1"))
    assert picture.phrases == ("dog", "Kind  4", "kind 1")
    assert picture.phrase.tolist() == [1]


@pytest.mark.parametrize("seed", range(8))
def test_a_limit_asks_present_and_absent_phrases(tmp_path: Path, seed: int) -> None:
    path = write(tmp_path, *({"category_id": c} for c in (1, 3, 5, 7, 9)))
    picture = CocoDataset(path, max_phrases=4).picture(0, np.random.default_rng(seed))
    assert len(set(picture.phrases)) == 4
    present = [phrase for phrase in picture.phrases if int(phrase[-1]) % 2 == 1]
    assert len(present) == 3
    # What is not asked is not listed.
    assert sorted(picture.phrases[i] for i in picture.phrase) == sorted(present)


def test_a_large_photo_is_kept_small_with_its_boxes(tmp_path: Path) -> None:
    path = write(tmp_path, {"category_id": 1}, width=4 * KEPT_SIDE, height=2 * KEPT_SIDE)
    picture = CocoDataset(path).picture(0, np.random.default_rng(0))
    assert picture.image.shape == (KEPT_SIDE // 2, KEPT_SIDE, 3)
    assert picture.boxes.tolist() == [[1.0, 1.25, 3.5, 6.25]]


def test_a_polygon_is_filled() -> None:
    bits = rasterise([[10, 5, 30, 5, 30, 25, 10, 25]], PHOTO, 40, 30)
    assert bits[6:24, 11:29].all()
    assert abs(int(bits.sum()) - 400) <= 45
    half = rasterise([[10, 5, 30, 5, 30, 25, 10, 25]], PHOTO, 20, 15)
    assert half.shape == (15, 20)
    assert abs(int(half.sum()) - 100) <= 25


def test_parts_of_an_object_that_overlap_make_no_hole() -> None:
    part = [10, 5, 30, 5, 30, 25, 10, 25]
    assert np.array_equal(rasterise([part, part], PHOTO, 40, 30), rasterise([part], PHOTO, 40, 30))


def test_both_kinds_of_run_lengths_are_read() -> None:
    bits = np.zeros((30, 40), np.bool_)
    bits[5:25, 10:30] = True
    columns = bits.T.ravel()
    edges = np.flatnonzero(np.diff(columns)) + 1
    plain = np.diff([0, *edges, len(columns)]).tolist()
    for counts in (plain, encode_rle(bits)):
        assert np.array_equal(rasterise({"size": [30, 40], "counts": counts}, PHOTO, 40, 30), bits)


@pytest.mark.parametrize("counts", [[10, 20], [10**9, 10**9], "abc", [-1, 1201], ["a"]])
def test_run_lengths_that_do_not_fill_the_photo_are_refused(counts: object) -> None:
    with pytest.raises(DatasetError, match="RLE that fills 40x30 pixels"):
        rasterise({"size": [30, 40], "counts": counts}, PHOTO, 40, 30)


def test_masks_are_known_object_by_object(tmp_path: Path) -> None:
    ring = [[4, 5, 14, 5, 14, 25]]
    both = write(
        tmp_path, {"category_id": 1, "segmentation": ring}, {"category_id": 2, "segmentation": ring}
    )
    masks = CocoDataset(both).picture(0, np.random.default_rng(0)).masks
    assert masks is not None
    assert len(masks) == 2
    one = write(tmp_path, {"category_id": 1, "segmentation": ring}, {"category_id": 2})
    picture = CocoDataset(one).picture(0, np.random.default_rng(0))
    assert [picture.mask(i) is not None for i in range(2)] == [True, False]
    assert picture.whole_masks() is None


def test_photos_are_kept_while_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, loaded = write(tmp_path, {"category_id": 1}), []

    def counted(photo: Photo) -> object:
        loaded.append(photo)
        return kept_image(photo)

    monkeypatch.setattr(coco_dataset, "kept_image", counted)
    for room, times in ((30 * 40 * 3, 1), (30 * 40 * 3 - 1, 3)):
        loaded.clear()
        data = CocoDataset(path, kept_bytes=room)
        pictures = [data.picture(0, np.random.default_rng(0)).image for _ in range(3)]
        assert len(loaded) == times
        assert all(np.array_equal(pictures[0], picture) for picture in pictures)


def test_absent_phrases_can_be_limited_alone(tmp_path: Path) -> None:
    path = write(tmp_path, {"category_id": 1}, {"category_id": 4})
    data = CocoDataset(path, negatives=Negatives(count=3))
    asked = data.picture(0, np.random.default_rng(0)).phrases
    assert len(asked) == 5
    assert {"kind 1", "kind 4"} < set(asked)


def test_a_part_of_the_photos_can_be_chosen(shared: Path) -> None:
    path = shared / "data" / "coco_permissive" / "instances.json"
    whole = CocoDataset(path)
    some = CocoDataset(path, limit=20)
    assert some.phrases == whole.phrases
    assert [p.id for p in some.photos] == [
        p.id for p in whole.photos if p.id in sorted(p.id for p in whole.photos)[:20]
    ]
    assert 0 < len(CocoDataset(path, limit=20, shots=1).photos) < 20


@pytest.mark.parametrize("content", [b"not a picture", b""])
def test_a_picture_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    data = CocoDataset(write(tmp_path, {"category_id": 1}))
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DatasetError, match="expected a picture of 40x30, got no picture; correct"):
        data.picture(0, np.random.default_rng(0))


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    data = CocoDataset(write(tmp_path, {"category_id": 1}))
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 30, 3), np.uint8))
    with pytest.raises(DatasetError, match="expected a picture of 40x30, got 30x40"):
        data.picture(0, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "photos", "phrases"),
    [
        ("aquarium/train/_annotations.coco.json", 448, 7),
        ("aquarium/valid/_annotations.coco.json", 127, 7),
        ("coco_permissive/instances.json", 135, 80),
    ],
)
def test_real_annotations_are_accepted(shared: Path, name: str, photos: int, phrases: int) -> None:
    data = CocoDataset(shared / "data" / name)
    assert (data.length, len(data.phrases)) == (photos, phrases)


def test_real_masks_fill_their_boxes(shared: Path) -> None:
    data = CocoDataset(shared / "data" / "coco_permissive" / "instances.json")
    checked = 0
    for index in range(8):
        picture = data.picture(index, np.random.default_rng(index))
        masks = picture.whole_masks()
        assert masks is not None
        for mask, box in zip(masks, picture.boxes, strict=True):
            rows, columns = np.nonzero(mask)
            found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert np.abs(box - found).max() < 4.0
            checked += 1
    assert checked > 20

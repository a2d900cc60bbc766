"""Masks are guessed once, only good ones are kept, and never used with other annotations."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_edge.errors import DatasetError
from sam3_edge.training.data import pseudo_masks
from sam3_edge.training.data.coco_dataset import CocoDataset
from sam3_edge.training.data.pseudo_masks import (
    guessed_mask,
    make_pseudo_masks,
    pseudo_masks_path,
    read_pseudo_masks,
)

BOX = np.array([30, 20, 90, 80], np.float32)


def disc() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A red disc on noisy water, (110, 130)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:110, :130]
    bits = (x - 59.5) ** 2 + (y - 49.5) ** 2 < 29.5**2
    image = np.where(bits[..., None], [200, 60, 40], [30, 80, 150])
    return (image + rng.integers(-10, 11, image.shape)).clip(0, 255).astype(np.uint8), bits


def test_an_object_is_told_from_its_surroundings() -> None:
    image, bits = disc()
    mask = guessed_mask(image, BOX)
    assert mask is not None
    assert (mask & bits).sum() / (mask | bits).sum() > 0.9
    again = guessed_mask(image, BOX)
    assert again is not None
    assert np.array_equal(mask, again)


def test_a_guess_of_all_or_nothing_is_none() -> None:
    image, _ = disc()
    assert guessed_mask(image, np.array([0, 0, 130, 110], np.float32)) is None
    assert guessed_mask(image, np.array([50, 50, 56, 70], np.float32)) is None
    box = np.array([20, 20, 90, 90], np.float32)
    filled = np.full((110, 130, 3), 20, np.uint8)
    filled[20:90, 20:90] = 220
    assert guessed_mask(filled, box) is None


@pytest.mark.parametrize(("share", "good"), [(0.1, False), (0.2, True), (0.9, True), (0.98, False)])
def test_a_guess_must_cover_a_likely_share_of_its_box(
    monkeypatch: pytest.MonkeyPatch, share: float, good: bool
) -> None:
    def grab(_: NDArray[np.uint8], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
        rows, columns = np.nonzero(inside)
        count = round(share * len(rows))
        found = np.zeros_like(inside)
        found[rows[:count], columns[:count]] = True
        found[rows[-1], columns[-1]] = True  # another part, which does not count
        return found

    monkeypatch.setattr(pseudo_masks, "_grab", grab)
    assert (guessed_mask(disc()[0], BOX) is not None) is good


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """Four objects: one with a mask of its own, one guessable, a crowd, one too small."""
    image, _ = disc()
    cv2.imwrite(str(tmp_path / "a.png"), np.ascontiguousarray(image[..., ::-1]))
    box = [30, 20, 60, 60]
    data = {
        "images": [{"id": 1, "file_name": "a.png", "width": 130, "height": 110}],
        "categories": [{"id": 1, "name": "fish"}],
        "annotations": [
            {"id": 5, "bbox": box, "segmentation": [[30, 20, 90, 20, 90, 80]]},
            {"id": 6, "bbox": box},
            {"id": 7, "bbox": box, "iscrowd": 1},
            {"id": 8, "bbox": [50, 50, 4, 4]},
        ],
    }
    for one in data["annotations"]:
        one |= {"image_id": 1, "category_id": 1}
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(data))
    return path


def test_objects_without_a_mask_get_one(annotations: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = make_pseudo_masks(
        annotations, tmp_path / "cache", report=lambda done, of: told.append((done, of))
    )
    assert path == pseudo_masks_path(annotations, tmp_path / "cache")
    assert told == [(1, 1)]
    assert list(read_pseudo_masks(path, annotations)) == [6]
    assert [p.name for p in path.parent.iterdir()] == [path.name], "nothing half written is left"
    plain = CocoDataset(annotations).picture(0, np.random.default_rng(0))
    assert [plain.mask(i) is not None for i in range(4)] == [True, False, False, False]
    data = CocoDataset(annotations, pseudo_masks=path)
    picture = data.picture(0, np.random.default_rng(0))
    assert [picture.mask(i) is not None for i in range(4)] == [True, True, False, False]
    guessed, own, plain_own = picture.mask(1), picture.mask(0), plain.mask(0)
    assert guessed is not None
    assert own is not None
    assert plain_own is not None
    bits = disc()[1]
    assert (guessed & bits).sum() / (guessed | bits).sum() > 0.9
    assert np.array_equal(own, plain_own)


def test_they_are_made_once(
    annotations: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_pseudo_masks(annotations, tmp_path / "cache")
    written = path.read_bytes()
    monkeypatch.setattr(pseudo_masks, "guessed_mask", None)
    assert make_pseudo_masks(annotations, tmp_path / "cache") == path
    assert path.read_bytes() == written


def test_masks_of_other_annotations_are_refused(annotations: Path, tmp_path: Path) -> None:
    path = make_pseudo_masks(annotations, tmp_path / "cache")
    annotations.write_text(annotations.read_text() + "\n")
    assert pseudo_masks_path(annotations, tmp_path / "cache") != path
    with pytest.raises(
        DatasetError, match=r"expected masks of .* as it is now, got those of other"
    ):
        CocoDataset(annotations, pseudo_masks=path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "kept_side": 640, "sha256": ""}'])
def test_a_file_that_is_none_is_refused(annotations: Path, tmp_path: Path, text: str) -> None:
    path = tmp_path / "masks.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=r"expected masks guessed from boxes, got .*; make them"):
        read_pseudo_masks(path, annotations)


def test_a_folder_that_cannot_be_written_is_one_line(annotations: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="expected a folder that can be written"):
        make_pseudo_masks(annotations, tmp_path / "file" / "cache")

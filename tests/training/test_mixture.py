"""A batch depends on seed and step, on nothing else."""

import json
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sam3_edge.errors import DatasetError
from sam3_edge.training.coco_dataset import CocoDataset
from sam3_edge.training.mixture import Mixture, Source
from sam3_edge.training.scene_dataset import SceneDataset
from sam3_edge.training.targets import Batch


@pytest.fixture
def photos(tmp_path: Path) -> CocoDataset:
    rng = np.random.default_rng(0)
    for name in "abc":
        cv2.imwrite(str(tmp_path / f"{name}.png"), rng.integers(0, 256, (50, 60, 3), np.uint8))
    data = {
        "images": [
            {"id": i, "file_name": f"{name}.png", "width": 60, "height": 50}
            for i, name in enumerate("abc")
        ],
        "categories": [{"id": 1, "name": "shark"}, {"id": 2, "name": "puffin"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1 + i % 2, "bbox": [5, 5, 30, 30]}
            for i in range(3)
        ],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(data))
    return CocoDataset(tmp_path / "annotations.json")


def mixture(photos: CocoDataset, *, seed: int = 0, first_step: int = 0) -> Mixture:
    sources = [
        Source(data=photos, weight=0.5, mosaic=0.5),
        Source(data=SceneDataset("train", 84, photos.phrases), weight=0.5),
    ]
    return Mixture(
        sources, seed=seed, first_step=first_step, batch_size=3, image_size=84, mask_side=12
    )


def batches(stream: Mixture, count: int, workers: int = 0) -> list[Batch]:
    context = "spawn" if workers else None
    loader = DataLoader(
        stream, batch_size=None, num_workers=workers, multiprocessing_context=context
    )
    drawn = list(islice(loader, count))
    assert all(isinstance(batch, Batch) for batch in drawn)
    return drawn


def same(one: Batch, other: Batch) -> bool:
    return torch.equal(one.images, other.images) and torch.equal(
        one.targets.boxes, other.targets.boxes
    )


def test_the_same_seed_gives_the_same_batches(photos: CocoDataset) -> None:
    first, again = batches(mixture(photos), 3), batches(mixture(photos), 3)
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    assert not same(first[0], first[1])
    assert not same(first[0], batches(mixture(photos, seed=1), 1)[0])


def test_a_run_goes_on_with_the_batch_that_would_have_come(photos: CocoDataset) -> None:
    assert same(batches(mixture(photos), 3)[2], batches(mixture(photos, first_step=2), 1)[0])


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(photos: CocoDataset, workers: int) -> None:
    alone, shared_out = batches(mixture(photos), 4), batches(mixture(photos), 4, workers)
    assert all(same(a, b) for a, b in zip(alone, shared_out, strict=True))


def test_both_sources_are_drawn_from(photos: CocoDataset) -> None:
    stream = mixture(photos)
    asked = {phrase.text for i in range(12) for phrase in stream.sample(i).phrases}
    assert asked == {"fish", "jellyfish", "starfish", "shark", "puffin"}


def test_bad_data_arrives_as_an_error_and_not_as_a_traceback(
    photos: CocoDataset, tmp_path: Path
) -> None:
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(b"")
    (got,) = DataLoader(
        mixture(photos), batch_size=None, num_workers=1, multiprocessing_context="spawn"
    )
    assert isinstance(got, DatasetError)
    assert "expected a picture" in str(got)
    assert "\n" not in str(got)


def test_a_scene_never_shows_what_it_is_asked_for_in_vain(photos: CocoDataset) -> None:
    data = SceneDataset("train", 84, photos.phrases)
    for index in range(4):
        picture = data.picture(index, np.random.default_rng(index))
        assert len(picture.phrases) == 4
        assert picture.phrases[3] in photos.phrases
        assert 3 not in picture.phrase
        assert picture.masks is not None
        assert len(picture.masks) == len(picture.boxes) == len(picture.ignore) > 0

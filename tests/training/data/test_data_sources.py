"""What the data section says is what is drawn from and judged."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from sam3_edge.errors import DatasetError
from sam3_edge.training.config.schema import AugmentSection, DataSection, SourceSection
from sam3_edge.training.data.augmentation import Augmentation
from sam3_edge.training.data.coco_dataset import CocoDataset
from sam3_edge.training.data.data_sources import (
    augmentation,
    described,
    training_sources,
)
from sam3_edge.training.data.scene_dataset import SceneDataset
from sam3_edge.training.evaluation.pictures import ScenePictures
from sam3_edge.training.evaluation.validation_sets import validation_sets


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """Three photos of one cat each."""
    for number in range(3):
        picture = np.full((40, 50, 3), 60 * number, dtype=np.uint8)
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    box = {"category_id": 1, "bbox": [5, 5, 20, 20], "area": 400, "iscrowd": 0}
    data = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 50, "height": 40} for i in range(3)],
        "annotations": [{"id": i + 1, "image_id": i, **box} for i in range(3)],
        "categories": [{"id": 1, "name": "cat"}],
    }
    path = tmp_path / "cats.json"
    path.write_text(json.dumps(data))
    return path


def test_sources_are_as_the_section_says(annotations: Path) -> None:
    section = DataSection(
        train={
            "cats": SourceSection(annotations=str(annotations), weight=0.7, limit_ids=2),
            "scenes": SourceSection(kind="scene", weight=0.3),
        }
    )
    section.exemplars.probability = 0.5
    cats, scenes = training_sources(section, 84)
    assert isinstance(cats.data, CocoDataset)
    assert (cats.weight, cats.data.length, cats.exemplars.probability) == (0.7, 2, 0.5)
    assert cats.augmentation.mosaic == section.augment.mosaic
    assert isinstance(scenes.data, SceneDataset)
    assert scenes.data.absent == ("cat",)
    assert scenes.augmentation.mosaic == 0.0
    assert cats.withheld == {"cat"}
    assert scenes.withheld == {"fish", "jellyfish", "starfish"}
    assert cats.max_phrases == scenes.max_phrases == section.max_phrases
    assert described(section) == ("cats (cats.json)", "scenes (demo scenes)")


def test_without_augmentation_pictures_are_as_at_inference() -> None:
    assert augmentation(AugmentSection(enabled=False)) == Augmentation.none()
    chosen = augmentation(AugmentSection(crop=0.25, colour=0.5))
    assert chosen.whole == 0.75
    assert chosen.hue == 0.5 * Augmentation().hue
    assert (chosen.water.probability, chosen.camera.probability) == (0.0, 0.0)


def test_water_and_camera_have_one_key_each_and_scenes_get_them_too() -> None:
    for scene in (False, True):
        chosen = augmentation(AugmentSection(water=0.4, camera=0.2), scene=scene)
        assert (chosen.water.probability, chosen.camera.probability) == (0.4, 0.2)


def test_validation_sets_are_limited(annotations: Path) -> None:
    section = DataSection(
        val={
            "cats": SourceSection(annotations=str(annotations)),
            "scenes": SourceSection(kind="scene", limit_ids=7),
        },
        limit_val=2,
    )
    sets = validation_sets(section)
    assert {name: len(pictures) for name, pictures in sets.items()} == {"cats": 2, "scenes": 2}
    assert isinstance(sets["scenes"], ScenePictures)
    assert sets["cats"].phrases == ("cat",)


def test_a_missing_file_is_the_data_sets_error(tmp_path: Path) -> None:
    section = DataSection(train={"a": SourceSection(annotations=str(tmp_path / "none.json"))})
    with pytest.raises(DatasetError, match=r"none\.json"):
        training_sources(section, 84)

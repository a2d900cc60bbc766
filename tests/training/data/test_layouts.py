"""Where the annotations of collections of data sets are, and what is said where they are not."""

from pathlib import Path

import pytest

from sam3_edge.errors import DatasetError
from sam3_edge.training.data.layouts import (
    ODINW13,
    annotation_files,
    dataset_names,
    dataset_of_task,
)


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    return path


def test_odinw_has_thirteen_names_and_folders(tmp_path: Path) -> None:
    assert dataset_names("odinw13", tmp_path) == tuple(ODINW13)
    assert len(set(ODINW13.values())) == 13
    for name, folder in ODINW13.items():
        file = touch(tmp_path / folder / "train" / "annotations_without_background.json")
        assert annotation_files("odinw13", tmp_path, name, "train") == (file,)


def test_other_names_of_the_file_are_found(tmp_path: Path) -> None:
    plain = touch(tmp_path / "pothole" / "valid" / "_annotations.coco.json")
    assert annotation_files("odinw13", tmp_path, "pothole", "valid") == (plain,)
    for split, short in (("train", "train"), ("valid", "val"), ("test", "test")):
        name = f"{short}_annotations_without_background.json"
        file = touch(tmp_path / "pistols" / "export" / name)
        assert annotation_files("odinw13", tmp_path, "pistols", split) == (file,)  # type: ignore[arg-type]
    shots = touch(tmp_path / "pothole" / "train" / "fewshot_train_shot10_seed300.json")
    assert annotation_files("odinw13", tmp_path, "pothole", "train", file=shots.name) == (shots,)


def test_roboflow_is_what_lies_in_the_root(tmp_path: Path) -> None:
    for name in ("pills", "bees"):
        touch(tmp_path / name / "train" / "_annotations.coco.json")
    (tmp_path / "notes").mkdir()
    assert dataset_names("roboflow100", tmp_path) == ("bees", "pills")
    assert [dataset_of_task("roboflow100", tmp_path, i) for i in (0, 1)] == ["bees", "pills"]
    (file,) = annotation_files("roboflow100", tmp_path, "pills", "train")
    assert file == tmp_path / "pills" / "train" / "_annotations.coco.json"


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    touch(tmp_path / "bees" / "train" / "_annotations.coco.json")
    with pytest.raises(DatasetError, match=r"pothole: expected the data set pothole .* no such"):
        annotation_files("odinw13", tmp_path, "pothole", "train")
    with pytest.raises(DatasetError, match=r"bees: expected test/_annotations.coco.json, got no"):
        annotation_files("roboflow100", tmp_path, "bees", "test")
    with pytest.raises(DatasetError, match=r"expected a data set of roboflow100 .* got 'wasps'"):
        annotation_files("roboflow100", tmp_path, "wasps", "train")
    with pytest.raises(DatasetError, match="expected a split out of train, valid, test, got 'dev'"):
        annotation_files("roboflow100", tmp_path, "bees", "dev")  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match="expected a task of 0 to 0, got 1"):
        dataset_of_task("roboflow100", tmp_path, 1)
    for layout in ("odinw13", "roboflow100"):
        with pytest.raises(DatasetError, match=f"expected the folder of {layout}"):
            dataset_names(layout, tmp_path / "none")
    with pytest.raises(DatasetError, match="expected odinw13 or roboflow100, got 'coco'"):
        dataset_names("coco", tmp_path)  # type: ignore[arg-type]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="expected folders <dataset>/train"):
        dataset_names("roboflow100", tmp_path / "empty")

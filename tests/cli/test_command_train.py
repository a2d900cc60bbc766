"""`sam3-edge train`: what its options mean, and what it says without training."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from sam3_edge import command_train
from sam3_edge.command_train import FLAG_KEYS, train
from sam3_edge.errors import DatasetError, UsageError
from sam3_edge.training.config.compose import ComposedConfig
from sam3_edge.training.config.names import listed
from sam3_edge.training.config.schema import RunConfig
from sam3_edge.training.config.schema_keys import known_keys
from sam3_edge.training.data.held_out import find_splits, hold_out


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """What would have been launched."""
    found: list[RunConfig] = []

    def keep(composed: ComposedConfig, **_options: Any) -> None:
        found.append(composed.config)

    monkeypatch.setattr(command_train, "launch", keep)
    return found


def call(*arguments: str, raises: bool = False) -> Result:
    result = CliRunner().invoke(train, arguments, standalone_mode=False)
    assert raises or result.exception is None, result.output
    return result


def write_data(folder: Path, count: int = 3, fault: bool = False) -> Path:
    """Annotations of pictures with one box each."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        cv2.imwrite(str(folder / f"{i}.png"), np.zeros((20, 30, 3), np.uint8))
    box = [5, 5, 100, 100] if fault else [5, 5, 10, 10]
    annotations = folder / "_annotations.coco.json"
    found = {
        "categories": [{"id": 1, "name": "crab"}],
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": 30, "height": 20} for i in range(count)
        ],
        "annotations": [
            {"id": i + 1, "image_id": i, "category_id": 1, "bbox": box, "area": 100, "iscrowd": 0}
            for i in range(count)
        ],
    }
    annotations.write_text(json.dumps(found))
    return annotations


def test_the_list_names_all_with_a_line_each(folder: Path) -> None:
    (folder / "configs").mkdir()
    (folder / "configs" / "reef.yaml").write_text("# My reef.\ntrainer: {max_epochs: 1}\n")
    lines = call("--list").output.splitlines()
    assert [line.split()[0] for line in lines] == [one.name for one in listed()]
    assert lines[-1].split(maxsplit=1) == ["reef", "My reef.  (configs/reef.yaml)"]


def test_every_option_is_one_key(launched: list[RunConfig]) -> None:
    assert {*FLAG_KEYS.values()} <= {*known_keys()}
    options = {option.name: option for option in train.params}
    for name, key in FLAG_KEYS.items():
        assert key in str(getattr(options[name], "help", None))
    call(
        "-c", "debug", "--num-gpus", "2", "--num-nodes", "3", "--use-cluster", "1",
        "--partition", "a,b", "--account", "it's", "--qos", "high", "--out", "runs/a=b", "--fresh",
    )  # fmt: skip
    (config,) = launched
    assert (config.launcher.gpus_per_node, config.launcher.num_nodes) == (2, 3)
    assert config.submitit.use_cluster is True
    assert (config.submitit.partition, config.submitit.account) == ("a,b", "it's")
    assert config.submitit.qos == "high"
    assert config.paths.experiment == "runs/a=b"
    assert config.trainer.checkpoint.resume is False


def test_without_options_the_configuration_decides(launched: list[RunConfig]) -> None:
    call("-c", "debug", "trainer.max_steps=3", "launcher.gpus_per_node=4")
    (config,) = launched
    assert config.launcher.gpus_per_node == 4
    assert config.trainer.max_steps == 3
    assert config.trainer.checkpoint.resume is True


def test_the_configuration_is_printed_before_the_start(launched: list[RunConfig]) -> None:
    assert "max_steps: 3" in call("-c", "debug", "trainer.max_steps=3").output
    assert len(launched) == 1
    printed = call("-c", "debug", "trainer.max_steps=3", "--print-config").output
    assert len(launched) == 1
    Path("again.yaml").write_text(printed)
    call("-c", "again")
    assert launched[1] == launched[0]


@pytest.mark.parametrize("arguments", [[], ["-c", "debug", "--data", "."]])
def test_a_configuration_or_data_and_not_both(arguments: list[str]) -> None:
    result = call(*arguments, raises=True)
    assert isinstance(result.exception, UsageError)
    assert str(result.exception).startswith("expected one of -c NAME and --data, got ")


def test_checked_data_is_good_or_not(folder: Path) -> None:
    write_data(folder / "aquarium" / "train")
    write_data(folder / "aquarium" / "valid")
    good = call("-c", "nano_aquarium", "--check-data")
    assert good.return_value == 0
    assert good.output.count("no faults; 3 images and 3 annotations can be used") == 2
    write_data(folder / "aquarium" / "valid", fault=True)
    bad = call("-c", "nano_aquarium", "--check-data")
    assert bad.return_value == 1
    assert "aquarium/valid/_annotations.coco.json: 3 faults" in bad.output
    assert not (folder / "runs").exists()


def test_pictures_in_a_folder_of_their_own_are_found(folder: Path) -> None:
    for split in ("train2017", "val2017"):
        annotations = write_data(folder / split)
        (folder / "annotations").mkdir(exist_ok=True)
        annotations.rename(folder / "annotations" / f"instances_{split}.json")
    result = call("-c", "small_coco", "--check-data")
    assert result.return_value == 0
    assert result.output.count("no faults; 3 images") == 2


def test_scenes_have_nothing_to_check() -> None:
    assert call("-c", "debug", "--check-data").return_value == 0


def test_missing_annotations_are_named() -> None:
    result = call("-c", "nano_aquarium", "--check-data", raises=True)
    assert isinstance(result.exception, UsageError)
    assert "trainer.data.train.aquarium.annotations: expected a file" in str(result.exception)


@pytest.mark.parametrize("valid", ["valid", "val", "test"])
def test_data_of_ones_own_in_roboflows_layout(
    folder: Path, launched: list[RunConfig], valid: str
) -> None:
    write_data(folder / "my reef" / "train")
    write_data(folder / "my reef" / valid)
    call("--data", "my reef", "trainer.max_epochs=2")
    (config,) = launched
    data = config.trainer.data
    assert config.paths.experiment == "runs/my reef"
    assert data.train["data"].annotations == "my reef/train/_annotations.coco.json"
    assert data.val["data"].annotations == f"my reef/{valid}/_annotations.coco.json"
    assert config.trainer.max_epochs == 2


def test_a_share_is_held_out_where_there_is_one_file(
    folder: Path, launched: list[RunConfig]
) -> None:
    annotations = write_data(folder / "reef", 40)
    call("--data", str(annotations), "--out", "out")
    data = launched[0].trainer.data
    both = [str(data.train["data"].annotations), str(data.val["data"].annotations)]
    assert both == ["out/data/train.json", "out/data/valid.json"]
    call(
        "-c",
        "simple",
        "--check-data",
        *(f"scratch.{k}={v}" for k, v in zip(("train", "valid"), both, strict=True)),
    )
    train_ids, valid_ids = (
        {i["id"] for i in json.loads(Path(p).read_text())["images"]} for p in both
    )
    assert not train_ids & valid_ids
    assert len(train_ids | valid_ids) == 40
    assert 1 <= len(valid_ids) <= 10


def test_copies_of_one_picture_stay_together(folder: Path) -> None:
    annotations = write_data(folder / "reef", 2)
    whole = json.loads(annotations.read_text())
    whole["images"] = [
        {**whole["images"][0], "id": 100 * i + k, "file_name": f"{i}_png.rf.{k}.jpg"}
        for i in range(30)
        for k in range(3)
    ]
    whole["annotations"] = []
    annotations.write_text(json.dumps(whole))
    splits = hold_out(annotations, folder / "out")
    assert splits.valid is not None
    held = [image["id"] // 100 for image in json.loads(splits.valid.read_text())["images"]]
    assert held
    assert all(held.count(origin) == 3 for origin in held)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": [], "annotations": []}'])
def test_what_cannot_be_shared_out_is_refused(folder: Path, text: str) -> None:
    (folder / "a.json").write_text(text)
    with pytest.raises(DatasetError, match=r"a\.json: expected"):
        hold_out(folder / "a.json", folder / "out")


def test_a_folder_without_annotations_is_refused(folder: Path) -> None:
    with pytest.raises(DatasetError, match="expected a file of annotations"):
        find_splits(folder)


def test_debug_trains_and_evaluates(folder: Path) -> None:
    small = [
        "trainer.max_steps=1",
        "trainer.data.val.scene.limit_ids=1",
        "trainer.logging.pictures=0",
    ]
    call("-c", "debug", "--out", "out", "trainer.logging.tensorboard=false", *small)
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert "bbox/AP" in metrics
    assert Path("out/checkpoints/last.pt").is_file()
    assert Path("out/config_resolved.yaml").is_file()

"""The configurations that come with the package, and the schema they are written in."""

from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from sam3_edge.errors import UsageError
from sam3_edge.training.config.compose import check_config, compose_config
from sam3_edge.training.config.names import READY, listed
from sam3_edge.training.config.schema import RunConfig
from sam3_edge.training.config.schema_keys import ANY, known_keys

NAMES = sorted(path.stem for path in READY.glob("*.yaml"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_they_are_all_there() -> None:
    assert NAMES == [
        "debug",
        "eval_only",
        "generalisation",
        "nano",
        "nano_aquarium",
        "nano_default",
        "odinw13",
        "roboflow100",
        "simple",
        "small_aquarium",
        "small_coco",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_each_composes_and_says_what_it_is_for(name: str) -> None:
    composed = compose_config(name, [])
    assert composed.config.paths.experiment == f"runs/{name}"
    summary = next(one.summary for one in listed() if one.name == name)
    assert summary.endswith(".")
    assert 20 < len(summary) <= 100
    assert f"-c {name}" in (READY / f"{name}.yaml").read_text() or name in ("nano", "simple")


@pytest.mark.parametrize("name", ["debug", "eval_only"])
def test_what_needs_no_data_can_start(name: str) -> None:
    check_config(compose_config(name, []).config)


@pytest.mark.parametrize("name", ["nano_aquarium", "small_aquarium"])
def test_aquarium_can_start_where_it_is(name: str, shared: Path) -> None:
    check_config(compose_config(name, [f"paths.data={shared}/data"]).config)


def test_coco_lies_as_its_archives_unpack(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"annotations/instances_train2017\.json"):
        check_config(compose_config("small_coco", []).config)
    (folder / "annotations").mkdir()
    for split in ("train2017", "val2017"):
        (folder / split).mkdir()
        (folder / "annotations" / f"instances_{split}.json").touch()
    check_config(compose_config("small_coco", []).config)


def other_value(default: Any) -> str:
    """Not the default, of its type, as it is written on the command line."""
    if isinstance(default, bool):
        return str(not default).lower()
    if isinstance(default, list):
        return "[3,4]"
    if isinstance(default, Enum):
        return next(one.name for one in type(default) if one is not default)
    return "other" if isinstance(default, str) else "7"


def leaves(section: object, prefix: str) -> dict[str, Any]:
    """Every key below a dataclass and its default, by walking the dataclasses alone."""
    found: dict[str, Any] = {}
    assert is_dataclass(section)
    for field in fields(section):
        value = getattr(section, field.name)
        if is_dataclass(value):
            found |= leaves(value, f"{prefix}{field.name}.")
        elif not isinstance(value, dict):
            found[prefix + field.name] = value
    return found


def test_every_key_of_the_schema_is_known_and_reached_from_the_command_line() -> None:
    defaults = leaves(RunConfig(), "")
    named = {key for key in known_keys() if ANY in key}
    assert {*known_keys()} - named == {*defaults}
    assert {key.rpartition(".")[0] for key in named} == {
        "trainer.data.train.*",
        "trainer.data.train.*.say",
        "trainer.data.val.*",
        "trainer.data.val.*.say",
        "trainer.model.overrides",
        "scratch",
    }
    overrides = {key: other_value(default) for key, default in defaults.items()}
    composed = compose_config("debug", [f"{key}={value}" for key, value in overrides.items()])
    tree = OmegaConf.create(composed.resolved_yaml)
    unmoved = [key for key, value in defaults.items() if OmegaConf.select(tree, key) == value]
    assert unmoved == []

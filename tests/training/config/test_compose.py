"""Where a configuration is found, what comes over what, and what is said about a wrong one."""

from pathlib import Path

import pytest

from sam3_edge.errors import UsageError
from sam3_edge.training.config.compose import (
    changed,
    check_config,
    compose_config,
    quoted,
    read_config,
)
from sam3_edge.training.config.files import write_config
from sam3_edge.training.config.names import listed
from sam3_edge.training.config.schema import Mode, RunConfig, SourceSection


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def refusal(name: str, *overrides: str) -> str:
    with pytest.raises(UsageError) as caught:
        compose_config(name, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("reef.yaml", "reef"),
        ("configs/reef.yaml", "reef"),
        ("far/away/reef.yaml", "far/away/reef.yaml"),
        ("it's a place, far/reef.yaml", "it's a place, far/reef.yaml"),
    ],
)
def test_a_file_is_found_by_name_and_by_path(folder: Path, place: str, name: str) -> None:
    write(folder / place, "trainer: {max_epochs: 3}")
    composed = compose_config(name, [])
    assert composed.name == "reef"
    assert composed.config.trainer.max_epochs == 3
    assert composed.config.paths.experiment == "runs/reef"
    assert composed.config.launcher.experiment_log_dir == "runs/reef"


def test_the_working_folder_comes_before_the_package(folder: Path) -> None:
    write(folder / "debug.yaml", "trainer: {max_epochs: 77}")
    assert compose_config("debug", []).config.trainer.max_epochs == 77


def test_an_empty_file_is_the_schemas_defaults(folder: Path) -> None:
    write(folder / "nothing.yaml", "# nothing\n")
    config = compose_config("nothing", []).config
    assert config.trainer == RunConfig().trainer


@pytest.mark.parametrize("defaults", ["[nano_aquarium, _self_]", "[nano_aquarium]"])
def test_schema_then_defaults_then_file_then_command_line(folder: Path, defaults: str) -> None:
    name = write(
        folder / "far" / "reef.yaml",
        f"""
        defaults: {defaults}
        trainer:
          max_epochs: 3
          seed_value: 5
          data: {{train: {{aquarium: {{weight: 9.0}}, reef: {{annotations: a.json}}}}}}
        """,
    )
    trainer = compose_config(name, ["trainer.seed_value=6"]).config.trainer
    ready = compose_config("nano_aquarium", []).config.trainer
    assert trainer.gradient_accumulation_steps == 1
    assert trainer.val_epoch_freq == ready.val_epoch_freq != RunConfig().trainer.val_epoch_freq
    assert trainer.max_epochs == 3
    assert trainer.seed_value == 6
    assert trainer.data.train["aquarium"].weight == 9.0
    assert trainer.data.train["aquarium"].annotations == "./aquarium/train/_annotations.coco.json"
    assert trainer.data.train["reef"] == SourceSection(annotations="a.json")


def test_a_file_may_build_on_one_beside_it_and_on_one_in_the_working_folder(folder: Path) -> None:
    write(folder / "far" / "beside.yaml", "trainer: {max_epochs: 2}")
    write(folder / "working.yaml", "trainer: {max_steps: 4}")
    name = write(folder / "far" / "reef.yaml", "defaults: [beside, working]\n")
    trainer = compose_config(name, []).config.trainer
    assert (trainer.max_epochs, trainer.max_steps) == (2, 4)


def test_overrides_make_and_remove_what_the_user_names() -> None:
    composed = compose_config(
        "nano_aquarium",
        [
            "trainer.data.train.reef.annotations=b.json",
            "trainer.data.train.reef.weight=2",
            "~trainer.data.train.scene",
            "trainer.data.val.aquarium=null",
            "scratch.side=336",
            "trainer.model.image_size=${scratch.side}",
            "+trainer.max_steps=3",
            "trainer.mode=train_only",
            "trainer.checkpoint.save_list=[1,2]",
        ],
    )
    trainer = composed.config.trainer
    assert list(trainer.data.train) == ["aquarium", "reef"]
    assert trainer.data.train["reef"] == SourceSection(annotations="b.json", weight=2.0)
    assert trainer.data.val == {}
    assert trainer.model.image_size == 336
    assert trainer.max_steps == 3
    assert trainer.mode is Mode.train_only
    assert trainer.checkpoint.save_list == [1, 2]


@pytest.mark.parametrize(
    "value", ["a=b,c", "it's", "back\\slash", "back\\' both", "{a: b}", "", "3"]
)
def test_quoted_values_arrive_as_they_are(value: str) -> None:
    composed = compose_config("debug", [f"paths.data={quoted(value)}"])
    assert composed.config.paths.data == value


def test_the_written_files_say_the_same(folder: Path) -> None:
    composed = compose_config("odinw13", ["paths.experiment=out/a", "trainer.seed_value=4"])
    assert "shots_seed: ${trainer.seed_value}" in composed.unresolved_yaml
    resolved = write_config(composed)
    assert "$" not in resolved.read_text()
    assert read_config(resolved) == composed.config
    again = compose_config("out/a/config.yaml", [])
    assert again.config == composed.config
    assert sorted(path.name for path in resolved.parent.iterdir()) == [
        "config.yaml",
        "config_resolved.yaml",
    ]


def test_a_change_reaches_what_names_it() -> None:
    composed = compose_config("odinw13", [])
    other = changed(composed, {"trainer.seed_value": 9, "paths.experiment": "x/y"})
    assert other.config.trainer.data.train["dataset"].shots_seed == 9
    assert other.config.launcher.experiment_log_dir == "x/y"
    assert composed.config.trainer.data.train["dataset"].shots_seed == 123


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("trainer.max_epoch", "trainer.max_epochs"),
        ("trainer.data.batchsize", "trainer.data.batch_size"),
        ("batch_size", "trainer.data.batch_size"),
        ("trainer.optim.rates.visoin", "trainer.optim.rates.vision"),
        ("trainer.optm", "trainer.optim"),
        ("trainer.data.train.reef.weigth", "trainer.data.train.reef.weight"),
        ("submitit.acount", "submitit.account"),
        ("trainr", "trainer"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(folder: Path, key: str, near: str) -> None:
    expected = f"{key}: expected a known key, got an unknown one; did you mean {near}?"
    assert refusal("debug", f"{key}=1") == expected
    words = key.split(".")
    write(
        folder / "own.yaml", "".join(f"{'  ' * i}{w}:\n" for i, w in enumerate(words))[:-1] + " 1"
    )
    assert refusal("own") == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.max_epochs=many", "trainer.max_epochs: expected int, got 'many'"),
        ("trainer.max_epochs=1.5", "trainer.max_epochs: expected int, got 1.5"),
        ("trainer.max_epochs=null", "trainer.max_epochs: expected int, got None"),
        ("trainer.max_steps=x", "trainer.max_steps: expected int or null, got 'x'"),
        ("trainer.mode=eval", "trainer.mode: expected one of train, val, train_only, got 'eval'"),
        ("trainer.optim.betas=[a]", "trainer.optim.betas: expected a list of float, got ['a']"),
        ("trainer.optim=3", "trainer.optim: expected keys and values, got 3"),
        ("trainer.data.train=3", "trainer.data.train: expected names and what each is, got 3"),
        ("trainer.data.train.a=3", "trainer.data.train.a: expected keys and values, got 3"),
        ("trainer.max_epochs=${paths.data}", "trainer.max_epochs: expected int, got '.'"),
        ("trainer.skip_faulty.x=1", "trainer.skip_faulty: expected a known key"),
        ("scratch.a=???", "scratch.a: expected a value, got none; add scratch.a=VALUE"),
        ("paths.data=${scratch.no}", "paths.data: expected an interpolation that resolves, got"),
        ("paths.data=${paths.data}", "paths.data: expected an interpolation that resolves, got"),
        ("paths.data=${oc.env:NO_SUCH}", "paths.data: expected an interpolation that resolves"),
        ("trainer.max_epochs", "expected key=value, got 'trainer.max_epochs'"),
        ("trainer.max_epochs=[1", "expected key=value, got 'trainer.max_epochs=[1'"),
        ("trainer.max_epochs=1,2", "trainer.max_epochs: expected one value, got several"),
        ("trainer/max_epochs=1", "expected key=value with a dotted key, got"),
        ("~trainer.max_epochs.x", "expected ~KEY of a key that the file sets, got"),
    ],
)
def test_a_wrong_value_is_one_line(override: str, message: str) -> None:
    assert refusal("debug", override).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainer: [\n", "expected YAML of keys and values, got"),
        ("a: 1\na: 2\n", "expected YAML of keys and values, got"),
        ("- 1\n", "expected YAML of keys and values, got"),
        ("trainer: {max_epochs: ${}\n", "expected YAML of keys and values, got"),
        ("defaults: [debugg]\n", "in its defaults: configuration: expected a file or one of debug"),
        ("defaults: [own]\n", "expected defaults that end, got files that name each other"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(folder: Path, text: str, message: str) -> None:
    path = write(folder / "own.yaml", text)
    assert refusal("own").startswith(f"{path}: {message}")


def test_a_file_that_is_no_text_is_named(folder: Path) -> None:
    (folder / "own.yaml").write_bytes(b"\xff\xfe\x00")
    assert refusal("own").startswith(f"{folder}/own.yaml: expected YAML")


def test_an_unknown_name_lists_what_there_is_nearest_first(folder: Path) -> None:
    write(folder / "nano_reef.yaml", "# Mine.\ntrainer: {}\n")
    write(folder / "compose.yaml", "services: {}\n")
    message = refusal("nano_aquarum")
    assert message.startswith("configuration: expected a file or one of nano_aquarium, ")
    assert "nano_reef" in message
    assert "compose" not in message
    assert refusal("far/debug.yaml").startswith("configuration: expected a file or one of debug, ")
    assert {one.name: one.summary for one in listed()}["nano_reef"] == "Mine."


def test_a_name_that_hydra_would_take_apart_is_refused(folder: Path) -> None:
    path = write(folder / "a@b.yaml", "trainer: {}\n")
    assert refusal(path).startswith("configuration: expected a file called NAME.yaml of letters")


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("trainer.data.batch_size=0", "trainer.data.batch_size: expected 1 or more, got 0"),
        ("trainer.optim.schedule.kind=step", "trainer.optim.schedule.kind: expected one of"),
        ("trainer.optim.betas=[0.9]", "trainer.optim.betas: expected two numbers"),
        ("trainer.data.augment.flip=1.5", "trainer.data.augment.flip: expected 0 to 1, got 1.5"),
        ("trainer.loss.one_to_many.weight=-1", "trainer.loss.one_to_many.weight: expected 0 or"),
        ("trainer.model.preset=huge", "model preset: expected one of"),
        ("trainer.model.image_size=85", "image size: expected a multiple of"),
        ("trainer.data.image_sizes=[84,90]", "image size: expected a multiple of 14"),
        ("trainer.model.weights=none.bin", "trainer.model.weights: expected a file, found none"),
        ("trainer.mode=val", "trainer.model.weights: expected weights to evaluate"),
        ("trainer.data.train.scene.kind=lvis", "trainer.data.train.scene.kind: expected one of"),
        ("trainer.data.train.scene.weight=0", "trainer.data.train.scene.weight: expected more"),
        ("trainer.data.train.scene.part=new", "trainer.data.train.scene.part: expected one of all"),
        ("trainer.data.train.scene.masks=m.json", "trainer.data.train.scene.masks: expected it of"),
        ("trainer.data.val.scene.ask=[fish]", "trainer.data.val.scene.ask: expected it of kind co"),
        ("trainer.data.threshold_set=sea", "trainer.data.threshold_set: expected one of scene, go"),
        ("trainer.data.val.x.weight=1", "trainer.data.val.x.annotations: expected a file in COCO"),
        ("trainer.data.val.x.annotations=n.json", "trainer.data.val.x.annotations: expected a f"),
        ("~trainer.data.train", "trainer.data.train: expected a data set in mode train, got none"),
        ("~trainer.data.val", "trainer.data.val: expected a data set in mode train, got none"),
        ("submitit.port_range=[9,8]", "submitit.port_range: expected [first, last]"),
        ("trainer.few_shot_seeds=[1,1]", "trainer.few_shot_seeds: expected different numbers"),
        ("launcher.gpus_per_node=0", "launcher.gpus_per_node: expected 1 or more, got 0"),
    ],
)
def test_a_value_that_cannot_be_meant_is_one_line(override: str, key: str) -> None:
    check_config(compose_config("debug", []).config)
    with pytest.raises(UsageError) as caught:
        check_config(compose_config("debug", [override]).config)
    assert str(caught.value).startswith(key)
    assert "\n" not in str(caught.value)

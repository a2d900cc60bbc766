"""`sam3-edge train`: what --data may say, and one short run."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from sam3_edge.command_train import DataSpec, parse_data, train
from sam3_edge.errors import DatasetError, UsageError
from sam3_edge.training.model.weights import load_weights


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("scene", DataSpec(kind="scene", path=None, weight=1.0)),
        ("scene:0.3", DataSpec(kind="scene", path=None, weight=0.3)),
        ("coco=a/b.json", DataSpec(kind="coco", path=Path("a/b.json"), weight=1.0)),
        ("coco=a/b.json:2", DataSpec(kind="coco", path=Path("a/b.json"), weight=2.0)),
        ("coco=C:/b.json:2", DataSpec(kind="coco", path=Path("C:/b.json"), weight=2.0)),
        ("coco=C:/b.json", DataSpec(kind="coco", path=Path("C:/b.json"), weight=1.0)),
    ],
)
def test_data_specs(text: str, spec: DataSpec) -> None:
    assert parse_data(text) == spec


@pytest.mark.parametrize(
    "text", ["", "reef", "coco", "coco=", "scene=x", "scene:0", "scene:-1", "scene:nan"]
)
def test_other_data_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--data: expected scene\[:WEIGHT\] or coco="):
        parse_data(text)


@pytest.mark.parametrize("length", [[], ["--steps", "2", "--minutes", "1"]])
def test_steps_or_minutes(length: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(train, ["--data", "scene", "--out", str(tmp_path), *length])
    assert isinstance(result.exception, UsageError)
    assert "exactly one of --minutes and --steps" in str(result.exception)


def test_missing_annotations_are_the_data_sets_error(tmp_path: Path) -> None:
    arguments = ["--preset", "tiny", "--data", f"coco={tmp_path}/none.json", "--steps", "1"]
    result = CliRunner().invoke(train, [*arguments, "--out", str(tmp_path / "run")])
    assert isinstance(result.exception, DatasetError)


def test_a_short_run_writes_weights_that_say_what_they_are(tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["--preset", "tiny", "--data", "scene", "--steps", "10", "--batch-size", "1"]
    result = CliRunner().invoke(train, [*arguments, "--licence", "MIT", "--out", str(out)])
    assert result.exception is None, result.output
    assert "step 10" in result.output
    assert "weights:" in result.output
    _, metadata = load_weights(out / "weights.safetensors")
    assert (metadata.preset, metadata.licence, metadata.data) == ("tiny", "MIT", ("scene",))
    assert (out / "log.jsonl").read_text().count("\n") == 1

"""`sam3-edge eval`: what it writes, and one line for each thing that is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sam3_edge.command_eval import evaluate
from sam3_edge.engines.bundle import default_bundle_path
from sam3_edge.errors import BundleError, DatasetError, ExportError, Sam3EdgeError, UsageError
from sam3_edge.training.model.weights import bundled_weights_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(evaluate, [str(argument) for argument in arguments])


def error(*arguments: object) -> Sam3EdgeError:
    exception = run(*arguments).exception
    assert isinstance(exception, Sam3EdgeError), exception
    assert "\n" not in str(exception)
    return exception


def test_scenes_with_the_default_bundle(tmp_path: Path) -> None:
    out = [tmp_path / name for name in ("e.json", "e.html", "words.json")]
    options = ["--json", out[0], "--html", out[1], "--vocabulary", out[2], "--threads", 1]
    result = run("--scenes", 2, *options, "--worst", 3)
    assert result.exception is None, result.output
    data = json.loads(out[0].read_text())
    assert (data["images"], data["prompts"], data["schema"]) == (2, 3, 1)
    assert data["bbox"]["AP50"] > 0.2
    assert data["model"] == "default bundle"
    assert out[1].read_text().count("<figure>") == 3
    words = {one["text"] for one in json.loads(out[2].read_text())}
    assert words <= {"fish", "jellyfish", "starfish"}
    assert "2 held-out demo scenes" in result.stdout
    for path in out:
        assert f"wrote {path}" in result.stderr


def test_a_checkpoint_on_annotations_and_a_merged_vocabulary(coco: Path, tmp_path: Path) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    phrase = {"text": "eel", "ap": None, "ap50": None, "threshold": 0.4, "source": "earlier"}
    before.write_text(json.dumps([phrase]))
    report = tmp_path / "e.json"
    options = ["--json", report, "--vocabulary", after, "--merge", before, "--name", "reef"]
    result = run(bundled_weights_path(), "--annotations", coco, *options, "--limit", 2)
    assert result.exception is None, result.output
    data = json.loads(report.read_text())
    assert data["annotations"] == str(coco)
    assert (data["source"], data["images"]) == ("reef, 2 pictures", 2)
    assert list(data["per_class"]) == ["crab", "shrimp"]
    assert [one["text"] for one in json.loads(after.read_text())] == ["eel", "crab", "shrimp"]


def test_nothing_or_both_to_evaluate_on(coco: Path) -> None:
    for arguments in ([], ["--scenes", 1, "--annotations", coco]):
        found = error(*arguments)
        assert isinstance(found, UsageError)
        assert "expected one of --annotations and --scenes" in str(found)
    assert "expected --annotations beside" in str(error("--scenes", 1, "--masks", coco))
    assert "expected --vocabulary beside --merge" in str(error("--scenes", 1, "--merge", coco))


def test_where_nothing_can_be_written_nothing_is_computed(tmp_path: Path) -> None:
    for option in ("--json", "--html", "--vocabulary"):
        for path in (tmp_path, tmp_path / "none" / "e"):
            found = error("--scenes", 1, option, path)
            assert isinstance(found, UsageError)
            assert str(path) in str(found)


def test_wrong_models(tmp_path: Path) -> None:
    assert "got nothing there" in str(error(tmp_path / "none", "--scenes", 1))
    assert isinstance(error(tmp_path, "--scenes", 1), BundleError)
    file = tmp_path / "weights.safetensors"
    file.write_text("no weights")
    assert isinstance(error(file, "--scenes", 1), ExportError)
    found = error(bundled_weights_path(), "--scenes", 1, "--device", "abacus")
    assert "--device: expected one this machine has, got 'abacus'" in str(found)


def test_image_sizes_that_cannot_be() -> None:
    found = error(bundled_weights_path(), "--scenes", 1, "--image-size", 250)
    assert isinstance(found, UsageError)
    assert "240 or 256" in str(found)
    found = error(default_bundle_path(), "--scenes", 1, "--image-size", 256)
    assert isinstance(found, UsageError)
    assert "--image-size" in str(found)


def test_wrong_data(coco: Path, tmp_path: Path) -> None:
    assert isinstance(error("--annotations", tmp_path / "none.json"), DatasetError)
    (tmp_path / "2.png").write_bytes(b"no picture")
    found = error("--annotations", coco)
    assert isinstance(found, DatasetError)
    assert "2.png" in str(found)


@pytest.fixture
def sea(coco: Path, tmp_path: Path) -> Path:
    """A configuration with the pictures of `coco`, and again asked about what they do not show."""
    path = tmp_path / "sea.yaml"
    sets = {"reef": {"annotations": str(coco)}, "far": {"annotations": str(coco), "ask": ["fish"]}}
    path.write_text(json.dumps({"trainer": {"data": {"val": sets}}}))
    return path


def test_all_sets_of_a_configuration_are_one_table(sea: Path, tmp_path: Path) -> None:
    out = tmp_path / "sets.json"
    options = ["--config", sea, "--json", out, "--threads", 1]
    override = "trainer.data.val.far.limit_ids=2"
    result = run(*options, override)
    assert result.exception is None, result.output
    data = json.loads(out.read_text())
    assert [data["sets"][name]["images"] for name in ("reef", "far")] == [3, 2]
    assert data["sets"]["far"]["false_alarm_pairs"] == 2
    assert list(data["sets"]["far"]["per_class"]) == ["fish"]
    assert data["thresholds"]["crab"]["fitted_on"] == "reef"
    assert data["model"] == "default bundle"
    checkpoint = run(bundled_weights_path(), *options, override, "--limit", 1)
    assert checkpoint.exception is None, checkpoint.output
    data = json.loads(out.read_text())
    assert [one["images"] for one in data["sets"].values()] == [1, 1]


def test_a_configuration_stands_alone(sea: Path, coco: Path, tmp_path: Path) -> None:
    for arguments in (
        ["--config", sea, "--annotations", coco],
        ["--config", sea, "--html", tmp_path / "e.html"],
        ["--scenes", 1, "trainer.seed_value=3"],
        ["--config", sea, "trainer.data.threshold_set=none"],
        ["--config", sea, "~trainer.data.val.far", "~trainer.data.val.reef"],
        ["--config", "no_such_sea"],
        ["--config", sea, "trainer.data.val.far.groups=no_such_places"],
    ):
        assert isinstance(error(*arguments), UsageError)


def test_help_fits_and_shows_examples() -> None:
    text = CliRunner().invoke(evaluate, ["--help"], terminal_width=80).output
    assert "Examples:" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("missing", "arguments", "extra"),
    [
        ("pycocotools", ["--help"], "eval"),
        ("torch", [str(bundled_weights_path()), "--scenes", "1"], "train"),
        ("hydra", ["--config", "generalisation"], "train"),
    ],
)
def test_a_missing_extra_says_what_to_install(
    missing: str, arguments: list[str], extra: str
) -> None:
    script = (
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, *rest):\n"
        f"        if name == {missing!r}: raise ModuleNotFoundError('none', name={missing!r})\n"
        "sys.meta_path.insert(0, Without())\n"
        "from sam3_edge.command import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script, "eval", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode in (1, 2)
    assert ran.stderr.count("\n") == 1
    assert missing in ran.stderr
    assert f"sam3-edge[{extra}]" in ran.stderr

"""A run can be interrupted, continued, and stopped by numbers that are none."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sam3_edge.errors import DatasetError, TrainingError
from sam3_edge.training import loop
from sam3_edge.training.labelled import LabelledPicture
from sam3_edge.training.loop import (
    LOG_NAME,
    STATE_NAME,
    RunSettings,
    StepReport,
    learning_rate,
    parameter_groups,
    train,
)
from sam3_edge.training.losses import detector_losses
from sam3_edge.training.mixture import Source
from sam3_edge.training.model.config import ModelConfig, preset
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.weights import WeightsMetadata, load_weights
from sam3_edge.training.scene_dataset import SceneDataset

METADATA = WeightsMetadata(preset="tiny", image_size=84, recipe="test", data=("scene",), licence="")


def config() -> ModelConfig:
    return preset("tiny", image_size=84)


def settings(out: Path, steps: int = 4) -> RunSettings:
    return RunSettings(
        out=out, steps=steps, batch_size=2, warmup_steps=2, bfloat16=False, workers=0, log_every=1
    )


def run(out: Path, *, resume: bool = False, stop_after: int | None = None, steps: int = 4) -> Path:
    """stop_after: the step at which somebody presses Ctrl-C."""

    def report(one: StepReport) -> None:
        if one.step == stop_after:
            raise KeyboardInterrupt

    torch.manual_seed(0)
    sources = [Source(data=SceneDataset("train", 84), weight=1.0)]
    detector = Detector(config())
    return train(detector, sources, settings(out, steps), METADATA, resume=resume, report=report)


def logged(out: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (out / LOG_NAME).read_text().splitlines()]
    return [
        {k: v for k, v in line.items() if k not in ("elapsed_s", "images_per_s")} for line in lines
    ]


def test_a_run_that_is_continued_is_the_run_that_was_not_interrupted(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", stop_after=2)
    assert not (tmp_path / "parts" / whole.name).exists()
    parts = run(tmp_path / "parts", resume=True)
    assert [line["step"] for line in logged(tmp_path / "parts")] == [1, 2, 3, 4]
    assert logged(tmp_path / "parts") == logged(tmp_path / "whole")
    expected, metadata = load_weights(whole)
    assert metadata.data == ("scene",)
    for name, tensor in load_weights(parts)[0].state_dict().items():
        assert torch.equal(tensor, expected.state_dict()[name]), name


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_after=1)
    before = (tmp_path / STATE_NAME).read_bytes()
    with pytest.raises(TrainingError, match="holds a run; continue it with --resume"):
        run(tmp_path)
    assert (tmp_path / STATE_NAME).read_bytes() == before


def test_resume_without_a_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="expected the checkpoint of a run"):
        run(tmp_path / "none", resume=True)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="expected a folder that can be written"):
        run(tmp_path / "file" / "run")


def finite_state(out: Path) -> int:
    state = torch.load(out / STATE_NAME, weights_only=True)
    assert all(bool(torch.isfinite(t).all()) for t in state["model"].values())
    step: int = state["step"]
    return step


def test_a_loss_that_is_no_number_names_its_parts_and_keeps_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def broken(*arguments: object) -> dict[str, Tensor]:
        calls.append(1)
        parts = detector_losses(*arguments)  # type: ignore[arg-type]
        return {**parts, "giou": parts["giou"] * float("nan")} if len(calls) == 2 else parts

    monkeypatch.setattr(loop, "detector_losses", broken)
    with pytest.raises(TrainingError, match=r"finite loss, got one that is not in giou \(1 of"):
        run(tmp_path)
    assert finite_state(tmp_path) == 1


def test_a_gradient_that_is_no_number_does_not_reach_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> dict[str, Tensor]:
        parts = detector_losses(*arguments)  # type: ignore[arg-type]
        zero = parts["presence"] * 0.0
        return {**parts, "presence": parts["presence"] + zero.abs().sqrt()}

    monkeypatch.setattr(loop, "detector_losses", broken)
    with pytest.raises(TrainingError, match="finite gradient, got one that is not in backbone"):
        run(tmp_path)
    assert finite_state(tmp_path) == 0


def test_bad_data_stops_the_run_with_its_own_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> LabelledPicture:
        raise DatasetError("a.png: expected a picture")

    monkeypatch.setattr(SceneDataset, "picture", broken)
    with pytest.raises(DatasetError, match=r"^a.png: expected a picture$"):
        run(tmp_path)


def test_the_rate_warms_up_and_ends_low(tmp_path: Path) -> None:
    chosen = settings(tmp_path, steps=1000)
    rates = [learning_rate(chosen, step, step / 1000) for step in range(1000)]
    peak = rates.index(max(rates))
    assert rates[0] == pytest.approx(chosen.learning_rate / 2)
    assert peak <= chosen.warmup_steps
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(chosen.learning_rate * chosen.final_share, rel=0.01)


def test_biases_norms_and_embeddings_do_not_decay() -> None:
    detector = Detector(config())
    decayed, kept = parameter_groups(detector, 0.1)
    names = {id(parameter): name for name, parameter in detector.named_parameters()}
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)
    in_decayed = {names[id(p)] for p in decayed["params"]}  # type: ignore[attr-defined]
    in_kept = {names[id(p)] for p in kept["params"]}  # type: ignore[attr-defined]
    assert in_decayed | in_kept == set(names.values())
    assert not in_decayed & in_kept
    for name in in_decayed:
        assert not name.endswith("bias"), name
        assert "norm" not in name.split(".")[-2], name
        assert "token_embedding" not in name
        assert "query_embed" not in name


def test_one_picture_is_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = SceneDataset("train", 84)
    true_picture = SceneDataset.picture

    def always_the_same(self: SceneDataset, *_: object) -> LabelledPicture:
        return true_picture(one, 5, np.random.default_rng(0))

    monkeypatch.setattr(SceneDataset, "picture", always_the_same)
    run(tmp_path, steps=40)
    losses = [line["total"] for line in logged(tmp_path)]
    assert sum(losses[-5:]) < 0.75 * sum(losses[:5])

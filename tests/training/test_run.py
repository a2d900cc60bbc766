"""A few steps end to end: what is written, what stops a run, and that it learns."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sam3_edge.errors import DatasetError, TrainingError, UsageError
from sam3_edge.training import objective
from sam3_edge.training.checkpoint import load_state
from sam3_edge.training.config.schema import Mode, Precision, RunConfig, SourceSection
from sam3_edge.training.data.labelled import LabelledPicture
from sam3_edge.training.data.scene_dataset import SceneDataset
from sam3_edge.training.losses.detector_losses import detector_losses
from sam3_edge.training.model.config import preset
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.weights import load_weights
from sam3_edge.training.run import run

SmallRun = Callable[[Path], RunConfig]


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "logs" / "log.jsonl").read_text().splitlines()]


def test_a_run_leaves_weights_metrics_and_logs(tmp_path: Path, small_run: SmallRun) -> None:
    config = small_run(tmp_path)
    config.trainer.mode = Mode.train
    config.trainer.logging.tensorboard, config.trainer.logging.pictures = True, 1
    config.trainer.gradient_accumulation_steps, config.trainer.checkpoint.save_list = 2, [1]
    config.trainer.checkpoint.licence = "MIT"
    result = run(config, recipe="sam3-edge train small")
    assert result.steps == 2
    held = json.loads((tmp_path / "metrics.json").read_text())
    assert held == result.metrics
    assert 0.0 <= held["bbox/AP"] == held["held_out/bbox/AP"] <= 1.0
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert names == {"last.pt", "epoch_1.pt", "best.safetensors", "model.safetensors"}
    assert load_state(tmp_path / "checkpoints" / "epoch_1.pt").standing.step == 1
    detector, metadata = load_weights(tmp_path / "checkpoints" / "model.safetensors")
    assert (metadata.preset, metadata.image_size, metadata.licence) == ("tiny", 84, "MIT")
    assert metadata.recipe == "sam3-edge train small"
    assert metadata.data == ("scenes (demo scenes)",)
    average = load_state(tmp_path / "checkpoints" / "last.pt").average
    assert torch.equal(
        detector.transformer.decoder.query_embed.weight,
        average["transformer.decoder.query_embed.weight"].half().float(),
    )
    steps = [line for line in lines(tmp_path) if "loss" in line]
    assert [line["step"] for line in steps] == [1, 2]
    assert all(line["images_per_s"] > 0 and line["memory_bytes"] > 2**20 for line in steps)
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1


def test_evaluation_alone_gives_what_the_end_of_training_gave(
    tmp_path: Path, small_run: SmallRun
) -> None:
    config = small_run(tmp_path / "trained")
    config.trainer.mode, config.trainer.max_steps = Mode.train, 1
    # Averages are kept in FP32 and handed over in FP16; without them the last bits may differ.
    trained = run(config).metrics
    again = small_run(tmp_path / "judged")
    again.trainer.mode = Mode.val
    again.trainer.model.weights = str(tmp_path / "trained" / "checkpoints" / "model.safetensors")
    judged = run(again)
    assert judged.steps == 0
    assert judged.metrics.keys() == trained.keys()
    for name, value in judged.metrics.items():
        assert value == pytest.approx(trained[name], abs=0.02), name
    assert not list((tmp_path / "judged" / "checkpoints").iterdir())


def test_nothing_is_saved_where_nothing_should_be(tmp_path: Path, small_run: SmallRun) -> None:
    config = small_run(tmp_path)
    config.trainer.skip_saving_ckpts, config.trainer.max_steps = True, 1
    run(config)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_run_stops_when_its_metric_no_longer_rises(tmp_path: Path, small_run: SmallRun) -> None:
    config = small_run(tmp_path)
    config.trainer.mode, config.trainer.max_epochs = Mode.train, 5
    config.trainer.data.epoch_samples = 1
    config.trainer.logging.early_stop.patience = 1
    config.trainer.logging.early_stop.least_gain = 1.0
    assert run(config).steps == 2


def test_minutes_end_a_run(tmp_path: Path, small_run: SmallRun) -> None:
    config = small_run(tmp_path)
    config.trainer.max_epochs, config.trainer.max_minutes = 10_000, 1e-6
    assert run(config).steps == 1


def test_minutes_of_training_say_when_to_evaluate(tmp_path: Path, small_run: SmallRun) -> None:
    config = small_run(tmp_path)
    config.trainer.mode, config.trainer.max_epochs = Mode.train, 3
    config.trainer.data.epoch_samples, config.trainer.val_minutes = 1, 1e-6
    run(config)
    evaluated = [line for line in lines(tmp_path) if "evaluation_s" in line]
    assert [line["step"] for line in evaluated] == [1, 2, 3]
    for line in evaluated:
        assert line["evaluation_s"] > 0.0
        assert 0.0 <= line["bbox/AP"] <= 1.0
    times = [line["elapsed_s"] for line in lines(tmp_path)]
    assert times == sorted(times)
    config = small_run(tmp_path / "rarely")
    config.trainer.mode, config.trainer.max_epochs = Mode.train, 3
    config.trainer.data.epoch_samples, config.trainer.val_minutes = 1, 60.0
    run(config)
    rare = [line for line in lines(tmp_path / "rarely") if "evaluation_s" in line]
    assert [line["step"] for line in rare] == [3]  # the end of the run


def test_half_precision_on_a_cpu_is_refused(tmp_path: Path, small_run: SmallRun) -> None:
    config = small_run(tmp_path)
    config.trainer.optim.amp.dtype = Precision.fp16
    with pytest.raises(UsageError, match="bf16 or fp32 on a CPU, got fp16"):
        run(config)


def broken_loss(part: str, change: Callable[[Tensor], Tensor], calls: int) -> object:
    """The loss with one part changed from call number `calls` on."""
    seen: list[int] = []

    def losses(*arguments: object) -> dict[str, Tensor]:
        seen.append(1)
        parts = detector_losses(*arguments)  # type: ignore[arg-type]
        return {**parts, part: change(parts[part])} if len(seen) >= calls else parts

    return losses


def last_step(folder: Path) -> int:
    state = load_state(folder / "checkpoints" / "last.pt")
    assert all(bool(torch.isfinite(t).all()) for t in state.model.values())
    return state.standing.step


def test_a_module_whose_output_is_no_number_is_named(
    tmp_path: Path, small_run: SmallRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_run(tmp_path)
    config.trainer.checkpoint.save_steps = 1
    true_decode, calls = Detector.decode, []

    def decode(self: Detector, *arguments: object) -> object:
        calls.append(1)
        if len(calls) == 5:  # two forward passes come before the first step
            self.dot_prod_scoring.register_forward_hook(
                lambda *_: torch.tensor(float("nan")) * _[2]
            )
        return true_decode(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Detector, "decode", decode)
    config.trainer.max_epochs = 5
    with pytest.raises(TrainingError, match=r"finite loss, got .*dot_prod_scoring") as caught:
        run(config)
    assert "\n" not in str(caught.value)
    assert last_step(tmp_path) >= 1


def test_a_gradient_that_is_no_number_does_not_reach_the_weights(
    tmp_path: Path, small_run: SmallRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_run(tmp_path)
    config.trainer.checkpoint.save_steps = 1

    def infinite_slope(part: Tensor) -> Tensor:
        return part + (part * 0.0).abs().sqrt()

    # Two calls before the first step: the probe of what is reached, and the memory estimate's.
    broken = broken_loss("presence", infinite_slope, calls=3)
    monkeypatch.setattr(objective, "detector_losses", broken)
    with pytest.raises(TrainingError, match="finite gradient, got the gradient of "):
        run(config)
    assert last_step(tmp_path) >= 1


def test_too_little_memory_is_told_with_advice(
    tmp_path: Path, small_run: SmallRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    config = small_run(tmp_path)
    config.trainer.data.batch_size = 2
    monkeypatch.setattr("sam3_edge.training.step.moved", no_memory)
    with pytest.raises(TrainingError, match=r"enough memory, got.*trainer.data.batch_size=1"):
        run(config)


def test_bad_data_stops_the_run_with_its_own_error(
    tmp_path: Path, small_run: SmallRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> LabelledPicture:
        raise DatasetError("a.png: expected a picture")

    monkeypatch.setattr(SceneDataset, "picture", broken)
    with pytest.raises(DatasetError, match=r"^a.png: expected a picture$"):
        run(small_run(tmp_path))


def test_a_metric_that_no_evaluation_gives_is_refused_at_once(
    tmp_path: Path, small_run: SmallRun
) -> None:
    config = small_run(tmp_path)
    config.trainer.mode = Mode.train
    config.trainer.data.val["more"] = SourceSection(kind="scene")
    with pytest.raises(UsageError, match="one of held_out/bbox/AP, more/bbox/AP"):
        run(config)


def test_one_picture_is_learned(
    tmp_path: Path, small_run: SmallRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = SceneDataset("train", 84)
    true_picture = SceneDataset.picture

    def always_the_same(self: SceneDataset, *_: object) -> LabelledPicture:
        return true_picture(one, 5, np.random.default_rng(0))

    monkeypatch.setattr(SceneDataset, "picture", always_the_same)
    config = small_run(tmp_path)
    config.trainer.max_epochs, config.trainer.data.epoch_samples = 1, 25
    config.trainer.optim.rates.transformer = config.trainer.optim.rates.vision = 5e-4
    run(config)
    losses = [line["loss"] for line in lines(tmp_path)]
    assert sum(losses[-5:]) < 0.75 * sum(losses[:5])


def test_what_no_loss_reaches_is_not_trained(tmp_path: Path, small_run: SmallRun) -> None:
    config = small_run(tmp_path)
    config.trainer.max_steps = 1
    run(config)
    state = load_state(tmp_path / "checkpoints" / "last.pt")
    parameters = dict(Detector(preset("tiny", image_size=84)).named_parameters())
    trained = [name for name in parameters if name in state.average]
    assert not any("points_" in name for name in trained)
    in_optimizer = sum(len(group["params"]) for group in state.optimizer["param_groups"])
    assert in_optimizer == len(trained) < len(parameters)

"""A run that was killed and continued is the run that was not."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sam3_edge.errors import TrainingError
from sam3_edge.run_stop import StopSignal
from sam3_edge.training import between_steps
from sam3_edge.training.checkpoint import RunState, load_state
from sam3_edge.training.config.schema import Mode, RunConfig
from sam3_edge.training.run import run
from sam3_edge.training.validation import evaluate

SmallRun = Callable[[Path], RunConfig]
StartWorker = Callable[..., "subprocess.Popen[str]"]
PATIENCE_S = 240.0


def logged(folder: Path) -> list[dict[str, float]]:
    """Without what depends on the clock."""
    lines = [json.loads(line) for line in (folder / "logs" / "log.jsonl").read_text().splitlines()]
    timed = ("elapsed_s", "evaluation_s", "images_per_s", "memory_bytes")
    return [{key: value for key, value in line.items() if key not in timed} for line in lines]


def final(folder: Path) -> RunState:
    return load_state(folder / "checkpoints" / "last.pt")


def assert_same(one: object, other: object, where: str = "state") -> None:
    """Bit for bit, however nested."""
    if isinstance(one, torch.Tensor):
        assert isinstance(other, torch.Tensor), where
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert isinstance(other, dict), where
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert isinstance(other, list | tuple), where
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}.{number}")
    else:
        assert one == other, where


def assert_same_run(one: Path, other: Path) -> None:
    first, second = final(one), final(other)
    assert first.standing.step == second.standing.step
    for name in ("model", "average", "optimizer", "random", "micro_batch"):
        assert_same(getattr(first, name), getattr(second, name), name)
    handed_over = Path("checkpoints", "model.safetensors")
    assert_same(load_file(one / handed_over), load_file(other / handed_over), "handed over")
    assert logged(one) == logged(other)


def long_run(folder: Path, small_run: SmallRun) -> RunConfig:
    config = small_run(folder)
    config.trainer.max_epochs, config.trainer.data.epoch_samples = 2, 7
    config.trainer.checkpoint.save_steps = 3
    config.trainer.loss.denoising.weight = 1.0  # Draws from torch's generator in every step.
    return config


def wait_for_step(process: "subprocess.Popen[str]", folder: Path, step: int) -> None:
    log, deadline = folder / "logs" / "log.jsonl", time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if log.exists() and log.read_text().count("\n") >= step:
            return
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.05)
    raise AssertionError(f"no step {step} within {PATIENCE_S} s")


def test_a_killed_run_continues_bit_for_bit(
    tmp_path: Path, small_run: SmallRun, start_worker: StartWorker
) -> None:
    killed, whole = (long_run(tmp_path / name, small_run) for name in ("killed", "whole"))
    killed.trainer.data.num_workers = whole.trainer.data.num_workers = 1
    process = start_worker(killed)
    try:
        wait_for_step(process, tmp_path / "killed", 5)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert final(tmp_path / "killed").standing.step in (3, 6, 7, 9, 12)
    assert not (tmp_path / "killed" / "metrics.json").exists()
    run(killed, recipe="test")
    run(whole, recipe="test")
    assert_same_run(tmp_path / "killed", tmp_path / "whole")


def test_a_signal_writes_a_checkpoint_first(
    tmp_path: Path, small_run: SmallRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped, whole = (long_run(tmp_path / name, small_run) for name in ("stopped", "whole"))
    asked = iter([False, False, True])
    with monkeypatch.context() as patch:
        told = property(lambda _: next(asked), lambda *_: None)
        patch.setattr(StopSignal, "is_set", told, raising=False)
        with pytest.raises(KeyboardInterrupt):
            run(stopped, recipe="test")
    assert final(tmp_path / "stopped").standing.step == 2
    run(stopped, recipe="test")
    run(whole, recipe="test")
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")


def test_a_kill_during_an_evaluation_loses_no_step_and_no_evaluation(
    tmp_path: Path, small_run: SmallRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, whole = (long_run(tmp_path / name, small_run) for name in ("killed", "whole"))
    for config in (killed, whole):
        config.trainer.mode, config.trainer.checkpoint.save_steps = Mode.train, None

    def die(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(between_steps, "evaluate", die)
        with pytest.raises(SystemExit):
            run(killed, recipe="test")
    assert final(tmp_path / "killed").standing.step == 7  # an epoch
    run(killed, recipe="test")
    run(whole, recipe="test")
    assert_same_run(tmp_path / "killed", tmp_path / "whole")


def test_a_signal_ends_an_evaluation_before_its_next_picture(
    tmp_path: Path, small_run: SmallRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_run(tmp_path)
    config.trainer.mode = Mode.train

    def told(fabric: object, detector: object, sets: object, section: object, stop: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        evaluate(fabric, detector, sets, section, stop)  # type: ignore[arg-type]

    monkeypatch.setattr(between_steps, "evaluate", told)
    with pytest.raises(KeyboardInterrupt):
        run(config, recipe="test")
    standing = final(tmp_path).standing
    assert (standing.step, standing.evaluated) == (2, -1)


def test_a_finished_run_is_not_trained_further(tmp_path: Path, small_run: SmallRun) -> None:
    config = small_run(tmp_path)
    config.trainer.max_steps = 1
    run(config, recipe="test")
    before = final(tmp_path)
    assert run(config, recipe="test").steps == 1
    assert_same(before.model, final(tmp_path).model)


def test_what_makes_it_another_run_is_refused(tmp_path: Path, small_run: SmallRun) -> None:
    config = small_run(tmp_path)
    config.trainer.max_steps = 1
    run(config, recipe="test")
    path = tmp_path / "checkpoints" / "last.pt"
    before = path.read_bytes()
    config.trainer.seed_value = 7
    with pytest.raises(TrainingError, match=r"trainer.seed_value=123.* got trainer.seed_value=7"):
        run(config)
    config.trainer.model.preset, config.trainer.model.image_size = "nano", 112
    with pytest.raises(TrainingError, match=r"tensors of preset 'nano', got shape \(.*\) for "):
        run(config)
    config.trainer.checkpoint.resume = False
    with pytest.raises(TrainingError, match=r"expected a folder without a run, got last\.pt"):
        run(config)
    assert path.read_bytes() == before


def test_a_damaged_checkpoint_is_one_line(tmp_path: Path, small_run: SmallRun) -> None:
    config = small_run(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.pt").write_bytes(b"PK\x03\x04 half of it")
    with pytest.raises(TrainingError, match=r"last\.pt: expected the checkpoint") as caught:
        run(config)
    assert "\n" not in str(caught.value)

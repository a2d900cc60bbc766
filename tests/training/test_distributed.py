"""Several processes take the same steps as one, share their checkpoints, and end together."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sam3_edge.training.checkpoint import load_state
from sam3_edge.training.config.schema import RunConfig
from sam3_edge.training.run import run
from sam3_edge.training.sharded_checkpoint import newest_sharded

SmallRun = Callable[[Path], RunConfig]
StartWorker = Callable[..., "subprocess.Popen[str]"]
PATIENCE_S = 240.0
STEPS = 10


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def start_two(config: RunConfig, start_worker: StartWorker) -> list["subprocess.Popen[str]"]:
    port = free_port()
    return [start_worker(config, rank, 2, port) for rank in range(2)]


def finish(processes: list["subprocess.Popen[str]"]) -> list[str]:
    """What they wrote to standard error; all have ended."""
    try:
        return [process.communicate(timeout=PATIENCE_S)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()


def ten_steps(folder: Path, small_run: SmallRun) -> RunConfig:
    """Every third prompt comes with boxes, which reach parts of the model that others do not; half
    of the steps have smaller pictures.
    """
    config = small_run(folder)
    config.trainer.max_epochs, config.trainer.data.epoch_samples = 1, 2 * STEPS
    config.trainer.data.exemplars.probability = 0.3
    config.trainer.data.image_sizes = [70, 84]
    config.trainer.optim.schedule.warmup, config.trainer.optim.schedule.cooldown = 1, 0
    return config


def losses(folder: Path) -> dict[int, dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "logs" / "log.jsonl").read_text().splitlines()]
    left_out = ("elapsed_s", "images_per_s", "memory_bytes", "epoch")
    return {
        line["step"]: {key: value for key, value in line.items() if key not in left_out}
        for line in lines
    }


def assert_same_steps(one: Path, other: Path) -> None:
    first, second = losses(one), losses(other)
    assert first.keys() == second.keys() == set(range(1, STEPS + 1))
    for step, expected in first.items():
        assert second[step] == pytest.approx(expected, rel=1e-5, abs=1e-5), step


@pytest.fixture
def alone(tmp_path: Path, small_run: SmallRun) -> Path:
    """One process that accumulates two micro-batches a step."""
    config = ten_steps(tmp_path / "one", small_run)
    config.trainer.gradient_accumulation_steps = 2
    run(config)
    return tmp_path / "one"


def test_two_processes_take_the_steps_of_one(
    alone: Path, tmp_path: Path, small_run: SmallRun, start_worker: StartWorker
) -> None:
    processes = start_two(ten_steps(tmp_path / "two", small_run), start_worker)
    said = finish(processes)
    assert [process.returncode for process in processes] == [0, 0], said
    assert_same_steps(alone, tmp_path / "two")
    held = load_state(tmp_path / "two" / "checkpoints" / "last.pt")
    assert len(held.random) == 2
    assert held.micro_batch == 2 * STEPS


def test_shards_continue_where_they_were_written(
    alone: Path, tmp_path: Path, small_run: SmallRun, start_worker: StartWorker
) -> None:
    config = ten_steps(tmp_path / "shards", small_run)
    config.trainer.checkpoint.sharded, config.trainer.max_steps = True, 4
    for steps in (4, STEPS):
        config.trainer.max_steps = steps
        processes = start_two(config, start_worker)
        said = finish(processes)
        assert [process.returncode for process in processes] == [0, 0], said
    folder = tmp_path / "shards" / "checkpoints"
    newest = newest_sharded(folder)
    assert newest is not None
    assert newest.name == f"last-{STEPS:08d}"
    assert len(list(newest.glob("*.distcp"))) == 2
    assert {path.name for path in folder.iterdir()} == {newest.name, "model.safetensors"}
    assert_same_steps(alone, tmp_path / "shards")


def test_the_others_end_when_one_is_killed(
    tmp_path: Path, small_run: SmallRun, start_worker: StartWorker
) -> None:
    config = ten_steps(tmp_path / "killed", small_run)
    config.trainer.max_epochs = 1000
    first, second = processes = start_two(config, start_worker)
    log, deadline = tmp_path / "killed" / "logs" / "log.jsonl", time.monotonic() + PATIENCE_S
    while not (log.exists() and log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(second.pid, signal.SIGKILL)
    said = finish(processes)
    assert first.returncode == 1
    assert "expected 2 processes, lost the connection to one" in said[0]

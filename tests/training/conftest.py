"""A run that takes seconds: one picture a micro-batch, the smallest model, demo scenes."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from omegaconf import OmegaConf

from sam3_edge.training.config.schema import Mode, Precision, RunConfig, SourceSection

SmallRun: TypeAlias = Callable[[Path], RunConfig]
StartWorker: TypeAlias = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def small_run() -> SmallRun:
    """The configuration of a run in the folder, in mode train_only, FP32, on one processor."""

    def build(folder: Path) -> RunConfig:
        config = RunConfig()
        config.paths.experiment = str(folder)
        trainer = config.trainer
        trainer.accelerator, trainer.num_threads = "cpu", 1
        trainer.mode, trainer.max_epochs = Mode.train_only, 2
        trainer.model.preset, trainer.model.image_size = "tiny", 84
        trainer.data.train = {"scenes": SourceSection(kind="scene")}
        trainer.data.val = {"held_out": SourceSection(kind="scene")}
        trainer.data.limit_val, trainer.data.epoch_samples = 1, 2
        trainer.data.batch_size, trainer.data.num_workers = 1, 0
        trainer.optim.amp.dtype = Precision.fp32
        trainer.optim.rates.transformer = trainer.optim.rates.vision = 1e-4
        trainer.logging.log_freq, trainer.logging.tensorboard = 1, False
        return config

    return build


@pytest.fixture
def start_worker(tmp_path: Path) -> StartWorker:
    """Starts the configuration as one of `count` processes; standard error is its only output."""

    def start(
        config: RunConfig, rank: int = 0, count: int = 1, port: int = 0
    ) -> "subprocess.Popen[str]":
        path = tmp_path / f"{Path(config.paths.experiment).name}_{rank}.yaml"
        path.write_text(OmegaConf.to_yaml(OmegaConf.structured(config)))
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if count > 1:
            ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
            environment |= {name: str(value) for name, value in ranks.items()}
            environment["MASTER_ADDR"] = "127.0.0.1"
        return subprocess.Popen(
            [sys.executable, "-m", "sam3_edge.training.launching.worker", str(path)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start

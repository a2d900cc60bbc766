"""The folder of a run, and what is written there besides checkpoints."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sam3_edge.errors import TrainingError
from sam3_edge.training.config.files import write_whole

Number = float | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """folder: of the run. writes: whether this process writes there, as only the first one does."""

    folder: Path
    writes: bool

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        return self.folder / "tensorboard"

    @property
    def log(self) -> Path:
        """JSON lines: one each `log_freq` steps, and one for each evaluation."""
        return self.folder / "logs" / "log.jsonl"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.json"

    def append(self, line: Mapping[str, Number]) -> None:
        if not self.writes:
            return
        try:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dict(line)) + "\n")
        except OSError as error:
            raise cannot_write(self.log, error) from error

    def forget_after(self, step: int) -> None:
        """Drops the lines of steps that will be done again, and one that a kill cut short."""
        if not self.writes or not self.log.exists():
            return
        kept = [
            line
            for line in self.log.read_text(encoding="utf-8").splitlines()
            if _is_kept(line, step)
        ]
        try:
            write_whole(self.log, "".join(f"{line}\n" for line in kept))
        except OSError as error:
            raise cannot_write(self.log, error) from error

    def write_metrics(self, metrics: Mapping[str, float]) -> None:
        if not self.writes:
            return
        try:
            write_whole(self.metrics, json.dumps(dict(metrics), indent=1) + "\n")
        except OSError as error:
            raise cannot_write(self.metrics, error) from error


def open_experiment(folder: Path, *, writes: bool) -> Experiment:
    """Makes the folders. Raises TrainingError."""
    experiment = Experiment(folder=folder, writes=writes)
    try:
        for one in (experiment.checkpoints, experiment.tensorboard, experiment.log.parent):
            one.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(
            f"{folder}: expected a folder that can be written, got: {error.strerror}; choose "
            "another paths.experiment"
        ) from error
    return experiment


def _is_kept(line: str, step: int) -> bool:
    try:
        return bool(json.loads(line)["step"] <= step)
    except ValueError:
        return False


def cannot_write(path: Path, error: BaseException) -> TrainingError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return TrainingError(
        f"cannot write {path}: {why.splitlines()[0]}; free space, and run again to continue from "
        "the last checkpoint"
    )

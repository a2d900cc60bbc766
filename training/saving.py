"""What a run writes under checkpoints/, and how it finds its place again."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.strategies.fsdp import FSDPStrategy
from torch import nn

from sam3_edge.errors import TrainingError
from sam3_edge.training.checkpoint import (
    LAST,
    Fingerprint,
    RunState,
    check_same_run,
    check_same_tensors,
    keep_epoch,
    load_state,
    save_state,
    state_to_values,
    values_to_state,
)
from sam3_edge.training.config.schema import CheckpointSection
from sam3_edge.training.ema import WeightAverage
from sam3_edge.training.random_state import State, random_state, restore_random_state
from sam3_edge.training.sharded_checkpoint import (
    keep_sharded_epoch,
    load_sharded,
    newest_sharded,
    save_sharded,
)
from sam3_edge.training.standing import Standing
from sam3_edge.training.step import Trainee, loss_scaler


class Saver:
    """Writes and reads the whole state of a run, in one file or in one folder of shards.

    To be called by all processes. fingerprint: what must be as it was when the run continues.
    saved_step, saved_s: where the run was when it was last written or restored.
    """

    def __init__(
        self,
        folder: Path,
        section: CheckpointSection,
        trainee: Trainee,
        average: WeightAverage | None,
        fingerprint: Fingerprint,
    ) -> None:
        self.folder, self.section = folder, section
        self.trainee, self.average = trainee, average
        self.fingerprint = fingerprint
        self.fabric = trainee.fabric
        self.sharded = section.sharded or isinstance(self.fabric.strategy, FSDPStrategy)
        self.saved_step, self.saved_s = 0, 0.0

    def found(self) -> Path | None:
        """The checkpoint to continue from."""
        if self.sharded:
            return newest_sharded(self.folder)
        path = self.folder / LAST
        return path if path.exists() else None

    def save(self, standing: Standing, micro_batch: int, keep_as_epoch: int | None = None) -> None:
        """keep_as_epoch: also under this epoch's name. Raises TrainingError."""
        state = self._state(standing, micro_batch)
        if self.sharded:
            self._save_shards(state, keep_as_epoch)
        else:
            self._save_file(state, keep_as_epoch)
        self.saved_step, self.saved_s = standing.step, standing.elapsed_s

    def _save_file(self, state: RunState, keep_as_epoch: int | None) -> None:
        state = replace(state, random=self._gathered(state.random[0]))
        failure: TrainingError | None = None
        if self.fabric.is_global_zero:
            try:
                save_state(self.folder / LAST, state)
                if keep_as_epoch is not None:
                    keep_epoch(self.folder / LAST, keep_as_epoch)
            except TrainingError as error:
                failure = error
        # All end with the first one's error, and none waits for it in vain.
        failure = self.fabric.broadcast(failure)
        if failure is not None:
            raise failure

    def restore(self) -> tuple[Standing, int]:
        """Into model, average, optimizer, scaler and generators; returns the standing and the next
        micro-batch. There must be a checkpoint. Raises TrainingError for one of another run.
        """
        path = self.found()
        assert path is not None
        standing, micro_batch = (
            self._restore_shards(path) if self.sharded else self._restore_file(path)
        )
        self.saved_step, self.saved_s = standing.step, standing.elapsed_s
        return standing, micro_batch

    def _restore_file(self, path: Path) -> tuple[Standing, int]:
        state = load_state(path)
        self._check(path, state)
        self.trainee.objective.detector.load_state_dict(state.model)
        _unwrapped(self.trainee.optimizer).load_state_dict(state.optimizer)
        self._restore_own(state, self.fabric.global_rank)
        return state.standing, state.micro_batch

    def _state(self, standing: Standing, micro_batch: int) -> RunState:
        scaler = loss_scaler(self.fabric)
        sharded = self.sharded
        return RunState(
            standing=standing,
            micro_batch=micro_batch,
            fingerprint=self.fingerprint,
            model={} if sharded else self.trainee.objective.detector.state_dict(),
            average={} if self.average is None else self.average.state_dict(),
            optimizer={} if sharded else _unwrapped(self.trainee.optimizer).state_dict(),
            scaler={} if scaler is None else scaler.state_dict(),
            random=[random_state()],
        )

    def _restore_own(self, state: RunState, place: int) -> None:
        """place: of this process's generators in `random`; other ranks' are as they were seeded."""
        if self.average is not None:
            self.average.load_state_dict(state.average)
        if (scaler := loss_scaler(self.fabric)) is not None and state.scaler:
            scaler.load_state_dict(state.scaler)
        if place < len(state.random):
            restore_random_state(state.random[place])

    def _check(self, path: Path, state: RunState) -> None:
        detector = self.trainee.objective.detector
        if not self.sharded:
            check_same_tensors(path, state.model, detector.state_dict(), detector.config.preset)
        check_same_run(path, state.fingerprint, self.fingerprint)

    def _gathered(self, mine: State) -> list[State]:
        if self.fabric.world_size == 1:
            return [mine]
        found: list[Any] = [None] * self.fabric.world_size
        torch.distributed.all_gather_object(found, mine)
        return found

    def _save_shards(self, state: RunState, keep_as_epoch: int | None) -> None:
        shared = replace(state, average={}, random=[])
        path = save_sharded(
            self.fabric,
            self.folder,
            state.standing.step,
            _unwrapped_module(self.trainee.module),
            _unwrapped(self.trainee.optimizer),
            _to_bytes(state_to_values(shared)),
            _to_bytes(state_to_values(state)),
        )
        if keep_as_epoch is not None and self.fabric.is_global_zero:
            keep_sharded_epoch(path, keep_as_epoch)

    def _restore_shards(self, path: Path) -> tuple[Standing, int]:
        _, own = load_sharded(
            self.fabric,
            path,
            _unwrapped_module(self.trainee.module),
            _unwrapped(self.trainee.optimizer),
            lambda shared: self._check(path, values_to_state(_from_bytes(shared))),
        )
        state = values_to_state(_from_bytes(own))
        self._restore_own(state, 0)
        return state.standing, state.micro_batch


def _unwrapped(optimizer: Any) -> torch.optim.Optimizer:
    """What is inside Fabric's."""
    inside: torch.optim.Optimizer = getattr(optimizer, "optimizer", optimizer)
    return inside


def _unwrapped_module(module: Any) -> nn.Module:
    inside: nn.Module = module._forward_module  # noqa: SLF001
    return inside


def _to_bytes(values: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    torch.save(values, file)
    return file.getvalue()


def _from_bytes(held: bytes) -> dict[str, Any]:
    values: dict[str, Any] = torch.load(io.BytesIO(held), map_location="cpu", weights_only=True)
    return values

"""last.pt: everything a run is made of, replaced in one step, so that a kill at any moment loses
minutes and never the run.
"""

import os
import pickle
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from sam3_edge.errors import TrainingError
from sam3_edge.training.experiment import cannot_write
from sam3_edge.training.random_state import State
from sam3_edge.training.standing import Standing

FORMAT = 1
LAST = "last.pt"
Fingerprint: TypeAlias = dict[str, str]
"""Configuration keys that must not change between the parts of a run, and their values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """standing: how far the run is. micro_batch: number of the next one, over all processes.

    random: one a process. The others are state_dicts, empty where there is none.
    """

    standing: Standing
    micro_batch: int
    fingerprint: Fingerprint
    model: dict[str, Any]
    average: dict[str, Any]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    random: list[State]


def state_to_values(state: RunState) -> dict[str, Any]:
    """What torch.load reads without running code."""
    held = {field.name: getattr(state, field.name) for field in fields(state)}
    return {**held, "format": FORMAT, "standing": asdict(state.standing)}


def values_to_state(values: dict[str, Any]) -> RunState:
    """Raises TypeError and KeyError for other values."""
    held = dict(values)
    if held.pop("format") != FORMAT:
        raise TypeError("another format")
    return RunState(**{**held, "standing": Standing(**held["standing"])})


def save_state(path: Path, state: RunState) -> None:
    """Raises TrainingError; an older file at `path` survives a failure."""
    draft = path.with_name(f"{path.name}.draft")
    try:
        with draft.open("wb") as file:
            torch.save(state_to_values(state), file)
            file.flush()
            # Or else a power cut may leave the new name with nothing behind it.
            os.fsync(file.fileno())
        draft.replace(path)
    except (OSError, RuntimeError) as error:
        draft.unlink(missing_ok=True)
        raise cannot_write(path, error) from error


def load_state(path: Path) -> RunState:
    """On the CPU. Raises TrainingError for a file that is not one."""
    try:
        return values_to_state(torch.load(path, map_location="cpu", weights_only=True))
    except OSError as error:
        raise TrainingError(
            f"{path}: expected the checkpoint of a run, got: {error.strerror}; check the path"
        ) from error
    except (
        RuntimeError,
        TypeError,
        AttributeError,
        KeyError,
        ValueError,
        EOFError,
        pickle.UnpicklingError,
    ) as error:
        raise TrainingError(
            f"{path}: expected the checkpoint of a run, got a file that is damaged or something "
            "else; put an older checkpoint in its place, or remove it to start anew"
        ) from error


def keep_epoch(path: Path, epoch: int) -> None:
    """The checkpoint at `path` under the epoch's name too. Raises TrainingError."""
    kept = path.with_name(f"epoch_{epoch}{path.suffix}")
    try:
        kept.unlink(missing_ok=True)
        try:
            os.link(path, kept)  # last.pt is replaced, never written to, so this stays as it is.
        except OSError:
            shutil.copyfile(path, kept)
    except OSError as error:
        raise cannot_write(kept, error) from error


def check_same_run(path: Path, state: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Raises TrainingError for the first setting that would make it another run."""
    for key, value in expected.items():
        if state.get(key) != value:
            raise TrainingError(
                f"{path}: expected a run with {key}={state.get(key)}, as the checkpoint has it, got "
                f"{key}={value}; set it back, or choose another paths.experiment"
            )


def check_same_tensors(
    path: Path, theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor], preset: str
) -> None:
    """Raises TrainingError naming the first tensor that is not the model's."""
    for name in [*ours, *theirs]:
        got = tuple(theirs[name].shape) if name in theirs else None
        wanted = tuple(ours[name].shape) if name in ours else None
        if got != wanted:
            raise TrainingError(
                f"{path}: expected the tensors of preset {preset!r}, got {_shape(got)} for {name} "
                f"where it has {_shape(wanted)}; choose the preset and image size of the "
                "checkpoint, or another paths.experiment"
            )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "none" if shape is None else f"shape {shape}"

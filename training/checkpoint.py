"""The whole state of a run in one file, replaced in one step, so that a kill loses minutes."""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sam3_edge.errors import TrainingError


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """step: gradient steps done. elapsed_s: time spent training. fingerprint: of the settings that
    must not change between parts of a run. The others are state_dicts, and torch's generator.
    """

    step: int
    elapsed_s: float
    fingerprint: str
    model: dict[str, Any]
    average: dict[str, Any]
    optimizer: dict[str, Any]
    random_state: torch.Tensor


def save_state(path: Path, state: RunState) -> None:
    """Raises TrainingError; an older file at `path` survives a failure."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        torch.save({key: getattr(state, key) for key in RunState.__slots__}, temporary)
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        raise TrainingError(
            f"cannot write {path}: {error}; free space and continue with --resume"
        ) from error


def load_state(path: Path, fingerprint: str) -> RunState:
    """Raises TrainingError for a file that is not one, or is of a run with other settings."""
    try:
        state = RunState(**torch.load(path, map_location="cpu", weights_only=True))
    except OSError as error:
        raise TrainingError(
            f"{path}: expected the checkpoint of a run, got: {error.strerror}; leave --resume out"
        ) from error
    except (RuntimeError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise TrainingError(
            f"{path}: expected the checkpoint of a run, got a file that is damaged or something "
            "else; start anew in another folder"
        ) from error
    if state.fingerprint != fingerprint:
        raise TrainingError(
            f"{path}: expected a run with {fingerprint}, got one with {state.fingerprint}; "
            "resume with the settings it was started with"
        )
    return state

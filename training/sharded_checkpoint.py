"""A checkpoint of which every process writes its part, for models that one device does not hold.

Folders `last-<step>`: the newest whole one counts, older ones go once it is there.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.fabric import Fabric
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.optim import Optimizer

from sam3_edge.errors import TrainingError
from sam3_edge.training.experiment import cannot_write

_NAME = re.compile(r"last-(\d{8})")


def newest_sharded(folder: Path) -> Path | None:
    whole = [path for path in folder.glob("last-*") if _NAME.fullmatch(path.name)]
    return max(whole, default=None)


def save_sharded(
    fabric: Fabric,
    folder: Path,
    step: int,
    module: nn.Module,
    optimizer: Optimizer,
    shared: bytes,
    own: bytes,
) -> Path:
    """module, optimizer: as they are inside Fabric's. shared: the same in all processes. own: this
    process's. To be called by all. Raises TrainingError; older ones survive a failure.
    """
    path = folder / f"last-{step:08d}"
    draft = path.with_name(f"{path.name}.draft")
    if fabric.is_global_zero:
        shutil.rmtree(draft, ignore_errors=True)
    fabric.barrier()
    weights, moments = get_state_dict(module, optimizer)
    state = {"model": weights, "optimizer": moments, "shared": shared, _own(fabric): own}
    _attempt(lambda: save(state, checkpoint_id=draft), path)
    fabric.barrier()
    if fabric.is_global_zero:
        shutil.rmtree(path, ignore_errors=True)
        draft.rename(path)
        for older in folder.glob("last-*"):
            if older != path:
                shutil.rmtree(older, ignore_errors=True)
    fabric.barrier()
    return path


def load_sharded(
    fabric: Fabric,
    path: Path,
    module: nn.Module,
    optimizer: Optimizer,
    check: Callable[[bytes], None],
) -> tuple[bytes, bytes]:
    """Into module and optimizer; returns `shared` and `own`. check: is given `shared` first, and
    raises where the rest should not be loaded.

    To be called by all. Raises TrainingError for a folder that does not fit or is damaged.
    """
    first: dict[str, Any] = {"shared": b""}
    _load(fabric, path, first)
    check(first["shared"])
    weights, moments = get_state_dict(module, optimizer)
    own = _own(fabric)
    state: dict[str, Any] = {"model": weights, "optimizer": moments, "shared": b"", own: b""}
    _load(fabric, path, state)
    set_state_dict(
        module, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"]
    )
    return state["shared"], state[own]


def _load(fabric: Fabric, path: Path, state: dict[str, Any]) -> None:
    try:
        load(state, checkpoint_id=path)
    except (CheckpointException, OSError, RuntimeError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()
        raise TrainingError(
            f"{path}: expected the checkpoint of this run in {fabric.world_size} processes, got: "
            f"{first[-1] if first else type(error).__name__}; run it as it was started, or choose "
            "another paths.experiment"
        ) from error


def _own(fabric: Fabric) -> str:
    return f"process_{fabric.global_rank}_of_{fabric.world_size}"


def _attempt(write: Callable[[], Any], path: Path) -> None:
    try:
        write()
    except (CheckpointException, OSError, RuntimeError) as error:
        raise cannot_write(path, error) from error


def keep_sharded_epoch(path: Path, epoch: int) -> None:
    """Raises TrainingError."""
    kept = path.with_name(f"epoch_{epoch}")
    try:
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(path, kept)
    except OSError as error:
        raise cannot_write(kept, error) from error

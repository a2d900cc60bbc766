"""The state of every random generator of a process, so that a continued run draws what the
uninterrupted one would have drawn.
"""

import random
from typing import Any, TypeAlias

import numpy as np
import torch

State: TypeAlias = dict[str, Any]
"""Tensors, numbers and tuples of them: what torch.load reads without running code."""


def seed_everything(seed: int, rank: int) -> None:
    """Every process draws its own numbers."""
    random.seed(seed + rank)
    np.random.seed((seed + rank) % 2**32)  # noqa: NPY002
    torch.manual_seed(seed + rank)


def random_state() -> State:
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    assert isinstance(keys, np.ndarray)
    state: State = {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: State) -> None:
    random.setstate(_tuples(state["python"]))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


def _tuples(value: Any) -> Any:
    """A distributed checkpoint gives lists back."""
    return tuple(_tuples(one) for one in value) if isinstance(value, list | tuple) else value

"""Where a number that is none comes from, found after the fact."""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sam3_edge.training.freeze import unchanged_state


class _FoundError(Exception):
    """Ends the forward pass: what follows is not finite either."""


def first_non_finite(model: nn.Module, forward: Callable[[], object]) -> str | None:
    """Runs `forward` (which calls the model, under the run's autocast) once more and says where it
    goes wrong; None where all is finite. To be called after a loss that is not finite.

    A parameter or buffer that is not finite is named first; otherwise the first module, in order
    of execution and as far inside as possible, whose output is not finite though its inputs are.
    The model is left as it was. What `forward` itself raises comes through.
    """
    if (stored := _first_stored(model)) is not None:
        return stored
    found: list[str] = []
    entered: list[str] = []

    def check(path: str, module: nn.Module, inputs: Any, named: Any, output: Any) -> None:
        bad, count = _count((output,))
        if not bad:
            return
        if _count((inputs, named))[0]:
            entered.append(path)
            return
        found.append(
            f"the output of {path or 'the model'} ({type(module).__name__}) is not finite in {bad} "
            f"of {count} values, though its inputs are finite"
        )
        raise _FoundError

    handles = [
        module.register_forward_hook(_hook(path, check), with_kwargs=True)
        for path, module in model.named_modules()
    ]
    try:
        with unchanged_state(model), torch.no_grad():
            forward()
    except _FoundError:
        return found[0]
    finally:
        for handle in handles:
            handle.remove()
    if entered:
        return f"what {entered[0] or 'the model'} is given is not finite"
    return None


def first_non_finite_gradient(model: nn.Module) -> str | None:
    """The parameter nearest to the loss whose gradient is not finite; None where all are."""
    for name, parameter in reversed(list(model.named_parameters())):
        if parameter.grad is None:
            continue
        bad, count = _count((parameter.grad,))
        if bad:
            return f"the gradient of {name} is not finite in {bad} of {count} values"
    return None


def _hook(path: str, check: Callable[..., None]) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: Any, named: Any, output: Any) -> None:
        check(path, module, inputs, named, output)

    return hook


def _first_stored(model: nn.Module) -> str | None:
    parameters = [("parameter", name, p.detach()) for name, p in model.named_parameters()]
    buffers = [("buffer", name, buffer) for name, buffer in model.named_buffers()]
    for kind, name, tensor in (*parameters, *buffers):
        bad, count = _count((tensor,))
        if bad:
            return f"{kind} {name} is not finite in {bad} of {count} values"
    return None


def _count(value: object) -> tuple[int, int]:
    """Values that are not finite in all tensors of a nested value, and values in all."""
    bad = count = 0
    for tensor in tensors_of(value):
        if tensor.is_floating_point():
            bad += int((~torch.isfinite(tensor)).sum())
            count += tensor.numel()
    return bad, count


def tensors_of(value: object) -> Iterator[Tensor]:
    """Every tensor of a nested value: dictionaries, sequences and dataclasses of them."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors_of(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors_of(part)
    elif is_dataclass(value):
        for field in fields(value):
            yield from tensors_of(getattr(value, field.name))

"""One optimizer step: micro-batches in, gradients of all processes, weights moved.

However a step's pictures are cut into micro-batches and spread over processes, it is the same step:
the losses are sums over what the whole step counts.
"""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies.fsdp import FSDPStrategy
from torch import Tensor
from torch.optim import Optimizer

from sam3_edge.errors import TrainingError
from sam3_edge.training.data.targets import Batch
from sam3_edge.training.losses.loss_counts import LossCounts, target_counts
from sam3_edge.training.non_finite import first_non_finite, first_non_finite_gradient
from sam3_edge.training.objective import MicroBatch, Objective, moved

# FP16 loses range until it is hopeless: a factor on the loss below this finds no finite gradient.
LEAST_LOSS_SCALE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainee:
    """module, optimizer: as Fabric wraps them. objective: what is inside the module."""

    fabric: Fabric
    objective: Objective
    module: Any
    optimizer: Optimizer
    max_norm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """What all processes know before a step. counts: of all its micro-batches. elapsed_s: the
    first process's clock. stop: somebody was told to stop.
    """

    counts: LossCounts
    elapsed_s: float
    stop: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome:
    """losses: weighted, by part, of the whole step over all processes. total: their sum.
    norm: of the gradient, before it is clipped. taken: False where FP16 had to lower its scale.
    """

    losses: dict[str, float]
    total: float
    norm: float
    taken: bool


def agree(fabric: Fabric, batches: Sequence[Batch], elapsed_s: float, *, stop: bool) -> Agreed:
    """Says and hears it in one exchange, so that no process ever decides alone."""
    counts = sum((target_counts(b.targets).to_tensor() for b in batches), torch.zeros(()).double())
    first = elapsed_s if fabric.is_global_zero else 0.0
    said = torch.cat((counts, torch.tensor([first, float(stop)], dtype=torch.float64)))
    heard = _summed(fabric, said)
    return Agreed(
        counts=LossCounts.from_tensor(heard[:-2]),
        elapsed_s=float(heard[-2]),
        stop=bool(heard[-1] > 0.0),
    )


def take_step(trainee: Trainee, batches: Sequence[Batch], counts: LossCounts) -> StepOutcome:
    """batches: this process's. counts: of all processes'.

    Raises TrainingError, in every process, for a loss or a gradient that is not finite; weights and
    optimizer are then as they were.
    """
    fabric, device = trainee.fabric, trainee.fabric.device
    micros = [MicroBatch(moved(batch, device), counts) for batch in batches]
    trainee.optimizer.zero_grad(set_to_none=True)
    summed: dict[str, Tensor] = {}
    for number, micro in enumerate(micros, start=1):
        last = number == len(micros)
        with nullcontext() if last else _unsynchronised(fabric, trainee.module):
            parts = _loss(trainee, micro)
            # Processes average their gradients; the step is their sum.
            fabric.backward(torch.stack(list(parts.values())).sum() * fabric.world_size)
        for name, part in parts.items():
            summed[name] = summed.get(name, 0.0) + part.detach()
    values = _summed(fabric, torch.stack(list(summed.values())).double())
    losses = dict(zip(summed, values.tolist(), strict=True))
    norm = _clipped_norm(trainee)
    _check_losses(trainee, losses, micros)
    if math.isfinite(norm):
        trainee.optimizer.step()
    else:
        _lower_scale(trainee)
    return StepOutcome(
        losses=losses, total=sum(losses.values()), norm=norm, taken=math.isfinite(norm)
    )


def _loss(trainee: Trainee, micro: MicroBatch) -> dict[str, Tensor]:
    try:
        parts: dict[str, Tensor] = trainee.module(micro)
        return parts
    except TrainingError as error:
        # The matcher refuses answers that are not finite, and knows no modules.
        where = _first_module(trainee, [micro])
        if where is None:
            raise
        raise _not_finite("loss", where) from error


def _first_module(trainee: Trainee, micros: Sequence[MicroBatch]) -> str | None:
    def forward() -> None:
        with trainee.fabric.strategy.precision.forward_context():
            for micro in micros:
                trainee.objective(micro)

    return first_non_finite(trainee.objective.detector, forward)


def loss_scaler(fabric: Fabric) -> torch.amp.GradScaler | None:
    """Of FP16; other precisions have none."""
    return getattr(fabric.strategy.precision, "scaler", None)


def _summed(fabric: Fabric, values: Tensor) -> Tensor:
    heard = fabric.all_reduce(values.to(fabric.device), reduce_op="sum")
    assert isinstance(heard, Tensor)
    return heard.cpu()


def _unsynchronised(fabric: Fabric, module: Any) -> Any:
    return fabric.no_backward_sync(module, enabled=fabric.world_size > 1)


def _clipped_norm(trainee: Trainee) -> float:
    """The gradient's norm; clipped only where it is finite, or else every value would be NaN and
    nobody could tell where it began.
    """
    fabric, most = trainee.fabric, trainee.max_norm or math.inf
    if isinstance(fabric.strategy, FSDPStrategy):
        norm = fabric.clip_gradients(
            trainee.module, trainee.optimizer, max_norm=most, error_if_nonfinite=False
        )
        return float(norm) if norm is not None else 0.0
    unwrapped = getattr(trainee.optimizer, "optimizer", trainee.optimizer)
    fabric.strategy.precision.unscale_gradients(unwrapped)
    gradients = [p.grad for p in trainee.objective.parameters() if p.grad is not None]
    total = float(torch.stack([gradient.norm() for gradient in gradients]).norm())
    if math.isfinite(total) and total > most:
        torch._foreach_mul_(gradients, most / (total + 1e-6))
    return total


def _check_losses(trainee: Trainee, losses: dict[str, float], micros: list[MicroBatch]) -> None:
    wrong = [name for name, value in losses.items() if not math.isfinite(value)]
    if not wrong:
        return
    where = _first_of_all(trainee.fabric, _first_module(trainee, micros))
    raise _not_finite("loss", where or f"that of {', '.join(wrong)}, of finite answers")


def _lower_scale(trainee: Trainee) -> None:
    """FP16 overflows now and then, and the scaler leaves the step out; anything else is an error."""
    scaler = loss_scaler(trainee.fabric)
    if scaler is None or scaler.get_scale() < LEAST_LOSS_SCALE:
        where = first_non_finite_gradient(trainee.objective.detector)
        where = _first_of_all(trainee.fabric, where)
        raise _not_finite("gradient", where or "its norm, though every part of it is finite")
    trainee.optimizer.step()


def _first_of_all(fabric: Fabric, mine: str | None) -> str | None:
    """What the first process that found something found."""
    if fabric.world_size == 1:
        return mine
    found: list[str | None] = [None] * fabric.world_size
    torch.distributed.all_gather_object(found, mine)
    return next((one for one in found if one is not None), None)


def _not_finite(what: str, where: str) -> TrainingError:
    return TrainingError(
        f"training: expected a finite {what}, got {where}; lower trainer.optim.rates and run again, "
        "which continues from the last checkpoint"
    )

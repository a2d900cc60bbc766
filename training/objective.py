"""The detector together with its loss, as the one module that Fabric wraps.

Distributed data parallelism watches what a module's forward returns: with the loss inside, that is
a handful of numbers, and everything before them is the detector as it is.
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from sam3_edge.training.config.schema import LossSection
from sam3_edge.training.data.targets import Batch, Targets
from sam3_edge.training.freeze import keep_frozen_in_eval, unchanged_state
from sam3_edge.training.losses.colour_affinity import ColourAffinity, colour_affinity
from sam3_edge.training.losses.denoising import noised_boxes
from sam3_edge.training.losses.detector_losses import detector_losses
from sam3_edge.training.losses.loss_counts import LossCounts, target_counts
from sam3_edge.training.model.detector import Detector, ExemplarBoxes

T = TypeVar("T")


class MicroBatch:
    """A batch and what the losses of its whole step are divided by.

    No dataclass, into which Fabric would look, and round boxes to the run's precision.
    """

    __slots__ = ("batch", "counts")

    def __init__(self, batch: Batch, counts: LossCounts) -> None:
        self.batch, self.counts = batch, counts


class Objective(nn.Module):
    """Micro-batch -> the weighted parts of its loss. Those of a step's micro-batches add up to
    those of the step.
    """

    def __init__(self, detector: Detector, weights: LossSection) -> None:
        super().__init__()
        self.detector, self.weights = detector, weights
        # Parameters that a batch may leave out. Among processes every gradient must be there in
        # every step, so they take part with a zero.
        self.sometimes: tuple[nn.Parameter, ...] = ()
        # The factor on the pairwise loss, which whoever counts the steps raises, 0..1.
        self.pairwise_share = 1.0

    def forward(self, micro: MicroBatch) -> dict[str, Tensor]:
        batch = micro.batch
        if self.weights.denoising.weight:
            batch = replace(batch, noised=noised_boxes(batch.targets, self.weights.denoising))
        output = self.detector(
            batch.images,
            batch.token_ids,
            batch.image_index,
            batch.exemplars,
            batch.noised,
            batch.targets.present() > 0.0,
        )
        with torch.autocast(batch.images.device.type, enabled=False):
            parts = detector_losses(
                output, batch.targets, self._weights(), micro.counts, self._affinity(batch)
            )
            if self.sometimes:
                parts["presence"] = parts["presence"] + 0.0 * _sum(self.sometimes)
        return parts

    def _weights(self) -> LossSection:
        return replace(self.weights, pairwise=self.pairwise_share * self.weights.pairwise)

    def _affinity(self, batch: Batch) -> ColourAffinity | None:
        """Once a picture, however many objects are in it."""
        if not self.weights.pairwise:
            return None
        return colour_affinity(
            batch.images,
            batch.image_index,
            4 * self.detector.config.tokens_per_side,
            threshold=self.weights.pairwise_threshold,
            share=self.weights.pairwise_share,
        )

    def train(self, mode: bool = True) -> "Objective":
        super().train(mode)
        if mode:
            keep_frozen_in_eval(self.detector)
        return self


def freeze_unreached(objective: Objective, batch: Batch) -> int:
    """Stop training the parameters that no loss depends on, such as the point projections of the
    reference; returns how many. What only prompts with exemplars reach is noted in `sometimes`.

    batch: any, with exemplars where the run has some.
    """
    reached = reached_parameters(objective, batch)
    unreached = [p for p in objective.parameters() if p.requires_grad and p not in reached]
    for parameter in unreached:
        parameter.requires_grad_(False)
    if batch.exemplars is not None:
        always = reached_parameters(objective, replace(batch, exemplars=None))
        objective.sometimes = tuple(
            p for p in objective.parameters() if p.requires_grad and p not in always
        )
    return sum(p.numel() for p in unreached)


def reached_parameters(objective: Objective, batch: Batch) -> set[nn.Parameter]:
    """Those in the graph of the loss; found by walking it, without a backward pass."""
    with unchanged_state(objective):
        objective.train()
        parts = objective(MicroBatch(batch, target_counts(batch.targets)))
        return set(_leaves(torch.stack(list(parts.values())).sum()))


def probe_batch(
    detector: Detector,
    *,
    pictures: int,
    phrases: int,
    exemplars: bool,
    device: torch.device,
    image_size: int | None = None,
) -> Batch:
    """Grey pictures, each with every phrase present once, with a mask: the shapes of a batch where
    its content does not matter. image_size: None for the model's own.
    """
    size = image_size or detector.config.image_size
    side = 4 * size // detector.config.trunk.stride
    count = pictures * phrases
    boxes = torch.full((count, 4), 0.5)
    every = torch.arange(count)
    shown = ExemplarBoxes(
        boxes=boxes[:, None],
        labels=torch.ones((count, 1), dtype=torch.int64),
        padding=torch.zeros((count, 1), dtype=torch.bool),
    )
    batch = Batch(
        images=torch.full((pictures, size, size, 3), 128, dtype=torch.uint8),
        token_ids=torch.ones((count, detector.config.text.context_length), dtype=torch.int64),
        image_index=torch.arange(pictures).repeat_interleave(phrases),
        targets=Targets(
            boxes=boxes,
            prompt=every,
            masks=torch.ones((count, side, side)),
            mask_object=every,
            ignore=torch.zeros((0, 4)),
            ignore_prompt=torch.zeros(0, dtype=torch.int64),
            num_prompts=count,
        ),
        exemplars=shown if exemplars else None,
    )
    return moved(batch, device)


def moved(value: T, device: torch.device) -> T:
    """A tensor, or a dataclass with all tensors inside it, on the device."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)  # type: ignore[return-value]
    if not is_dataclass(value) or isinstance(value, type):
        return value
    return replace(value, **{f.name: moved(getattr(value, f.name), device) for f in fields(value)})


def _sum(parameters: tuple[nn.Parameter, ...]) -> Tensor:
    return torch.stack([parameter.sum().float() for parameter in parameters]).sum()


def _leaves(loss: Tensor) -> Iterator[nn.Parameter]:
    seen, waiting = set(), [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if isinstance(variable, nn.Parameter):
            yield variable
        waiting.extend(following for following, _ in node.next_functions)

"""Whether the run will fit, said before it starts, and said again where it did not."""

from dataclasses import dataclass, replace

from lightning.fabric import Fabric
from torch import Tensor

from sam3_edge.training.config.schema import TrainerSection
from sam3_edge.training.losses.denoising import noised_boxes
from sam3_edge.training.losses.detector_losses import detector_losses
from sam3_edge.training.losses.loss_counts import target_counts
from sam3_edge.training.memory_estimate import (
    MemoryEstimate,
    advice,
    available_memory,
    estimate_memory,
)
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.outputs import DetectorOutput
from sam3_edge.training.objective import probe_batch
from sam3_edge.training.placement import chosen_precision


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """available: bytes on this process's device before the start; None where nobody knows."""

    estimate: MemoryEstimate
    available: int | None

    def lines(self) -> list[str]:
        """For printing before the start."""
        return [*self.estimate.lines(), advice(self.estimate, self.available)]

    def advice(self) -> str:
        """After memory ran out, when the estimate was evidently too low or others took it."""
        return advice(self.estimate, None)


def plan_memory(fabric: Fabric, detector: Detector, section: TrainerSection) -> MemoryPlan:
    """By one forward pass of one picture of the largest size, where the detector is, with what it
    will be trained on.

    The estimate is of one process that holds the whole model; fsdp needs less.
    """
    batch = probe_batch(
        detector,
        pictures=1,
        phrases=section.data.max_phrases,
        exemplars=section.data.exemplars.probability > 0.0,
        device=fabric.device,
        image_size=max(section.data.image_sizes, default=None),
    )
    denoising = section.loss.denoising
    if denoising.weight:
        # As many as there can be, whatever the groups: a batch may have a prompt of many objects.
        most = replace(denoising, groups=denoising.queries // 2)
        batch = replace(batch, noised=noised_boxes(batch.targets, most))
    counts = target_counts(batch.targets)

    def loss(output: DetectorOutput) -> Tensor:
        parts = detector_losses(output, batch.targets, section.loss, counts)
        return sum(parts.values(), output.logits.new_zeros(()))

    available = available_memory(fabric.device)
    estimate = estimate_memory(
        detector,
        batch,
        loss,
        precision=chosen_precision(section),
        ema=section.optim.ema.decay > 0.0,
        batch_size=section.data.batch_size,
        several_sizes=bool(section.data.image_sizes),
    )
    return MemoryPlan(estimate=estimate, available=available)

"""What the losses are divided by: counted over the truth alone, so that it can be summed over the
micro-batches of a step and over processes before any loss is known.
"""

from dataclasses import astuple, dataclass

import torch
from torch import Tensor

from sam3_edge.training.data.targets import Targets


@dataclass(frozen=True, slots=True, kw_only=True)
class LossCounts:
    """prompts; known: prompts whose presence is known; present: prompts with an object.
    objects; masked and boxed: objects with a mask and without. covered: prompts all of whose
    objects have a mask.
    """

    prompts: float
    known: float
    present: float
    objects: float
    masked: float
    boxed: float
    covered: float

    def __add__(self, other: "LossCounts") -> "LossCounts":
        return LossCounts.from_tensor(self.to_tensor() + other.to_tensor())

    def to_tensor(self) -> Tensor:
        """(7,) float64, exact for any count that fits in memory."""
        return torch.tensor(astuple(self), dtype=torch.float64)

    @staticmethod
    def from_tensor(values: Tensor) -> "LossCounts":
        return LossCounts(**dict(zip(LossCounts.__slots__, values.tolist(), strict=True)))


def target_counts(targets: Targets) -> LossCounts:
    objects, masked = len(targets.boxes), len(targets.mask_object)
    return LossCounts(
        prompts=float(targets.num_prompts),
        known=float(targets.presence_known().sum()),
        present=float(targets.present().sum()),
        objects=float(objects),
        masked=float(masked),
        boxed=float(objects - masked),
        covered=float(covered_prompts(targets).sum()),
    )


def covered_prompts(targets: Targets) -> Tensor:
    """(N,) bool: prompts all of whose objects, if any, have a mask."""
    count = torch.bincount(targets.prompt, minlength=targets.num_prompts)
    owner = targets.prompt[targets.mask_object]
    return torch.bincount(owner, minlength=targets.num_prompts) == count

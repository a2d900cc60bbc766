"""Which query answers for which object: the cheapest one-to-one assignment, as DETR does it."""

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from sam3_edge.errors import TrainingError
from sam3_edge.training.config.schema import MatcherSection
from sam3_edge.training.data.targets import Targets
from sam3_edge.training.losses.box_ops import iou_and_giou
from sam3_edge.training.model.layers import cxcywh_to_xyxy

FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """K pairs over all layers: layer, prompt and query of the answer, and the object it is for."""

    layer: Tensor
    prompt: Tensor
    query: Tensor
    target: Tensor


@torch.no_grad()
def match(logits: Tensor, boxes: Tensor, targets: Targets, costs: MatcherSection) -> Matches:
    """logits (L, N, Q) and boxes (L, N, Q, 4) cxcywh of every decoder layer.

    Objects beyond Q of one prompt stay unmatched. Raises TrainingError for a non-finite tensor:
    an assignment over NaN is no assignment.
    """
    _check_finite("logits", logits)
    _check_finite("boxes", boxes)
    layers = range(logits.shape[0])
    found: list[tuple[int, int, int, int]] = []
    for prompt in sorted(set(targets.prompt.tolist())):
        objects = torch.nonzero(targets.prompt == prompt)[:, 0]
        cost = pair_cost(logits[:, prompt], boxes[:, prompt], targets.boxes[objects], costs)
        for layer in layers:
            rows, columns = linear_sum_assignment(cost[layer].numpy(force=True))
            found.extend(
                (layer, prompt, int(q), int(objects[t])) for q, t in zip(rows, columns, strict=True)
            )
    table = torch.tensor(found, dtype=torch.int64, device=logits.device).reshape(-1, 4)
    return Matches(layer=table[:, 0], prompt=table[:, 1], query=table[:, 2], target=table[:, 3])


def pair_cost(logits: Tensor, boxes: Tensor, wanted: Tensor, costs: MatcherSection) -> Tensor:
    """logits (L, Q), boxes (L, Q, 4), wanted (M, 4) -> (L, Q, M): focal class + L1 + GIoU."""
    p = logits.sigmoid()[..., None]
    positive = FOCAL_ALPHA * (1.0 - p) ** FOCAL_GAMMA * -(p + 1e-8).log()
    negative = (1.0 - FOCAL_ALPHA) * p**FOCAL_GAMMA * -(1.0 - p + 1e-8).log()
    distance = (boxes[:, :, None] - wanted).abs().sum(dim=-1)
    _, giou = iou_and_giou(cxcywh_to_xyxy(boxes)[:, :, None], cxcywh_to_xyxy(wanted))
    return (
        costs.cost_class * (positive - negative)
        + costs.cost_bbox * distance
        - costs.cost_giou * giou
    )


def _check_finite(name: str, tensor: Tensor) -> None:
    bad = int((~torch.isfinite(tensor)).sum())
    if bad:
        raise TrainingError(
            f"matching: expected finite {name}, got {bad} of {tensor.numel()} values that are not; "
            "lower the learning rate, or continue from the last checkpoint"
        )

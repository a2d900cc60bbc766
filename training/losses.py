"""The training losses, each a function of logits and truth, and their weighted sum.

Sources: focal loss (arXiv:1708.02002), IoU-aware BCE (Align-DETR, arXiv:2304.07527), GIoU
(arXiv:1902.09630), dice (arXiv:1606.04797), penalty-reduced focal loss (CenterNet, arXiv:1904.07850).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sam3_edge.training.box_ops import area, intersection, iou_and_giou
from sam3_edge.training.matcher import Matches, match
from sam3_edge.training.model.layers import cxcywh_to_xyxy
from sam3_edge.training.model.outputs import DetectorOutput, ProposalOutput
from sam3_edge.training.targets import Targets


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """What each part counts. Box, class and presence losses are summed over decoder layers."""

    classification: float = 2.0
    presence: float = 1.0
    l1: float = 5.0
    giou: float = 2.0
    mask_focal: float = 50.0
    mask_dice: float = 5.0
    semantic: float = 2.0
    proposal_center: float = 1.0


def detector_losses(
    output: DetectorOutput, targets: Targets, weights: LossWeights
) -> dict[str, Tensor]:
    """Every weighted part by name; their sum is what is minimised. Computed in float32.

    Normalised by the number of objects in the batch. Raises TrainingError from the matcher.
    """
    logits, boxes, presence = (t.float() for t in (output.logits, output.boxes, output.presence))
    count = max(len(targets.boxes), 1)
    matches = match(logits, boxes, targets)
    chosen = boxes[matches.layer, matches.prompt, matches.query]
    l1, giou, iou = box_losses(chosen, targets.boxes[matches.target])
    parts = {
        "classification": weights.classification
        * classification_loss(logits, matches, iou, _ignored(boxes, targets))
        / count,
        "presence": weights.presence * presence_loss(presence, targets),
        "l1": weights.l1 * l1 / count,
        "giou": weights.giou * giou / count,
    }
    focal, dice = mask_losses(output.masks, matches, targets, layer=logits.shape[0] - 1)
    masked = max(len(targets.mask_object), 1)
    parts["mask_focal"] = weights.mask_focal * focal / masked
    parts["mask_dice"] = weights.mask_dice * dice / masked
    if output.semantic is not None:
        parts["semantic"] = weights.semantic * semantic_loss(output.semantic, targets)
    if output.proposals is not None:
        center, l1, giou = proposal_losses(output.proposals, targets)
        parts["proposal_center"] = weights.proposal_center * center / count
        parts["proposal_l1"] = weights.l1 * l1 / count
        parts["proposal_giou"] = weights.giou * giou / count
    return parts


def box_losses(boxes: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(K, 4), (K, 4) cxcywh -> sum of L1, sum of 1 - GIoU, IoU (K,)."""
    iou, giou = iou_and_giou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(wanted))
    return (boxes - wanted).abs().sum(), (1.0 - giou).sum(), iou


def presence_loss(presence: Tensor, targets: Targets) -> Tensor:
    """presence (L, N, 1) -> mean BCE over the prompts whose answer is known, summed over layers."""
    known = targets.presence_known()
    present = targets.present().expand_as(presence[..., 0])
    bce = F.binary_cross_entropy_with_logits(presence[..., 0], present, reduction="none")
    return (bce * known).sum() / known.sum().clamp(min=1.0)


def classification_loss(
    logits: Tensor, matches: Matches, iou: Tensor, ignored: Tensor, alpha: float = 0.25
) -> Tensor:
    """IoU-aware BCE, summed. logits (L, N, Q), iou (K,), ignored (L, N, Q) bool.

    A matched query should score score^alpha iou^(1 - alpha), so that the score says how good the
    box is; every other one 0, weighted by its squared score.
    """
    score = logits.detach().sigmoid()
    where = (matches.layer, matches.prompt, matches.query)
    target = torch.zeros_like(logits)
    target[where] = score[where] ** alpha * iou.detach().clamp(min=0.01) ** (1.0 - alpha)
    weight = torch.where(ignored, 0.0, score**2)
    weight[where] = 1.0
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (bce * weight).sum()


def mask_losses(
    masks: Tensor, matches: Matches, targets: Targets, layer: int
) -> tuple[Tensor, Tensor]:
    """masks (N, Q, h, w) logits of decoder layer `layer` -> sums of focal and of dice loss over
    the matched objects that have a mask.
    """
    row = torch.full((len(targets.boxes),), -1, dtype=torch.int64)
    row[targets.mask_object] = torch.arange(len(targets.mask_object))
    kept = (matches.layer == layer) & (row[matches.target] >= 0)
    logits = masks[matches.prompt[kept], matches.query[kept]].float()
    wanted = targets.masks[row[matches.target[kept]]]
    return sigmoid_focal_loss(logits, wanted), dice_loss(logits, wanted)


def sigmoid_focal_loss(logits: Tensor, wanted: Tensor, gamma: float = 2.0) -> Tensor:
    """(K, h, w), (K, h, w) in 0..1 -> sum over K of the mean over pixels."""
    bce = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    p = logits.sigmoid()
    agreement = p * wanted + (1.0 - p) * (1.0 - wanted)
    return ((1.0 - agreement) ** gamma * bce).mean(dim=(1, 2)).sum()


def dice_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """(K, h, w), (K, h, w) in 0..1 -> sum over K of 1 - dice."""
    p = logits.sigmoid().flatten(1)
    wanted = wanted.flatten(1)
    dice = (2.0 * (p * wanted).sum(dim=1) + 1.0) / (p.sum(dim=1) + wanted.sum(dim=1) + 1.0)
    return (1.0 - dice).sum()


def semantic_loss(logits: Tensor, targets: Targets) -> Tensor:
    """logits (N, 1, h, w): the union of each prompt's masks, where all its objects have one."""
    count = torch.bincount(targets.prompt, minlength=targets.num_prompts)
    owner = targets.prompt[targets.mask_object]
    known = torch.bincount(owner, minlength=targets.num_prompts) == count
    union = torch.zeros(logits.shape[0], *logits.shape[2:])
    index = owner[:, None, None].expand_as(targets.masks)
    union = union.scatter_reduce(0, index, targets.masks, "amax")
    chosen, wanted = logits[known, 0].float(), union[known]
    total = sigmoid_focal_loss(chosen, wanted) + dice_loss(chosen, wanted)
    return total / max(len(chosen), 1)


def proposal_losses(proposals: ProposalOutput, targets: Targets) -> tuple[Tensor, Tensor, Tensor]:
    """Sums: penalty-reduced focal loss of the centres, L1 and 1 - GIoU of the boxes there."""
    logits, boxes = proposals.logits.float(), proposals.boxes.float()
    side = logits.shape[-1]
    heat, column, row = center_heat(targets, side)
    p = logits.sigmoid()
    positive = (heat == 1.0) * (1.0 - p) ** 2 * F.logsigmoid(logits)
    negative = (heat < 1.0) * (1.0 - heat) ** 4 * p**2 * F.logsigmoid(-logits)
    center = -(positive + negative * ~_ignored_cells(targets, side)).sum()
    l1, giou, _ = box_losses(boxes[targets.prompt, row, column], targets.boxes)
    return center, l1, giou


def center_heat(targets: Targets, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """(N, side, side) float32, 1 at the cell of every object's centre and a Gaussian as wide as a
    sixth of the object around it; column and row (T,) of the centres.
    """
    column, row = ((targets.boxes[:, i] * side).long().clamp(0, side - 1) for i in (0, 1))
    sigma = (targets.boxes[:, 2:] * side / 6.0).clamp(min=0.4)
    cells = torch.arange(side)
    across = ((cells - column[:, None]) / sigma[:, :1]) ** 2
    down = ((cells - row[:, None]) / sigma[:, 1:]) ** 2
    bumps = torch.exp(-0.5 * (down[:, :, None] + across[:, None, :]))
    heat = torch.zeros(targets.num_prompts, side, side)
    index = targets.prompt[:, None, None].expand_as(bumps)
    return heat.scatter_reduce(0, index, bumps, "amax"), column, row


def _ignored_cells(targets: Targets, side: int) -> Tensor:
    """(N, side, side) bool: cells whose centre lies in an ignored box."""
    corners = cxcywh_to_xyxy(targets.ignore)
    low, high = corners[:, :2], corners[:, 2:]
    centre = (torch.arange(side) + 0.5) / side
    across = (centre >= low[:, :1]) & (centre <= high[:, :1])
    down = (centre >= low[:, 1:]) & (centre <= high[:, 1:])
    inside = (down[:, :, None] & across[:, None, :]).float()
    index = targets.ignore_prompt[:, None, None].expand_as(inside)
    cells = torch.zeros(targets.num_prompts, side, side)
    return cells.scatter_reduce(0, index, inside, "amax") > 0.0


def _ignored(boxes: Tensor, targets: Targets) -> Tensor:
    """(L, N, Q, 4) -> (L, N, Q) bool: more than half of the box lies in an ignored one."""
    ignored = torch.zeros(boxes.shape[:3], dtype=torch.bool)
    if len(targets.ignore) == 0:
        return ignored
    corners = cxcywh_to_xyxy(boxes.detach())
    for prompt, region in zip(
        targets.ignore_prompt.tolist(), cxcywh_to_xyxy(targets.ignore), strict=True
    ):
        one = corners[:, prompt]
        ignored[:, prompt] |= intersection(one, region) > 0.5 * area(one)
    return ignored

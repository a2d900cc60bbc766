"""Losses of masks: where an object's pixels are known, and where only its box is.

Sources: focal loss (arXiv:1708.02002), dice (arXiv:1606.04797), projection of boxes (BoxInst,
arXiv:2012.02310).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from sam3_edge.training.data.targets import Targets
from sam3_edge.training.losses.loss_counts import covered_prompts
from sam3_edge.training.losses.matcher import Matches
from sam3_edge.training.model.layers import cxcywh_to_xyxy
from sam3_edge.training.model.outputs import QueryMasks

FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0


def mask_losses(
    masks: QueryMasks, matches: Matches, targets: Targets, layer: int
) -> tuple[Tensor, Tensor]:
    """masks of decoder layer `layer` -> sums of focal and of dice loss over the matched objects
    that have a mask.
    """
    device = targets.boxes.device
    row = torch.full((len(targets.boxes),), -1, dtype=torch.int64, device=device)
    row[targets.mask_object] = torch.arange(len(targets.mask_object), device=device)
    kept = (matches.layer == layer) & (row[matches.target] >= 0)
    logits = masks.chosen(matches.prompt[kept], matches.query[kept]).float()
    wanted = targets.masks[row[matches.target[kept]]]
    return sigmoid_focal_loss(logits, wanted), dice_loss(logits, wanted)


def projection_loss(masks: QueryMasks, matches: Matches, targets: Targets, layer: int) -> Tensor:
    """masks of decoder layer `layer` -> sum over the matched objects without a mask of 1 - dice
    between the mask's and the box's shadows on both axes.
    """
    kept = boxed_matches(matches, targets, layer)
    logits = masks.chosen(matches.prompt[kept], matches.query[kept]).float()
    corners = cxcywh_to_xyxy(targets.boxes[matches.target[kept]])
    across = box_shadow(corners[:, 0::2], logits.shape[-1])
    down = box_shadow(corners[:, 1::2], logits.shape[-2])
    return dice_loss(logits.amax(dim=1), across) + dice_loss(logits.amax(dim=2), down)


def boxed_matches(matches: Matches, targets: Targets, layer: int) -> Tensor:
    """(K,) bool: the matches of decoder layer `layer` for an object without a mask."""
    boxed = torch.ones(len(targets.boxes), dtype=torch.bool, device=matches.layer.device)
    boxed[targets.mask_object] = False
    return (matches.layer == layer) & boxed[matches.target]


def box_shadow(edges: Tensor, cells: int) -> Tensor:
    """(K, 2) low and high edge in 0..1 -> (K, cells): the share of each cell between them."""
    place = torch.arange(cells, device=edges.device)
    low, high = (edges[:, i : i + 1] * cells - place for i in (0, 1))
    return (high.clamp(0.0, 1.0) - low.clamp(0.0, 1.0)).clamp(min=0.0)


def semantic_loss(logits: Tensor, targets: Targets) -> Tensor:
    """logits (N, 1, h, w) -> sum over the covered prompts of focal and dice loss against the union
    of each one's masks.
    """
    known = covered_prompts(targets)
    union = torch.zeros(logits.shape[0], *logits.shape[2:], device=logits.device)
    owner = targets.prompt[targets.mask_object]
    index = owner[:, None, None].expand_as(targets.masks)
    union = union.scatter_reduce(0, index, targets.masks, "amax")
    chosen, wanted = logits[known, 0].float(), union[known]
    return sigmoid_focal_loss(chosen, wanted) + dice_loss(chosen, wanted)


def sigmoid_focal_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """(K, h, w), (K, h, w) in 0..1 -> sum over K of the mean over pixels."""
    bce = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    p = logits.sigmoid()
    agreement = p * wanted + (1.0 - p) * (1.0 - wanted)
    side = FOCAL_ALPHA * wanted + (1.0 - FOCAL_ALPHA) * (1.0 - wanted)
    return (side * (1.0 - agreement) ** FOCAL_GAMMA * bce).mean(dim=(1, 2)).sum()


def dice_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """(K, ...), (K, ...) in 0..1 -> sum over K of 1 - dice."""
    p = logits.sigmoid().flatten(1)
    wanted = wanted.flatten(1)
    dice = (2.0 * (p * wanted).sum(dim=1) + 1.0) / (p.sum(dim=1) + wanted.sum(dim=1) + 1.0)
    return (1.0 - dice).sum()

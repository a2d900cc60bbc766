"""Losses of the dense head: which cells are centres of objects, and how big those are.

Source: penalty-reduced focal loss of CenterNet (arXiv:1904.07850).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from sam3_edge.training.data.targets import Targets
from sam3_edge.training.losses.box_ops import iou_and_giou
from sam3_edge.training.model.layers import cxcywh_to_xyxy
from sam3_edge.training.model.outputs import ProposalOutput


def proposal_losses(proposals: ProposalOutput, targets: Targets) -> tuple[Tensor, Tensor, Tensor]:
    """Sums: penalty-reduced focal loss of the centres, L1 and 1 - GIoU of the boxes there."""
    logits, boxes = proposals.logits.float(), proposals.boxes.float()
    side = logits.shape[-1]
    heat, column, row = center_heat(targets, side)
    p = logits.sigmoid()
    positive = (heat == 1.0) * (1.0 - p) ** 2 * F.logsigmoid(logits)
    negative = (heat < 1.0) * (1.0 - heat) ** 4 * p**2 * F.logsigmoid(-logits)
    center = -(positive + negative * ~ignored_cells(targets, side)).sum()
    l1, giou, _ = box_losses(boxes[targets.prompt, row, column], targets.boxes)
    return center, l1, giou


def box_losses(boxes: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(K, 4), (K, 4) cxcywh -> sum of L1, sum of 1 - GIoU, IoU (K,)."""
    iou, giou = iou_and_giou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(wanted))
    return (boxes - wanted).abs().sum(), (1.0 - giou).sum(), iou


def center_heat(targets: Targets, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """(N, side, side) float32, 1 at the cell of every object's centre and a Gaussian as wide as a
    sixth of the object around it; column and row (T,) of the centres.
    """
    device = targets.boxes.device
    column, row = ((targets.boxes[:, i] * side).long().clamp(0, side - 1) for i in (0, 1))
    sigma = (targets.boxes[:, 2:] * side / 6.0).clamp(min=0.4)
    cells = torch.arange(side, device=device)
    across = ((cells - column[:, None]) / sigma[:, :1]) ** 2
    down = ((cells - row[:, None]) / sigma[:, 1:]) ** 2
    bumps = torch.exp(-0.5 * (down[:, :, None] + across[:, None, :]))
    heat = torch.zeros(targets.num_prompts, side, side, device=device)
    index = targets.prompt[:, None, None].expand_as(bumps)
    return heat.scatter_reduce(0, index, bumps, "amax"), column, row


def ignored_cells(targets: Targets, side: int) -> Tensor:
    """(N, side, side) bool: cells whose centre lies in an ignored box."""
    device = targets.boxes.device
    corners = cxcywh_to_xyxy(targets.ignore)
    low, high = corners[:, :2], corners[:, 2:]
    centre = (torch.arange(side, device=device) + 0.5) / side
    across = (centre >= low[:, :1]) & (centre <= high[:, :1])
    down = (centre >= low[:, 1:]) & (centre <= high[:, 1:])
    inside = (down[:, :, None] & across[:, None, :]).float()
    index = targets.ignore_prompt[:, None, None].expand_as(inside)
    cells = torch.zeros(targets.num_prompts, side, side, device=device)
    return cells.scatter_reduce(0, index, inside, "amax") > 0.0

"""Overlap of boxes. Everywhere xyxy corners, any one unit."""

import torch
from torch import Tensor


def area(boxes: Tensor) -> Tensor:
    """(..., 4) -> (...)"""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def intersection(a: Tensor, b: Tensor) -> Tensor:
    """(..., 4), (..., 4) -> (...), broadcast."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    return (high - low).clamp(min=0.0).prod(dim=-1)


def iou_and_giou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """(..., 4), (..., 4) -> IoU and generalised IoU (arXiv:1902.09630), both (...), broadcast."""
    shared = intersection(a, b)
    union = area(a) + area(b) - shared
    iou = shared / union.clamp(min=1e-7)
    low, high = torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])
    hull = (high - low).clamp(min=0.0).prod(dim=-1)
    return iou, iou - (hull - union) / hull.clamp(min=1e-7)

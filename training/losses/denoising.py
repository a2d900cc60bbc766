"""Denoising queries: in training, true boxes with noise on them are queries too.

Which object such a query is for needs no matching, so it is the same from step to step. Sources:
DN-DETR (arXiv:2203.01305); DINO (arXiv:2203.03605, section 3.3) for the negatives, which have more
noise and should answer that they are nothing.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from sam3_edge.training.config.schema import DenoisingSection
from sam3_edge.training.data.targets import Targets
from sam3_edge.training.losses.box_ops import iou_and_giou
from sam3_edge.training.model.layers import cxcywh_to_xyxy
from sam3_edge.training.model.outputs import NoisedBoxes, NoisedOutput

# A negative that overlaps an object more than this, its own or a neighbour, is not asked.
NEAR = 0.5
# Of a noised box, shares of the picture.
LEAST_SIDE = 1e-3


@torch.no_grad()
def noised_boxes(targets: Targets, section: DenoisingSection) -> NoisedBoxes | None:
    """None where no prompt has an object. Draws from torch's generator of the boxes' device.

    A prompt has at most section.queries, half of them negative: each of its objects as often, up
    to section.groups times; of too many objects, some at random.
    """
    if len(targets.boxes) == 0:
        return None
    objects, count = _shuffled_objects(targets)
    most = section.queries // 2
    kept = count.clamp(max=most)
    number = kept * (most // kept.clamp(min=1)).clamp(max=section.groups)
    slot = torch.arange(int(number.max()), device=count.device)
    chosen = objects.gather(1, slot % count.clamp(min=1)[:, None])
    wanted = targets.boxes[chosen].tile(1, 2, 1)
    positive = (torch.arange(2 * len(slot), device=count.device) < len(slot)).expand(len(count), -1)
    boxes = with_noise(wanted, positive, section.box_noise)
    # The objects of a prompt weigh as much as they are many, however often each was chosen.
    each = (count / number.clamp(min=1))[:, None]
    share = torch.where(slot < number[:, None], each, 0.0).tile(1, 2)
    near = _overlap(boxes, targets.boxes[objects], count) > NEAR
    return NoisedBoxes(
        boxes=boxes,
        wanted=wanted,
        positive=positive,
        share=torch.where(near & ~positive, 0.0, share),
    )


def with_noise(boxes: Tensor, positive: Tensor, scale: float) -> Tensor:
    """(N, D, 4) cxcywh in 0..1, (N, D) bool -> (N, D, 4) cxcywh within the picture.

    Each edge moves in or out, at most scale times half the side where positive, else between once
    and twice that.
    """
    half = boxes[..., 2:].tile(1, 1, 2) / 2.0
    amount = torch.rand_like(boxes) + (~positive)[..., None].to(boxes.dtype)
    sign = torch.where(torch.rand_like(boxes) < 0.5, -1.0, 1.0)
    moved = (cxcywh_to_xyxy(boxes) + scale * sign * amount * half).clamp(0.0, 1.0)
    # Edges may have passed each other.
    low = torch.minimum(moved[..., :2], moved[..., 2:])
    high = torch.maximum(moved[..., :2], moved[..., 2:])
    return torch.cat(((low + high) / 2.0, (high - low).clamp(min=LEAST_SIDE)), dim=-1)


def denoising_losses(
    output: NoisedOutput, ignored: Tensor, pos_weight: float, alpha: float = 0.25
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over layers of the class loss, of L1 and of 1 - GIoU, each query by its share.

    As for other queries: IoU-aware BCE, the class of negatives is 0. ignored: (L, N, D) bool.
    """
    logits, boxes, asked = output.logits.float(), output.boxes.float(), output.asked
    iou, giou = iou_and_giou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(asked.wanted))
    score = logits.detach().sigmoid()
    quality = (score**alpha * iou.detach() ** (1.0 - alpha)).clamp(min=0.01)
    target = torch.where(asked.positive, quality, 0.0)
    weight = torch.where(ignored, 0.0, score**2)
    weight = torch.where(asked.positive, pos_weight, weight) * asked.share
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    owed = asked.positive * asked.share
    l1 = (boxes - asked.wanted).abs().sum(dim=-1)
    return (bce * weight).sum(), (l1 * owed).sum(), ((1.0 - giou) * owed).sum()


def _shuffled_objects(targets: Targets) -> tuple[Tensor, Tensor]:
    """(N, M) int64, each prompt's objects in random order and anything behind them; (N,) int64,
    how many there are.
    """
    device = targets.prompt.device
    count = torch.bincount(targets.prompt, minlength=targets.num_prompts)
    noise = torch.rand(len(targets.prompt), device=device, dtype=torch.float64)
    order = (targets.prompt + noise).argsort()
    first = (count.cumsum(0) - count)[:, None]
    place = first + torch.arange(int(count.max()), device=device)
    return order[place.clamp(max=len(order) - 1)], count


def _overlap(boxes: Tensor, objects: Tensor, count: Tensor) -> Tensor:
    """boxes (N, D, 4), objects (N, M, 4), of which the first `count` (N,) are the prompt's -> the
    largest IoU of each box with one of them, (N, D).
    """
    corners = cxcywh_to_xyxy(objects)[:, None]
    iou, _ = iou_and_giou(cxcywh_to_xyxy(boxes)[:, :, None], corners)
    there = torch.arange(objects.shape[1], device=count.device) < count[:, None]
    return torch.where(there[:, None], iou, 0.0).amax(dim=-1)

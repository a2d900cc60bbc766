"""The training losses: the parts of each query, and everything as one weighted sum.

Sources: facebookresearch/sam3 for the parts and their weights; IoU-aware BCE (Align-DETR,
arXiv:2304.07527), GIoU (arXiv:1902.09630), one-to-many matching (DAC-DETR, NeurIPS 2023).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from sam3_edge.training.config.schema import LossSection
from sam3_edge.training.data.targets import Targets
from sam3_edge.training.losses.box_ops import area, intersection
from sam3_edge.training.losses.colour_affinity import ColourAffinity
from sam3_edge.training.losses.contrastive import contrastive_loss
from sam3_edge.training.losses.denoising import denoising_losses
from sam3_edge.training.losses.loss_counts import LossCounts
from sam3_edge.training.losses.mask_losses import mask_losses, projection_loss, semantic_loss
from sam3_edge.training.losses.matcher import Matches, match
from sam3_edge.training.losses.one_to_many import match_many
from sam3_edge.training.losses.pairwise_loss import pairwise_loss
from sam3_edge.training.losses.proposal_losses import box_losses, proposal_losses
from sam3_edge.training.model.layers import cxcywh_to_xyxy
from sam3_edge.training.model.outputs import DetectorOutput


def detector_losses(
    output: DetectorOutput,
    targets: Targets,
    weights: LossSection,
    counts: LossCounts,
    affinity: ColourAffinity | None = None,
) -> dict[str, Tensor]:
    """Every weighted part by name; their sum is what is minimised. Computed in float32.

    counts: over all micro-batches of the step, so that their losses add up to that of one batch.
    affinity: of the pictures' colours; None leaves the pairwise loss out. Box, class and presence
    losses are summed over decoder layers. Raises TrainingError from the matcher.
    """
    logits, boxes = output.logits.float(), output.boxes.float()
    matches = match(logits, boxes, targets, weights.matcher)
    parts = query_losses(logits, boxes, matches, targets, weights, counts)
    sides = presence_weights(counts, weights.presence_balance)
    presence = presence_loss(output.presence.float(), targets, *sides) / max(counts.known, 1.0)
    parts["presence"] = weights.presence * presence
    parts |= _pixel_losses(output, matches, targets, weights, counts)
    if affinity is not None:
        last = output.logits.shape[0] - 1
        unlike = pairwise_loss(output.query_masks, matches, targets, affinity, layer=last)
        parts["pairwise"] = weights.pairwise * unlike / max(counts.boxed, 1.0)
    if output.twins is not None:
        logits, boxes = output.twins.logits.float(), output.twins.boxes.float()
        many = match_many(logits, boxes, targets, weights.one_to_many)
        twins = query_losses(logits, boxes, many, targets, weights, counts)
        for name, part in twins.items():
            parts[f"{name}_many"] = weights.one_to_many.weight * part
    if weights.denoising.weight:
        parts |= _denoising(output, targets, weights, counts)
    if output.proposals is not None and weights.proposals:
        center, l1, giou = proposal_losses(output.proposals, targets)
        share = weights.proposals / max(counts.objects, 1.0)
        parts["proposal_center"] = share * center
        parts["proposal_bbox"] = share * weights.bbox * l1
        parts["proposal_giou"] = share * weights.giou * giou
    if weights.contrastive:
        likeness = contrastive_loss(output, targets) / max(counts.known, 1.0)
        parts["contrastive"] = weights.contrastive * likeness
    return parts


def query_losses(
    logits: Tensor,
    boxes: Tensor,
    matches: Matches,
    targets: Targets,
    weights: LossSection,
    counts: LossCounts,
) -> dict[str, Tensor]:
    """Class and box losses of logits (L, N, Q) and boxes (L, N, Q, 4)."""
    chosen = boxes[matches.layer, matches.prompt, matches.query]
    l1, giou, iou = box_losses(chosen, targets.boxes[matches.target])
    ignored = ignored_queries(boxes, targets)
    if weights.decoupled:
        # Whether there is anything at all is what presence answers.
        ignored = ignored | (targets.present() == 0.0)[None, :, None]
    classes = classification_loss(logits, matches, iou, ignored, weights.pos_weight)
    objects = max(counts.objects, 1.0)
    queries = max(counts.prompts, 1.0) * logits.shape[2]
    return {
        "ce": weights.ce * classes / (queries if weights.ce_over == "queries" else objects),
        "bbox": weights.bbox * l1 / objects,
        "giou": weights.giou * giou / objects,
    }


def _denoising(
    output: DetectorOutput, targets: Targets, weights: LossSection, counts: LossCounts
) -> dict[str, Tensor]:
    """The same parts whether there was something to denoise or not, for all to add up."""
    if output.noised is None:
        zero = output.logits.new_zeros((), dtype=torch.float32)
        return dict.fromkeys(("ce_noised", "bbox_noised", "giou_noised"), zero)
    ignored = ignored_queries(output.noised.boxes, targets)
    classes, l1, giou = denoising_losses(output.noised, ignored, weights.pos_weight)
    objects = max(counts.objects, 1.0)
    queries = max(counts.prompts, 1.0) * output.logits.shape[2]
    ce = weights.ce / (queries if weights.ce_over == "queries" else objects)
    weight = weights.denoising.weight
    return {
        "ce_noised": weight * ce * classes,
        "bbox_noised": weight * weights.bbox * l1 / objects,
        "giou_noised": weight * weights.giou * giou / objects,
    }


def presence_weights(counts: LossCounts, balance: float) -> tuple[float, float]:
    """Of a prompt with objects and of one without, so that together they weigh what all known
    prompts do: 1 and 1 for a balance of 0; for 1, as much for one side as for the other.

    Of a step that has one side alone, that side weighs half of it, as in any other step.
    """
    even = [
        counts.known / (2.0 * max(n, 1.0)) for n in (counts.present, counts.known - counts.present)
    ]
    present, absent = ((1.0 - balance) + balance * one for one in even)
    return present, absent


def presence_loss(
    presence: Tensor, targets: Targets, present_weight: float = 1.0, absent_weight: float = 1.0
) -> Tensor:
    """presence (L, N, 1) -> half the BCE, summed over layers and the prompts whose answer is
    known, by the weight of their side. Half, as a focal loss with alpha 0.5 has it.
    """
    present = targets.present().expand_as(presence[..., 0])
    bce = F.binary_cross_entropy_with_logits(presence[..., 0], present, reduction="none")
    weight = torch.where(present > 0.0, present_weight, absent_weight)
    return 0.5 * (bce * weight * targets.presence_known()).sum()


def classification_loss(
    logits: Tensor,
    matches: Matches,
    iou: Tensor,
    ignored: Tensor,
    pos_weight: float,
    alpha: float = 0.25,
) -> Tensor:
    """IoU-aware BCE, summed. logits (L, N, Q), iou (K,), ignored (L, N, Q) bool.

    A matched query should score score^alpha iou^(1 - alpha), so that the score says how good the
    box is, weighted by pos_weight; every other one 0, weighted by its squared score.
    """
    score = logits.detach().sigmoid()
    where = (matches.layer, matches.prompt, matches.query)
    quality = score[where] ** alpha * iou.detach() ** (1.0 - alpha)
    target = torch.zeros_like(logits)
    target[where] = quality.clamp(min=0.01)
    weight = torch.where(ignored, 0.0, score**2)
    weight[where] = pos_weight
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (bce * weight).sum()


def ignored_queries(boxes: Tensor, targets: Targets) -> Tensor:
    """(L, N, Q, 4) -> (L, N, Q) bool: more than half of the box lies in an ignored one."""
    ignored = torch.zeros(boxes.shape[:3], dtype=torch.bool, device=boxes.device)
    if len(targets.ignore) == 0:
        return ignored
    corners = cxcywh_to_xyxy(boxes.detach())
    for prompt, region in zip(
        targets.ignore_prompt.tolist(), cxcywh_to_xyxy(targets.ignore), strict=True
    ):
        one = corners[:, prompt]
        ignored[:, prompt] |= intersection(one, region) > 0.5 * area(one)
    return ignored


def _pixel_losses(
    output: DetectorOutput,
    matches: Matches,
    targets: Targets,
    weights: LossSection,
    counts: LossCounts,
) -> dict[str, Tensor]:
    last = output.logits.shape[0] - 1
    focal, dice = mask_losses(output.query_masks, matches, targets, layer=last)
    shadow = projection_loss(output.query_masks, matches, targets, layer=last)
    parts = {
        "mask_focal": weights.mask_focal * focal / max(counts.masked, 1.0),
        "mask_dice": weights.mask_dice * dice / max(counts.masked, 1.0),
        "projection": weights.projection * shadow / max(counts.boxed, 1.0),
    }
    if output.semantic is not None:
        semantic = semantic_loss(output.semantic, targets) / max(counts.covered, 1.0)
        parts["semantic"] = weights.semantic * semantic
    return parts

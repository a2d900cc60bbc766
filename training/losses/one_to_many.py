"""Which twins answer for which object: several for one, where score and overlap are good enough.

Source: DAC-DETR (NeurIPS 2023), with the numbers facebookresearch/sam3 trains with.
"""

import torch
from torch import Tensor

from sam3_edge.training.config.schema import OneToManySection
from sam3_edge.training.data.targets import Targets
from sam3_edge.training.losses.box_ops import iou_and_giou
from sam3_edge.training.losses.matcher import Matches
from sam3_edge.training.model.layers import cxcywh_to_xyxy


@torch.no_grad()
def match_many(logits: Tensor, boxes: Tensor, targets: Targets, rule: OneToManySection) -> Matches:
    """logits (L, N, Q) and boxes (L, N, Q, 4) cxcywh of every decoder layer.

    A twin may answer for the object with which its quality, score^alpha * IoU^(1 - alpha), is
    best, if it is among that object's `top_k` and its quality above `threshold`.
    """
    found = [torch.zeros(0, 4, dtype=torch.int64, device=logits.device)]
    for prompt in sorted(set(targets.prompt.tolist())):
        objects = torch.nonzero(targets.prompt == prompt)[:, 0]
        one, wanted = logits[:, prompt], targets.boxes[objects]
        quality = pair_quality(one, boxes[:, prompt], wanted, rule.alpha)
        chosen = chosen_pairs(quality, rule.threshold, rule.top_k)
        layer, query, place = torch.nonzero(chosen, as_tuple=True)
        owner = torch.full_like(layer, prompt)
        found.append(torch.stack((layer, owner, query, objects[place]), dim=1))
    table = torch.cat(found)
    return Matches(layer=table[:, 0], prompt=table[:, 1], query=table[:, 2], target=table[:, 3])


def pair_quality(logits: Tensor, boxes: Tensor, wanted: Tensor, alpha: float) -> Tensor:
    """logits (L, Q), boxes (L, Q, 4), wanted (M, 4) -> (L, Q, M) in 0..1."""
    iou, _ = iou_and_giou(cxcywh_to_xyxy(boxes)[:, :, None], cxcywh_to_xyxy(wanted))
    return logits.sigmoid()[..., None] ** alpha * iou ** (1.0 - alpha)


def chosen_pairs(quality: Tensor, threshold: float, top_k: int) -> Tensor:
    """(L, Q, M) -> (L, Q, M) bool, at most one object a query and top_k queries an object."""
    best_object = quality == quality.amax(dim=2, keepdim=True)
    first = best_object & (best_object.cumsum(dim=2) == 1)
    contest = torch.where(first & (quality > threshold), quality, 0.0)
    least = contest.topk(min(top_k, contest.shape[1]), dim=1).values[:, -1:]
    return (contest >= least) & (contest > 0.0)

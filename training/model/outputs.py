"""What the detector returns. N prompts over B images, Q queries, s = tokens per side."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFeatures:
    """maps: (B, C, 4s, 4s), (B, C, 2s, 2s), (B, C, s, s), finest first.

    image_token: (B, 1, C), the exemplar encoder's class token without any box. The reference adds
    it to every prompt, text-only ones too.
    """

    maps: tuple[Tensor, Tensor, Tensor]
    image_token: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalOutput:
    """The dense head of `query_init: proposals`, on a (g, g) grid, one object centre a cell.

    logits: (N, g, g), how well each cell is the centre of an object the prompt means.
    boxes: (N, g, g, 4), cxcywh in 0..1 of the square picture.
    """

    logits: Tensor
    boxes: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinOutput:
    """What the queries' twins answer in training. logits: (L, N, Q). boxes: (L, N, Q, 4)."""

    logits: Tensor
    boxes: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorOutput:
    """L decoder layers, last one last.

    logits: (L, N, Q). presence: (L, N, 1) logit. boxes: (L, N, Q, 4) cxcywh in 0..1.
    masks: (N, Q, 4s, 4s) logits of the last layer.
    semantic: (N, 1, 4s, 4s) logits, or None where the config has no semantic head.
    proposals: None for `query_init: learned`.
    twins: None in evaluation, and where the config has no one-to-many matching.
    image_embedding, prompt_embedding: (N, C), each prompt's picture, pooled, and each prompt.
    """

    logits: Tensor
    presence: Tensor
    boxes: Tensor
    masks: Tensor
    semantic: Tensor | None
    proposals: ProposalOutput | None
    twins: TwinOutput | None
    image_embedding: Tensor
    prompt_embedding: Tensor

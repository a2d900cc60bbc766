"""What the detector returns. N prompts over B images, Q queries, s = tokens per side."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sam3_edge.training.model.layers import multiply_per_image


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
class QueryMasks:
    """Masks as the two factors of their logits: training needs those of a few queries only.

    embeddings: (N, Q, C) of the queries. pixels: (B, C, 4s, 4s) of the pictures. image_index: (N,)
    int64, ascending, which picture each prompt is about; None where B is 1, or N in their order.
    """

    embeddings: Tensor
    pixels: Tensor
    image_index: Tensor | None

    def every(self) -> Tensor:
        """(N, Q, 4s, 4s) logits."""
        flat = multiply_per_image(self.embeddings, self.pixels.flatten(2), self.image_index)
        return flat.unflatten(-1, self.pixels.shape[-2:])

    def chosen(self, prompt: Tensor, query: Tensor) -> Tensor:
        """prompt (K,), query (K,) int64, in any order -> (K, 4s, 4s) logits."""
        rows = self.embeddings[prompt, query]
        if self.image_index is not None:
            owner = self.image_index[prompt]
        else:
            owner = prompt if len(self.pixels) > 1 else torch.zeros_like(prompt)
        order = owner.argsort(stable=True)
        counts = torch.bincount(owner, minlength=len(self.pixels)).tolist()
        groups = zip(rows[order].split(counts), self.pixels.flatten(2), strict=True)
        flat = torch.cat([group @ pixels for group, pixels in groups])
        return flat[order.argsort()].unflatten(-1, self.pixels.shape[-2:])


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisedBoxes:
    """Where D denoising queries of each prompt start, and what they should find, in training.

    boxes, wanted: (N, D, 4) cxcywh in 0..1, with noise and true. positive: (N, D) bool, whether it
    should be found from there. share: (N, D) float32, its weight in the loss; 0: filled up.
    """

    boxes: Tensor
    wanted: Tensor
    positive: Tensor
    share: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisedOutput:
    """What denoising queries answer. logits: (L, N, D). boxes: (L, N, D, 4). asked: their input."""

    logits: Tensor
    boxes: Tensor
    asked: NoisedBoxes


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorOutput:
    """L decoder layers, last one last.

    logits: (L, N, Q). presence: (L, N, 1) logit. boxes: (L, N, Q, 4) cxcywh in 0..1.
    query_masks: of the last layer; masks: all of them, (N, Q, 4s, 4s) logits, computed when asked.
    semantic: (N, 1, 4s, 4s) logits, or None where the config has no semantic head.
    proposals: None for `query_init: learned`.
    twins: None in evaluation, and where the config has no one-to-many matching.
    image_embedding, prompt_embedding: (N, C), each prompt's picture, pooled, and each prompt.
    noised: None where no denoising queries were asked.
    """

    logits: Tensor
    presence: Tensor
    boxes: Tensor
    query_masks: QueryMasks
    semantic: Tensor | None
    proposals: ProposalOutput | None
    twins: TwinOutput | None
    image_embedding: Tensor
    prompt_embedding: Tensor
    noised: NoisedOutput | None = None

    @property
    def masks(self) -> Tensor:
        return self.query_masks.every()

"""First queries taken from the picture: the best cells of a dense head on the 2s map.

Every cell says how well it is the centre of something the prompt means, and how big that thing
would be. A cell that is no local maximum is passed over, so one object is proposed once. Sources:
CenterNet (arXiv:1904.07850); query selection of Grounding DINO (arXiv:2303.05499).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam3_edge.training.model.config import ModelConfig
from sam3_edge.training.model.layers import MASKED, convolution
from sam3_edge.training.model.outputs import ProposalOutput

PRIOR = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposals:
    """contents: (N, Q, C). boxes: (N, Q, 4) cxcywh in 0..1. logits: (N, Q). dense: for the loss."""

    contents: Tensor
    boxes: Tensor
    logits: Tensor
    dense: ProposalOutput


class ProposalHead(nn.Module):
    offsets: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.d_model
        self.num_queries = config.num_queries
        self.side = 2 * config.tokens_per_side
        self.shared = nn.Sequential(convolution(width, separable=True), nn.ReLU())
        self.embed = nn.Conv2d(width, width, 1)
        self.size = nn.Sequential(nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, 4, 1))
        self.content = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.full((), -math.log((1.0 - PRIOR) / PRIOR)))
        cell = (torch.arange(self.side, dtype=torch.float32) + 0.5) / self.side
        grid = torch.stack(
            (cell[None, :].expand(self.side, -1), cell[:, None].expand(-1, self.side)), dim=-1
        )
        self.register_buffer("offsets", grid[None], persistent=False)

    def forward(
        self, middle: Tensor, prompt_embedding: Tensor, image_index: Tensor | None
    ) -> Proposals:
        """middle (B, C, 2s, 2s), prompt_embedding (N, C), image_index (N,) or None for B = 1."""
        shared = self.shared(middle)
        embedded = self.embed(shared).flatten(2).transpose(1, 2)
        boxes = self._boxes(self.size(shared)).flatten(1, 2)
        if image_index is None:
            batch = prompt_embedding.shape[0]
            embedded = embedded.expand(batch, -1, -1)
            boxes = boxes.expand(batch, -1, -1)
        else:
            embedded, boxes = embedded[image_index], boxes[image_index]
        scale = prompt_embedding.shape[-1] ** -0.5
        logits = (embedded @ prompt_embedding[..., None]).squeeze(-1) * scale + self.bias
        logits = logits.unflatten(-1, (self.side, self.side))
        best = self._peaks(logits).flatten(1).topk(self.num_queries, dim=1).indices
        every = best[..., None]
        return Proposals(
            contents=self.content(embedded.gather(1, every.expand(-1, -1, embedded.shape[-1]))),
            boxes=boxes.gather(1, every.expand(-1, -1, 4)),
            logits=logits.flatten(1).gather(1, best),
            dense=ProposalOutput(
                logits=logits, boxes=boxes.unflatten(1, (self.side, self.side))
            ),
        )

    def _boxes(self, raw: Tensor) -> Tensor:
        """(B, 4, g, g) -> (B, g, g, 4): centre within one cell of its own, size up to the frame."""
        raw = raw.permute(0, 2, 3, 1).float()
        centre = self.offsets + raw[..., :2].tanh() / self.side
        # A size of 0.1, a usual object, where the head says nothing.
        size = (raw[..., 2:] - 2.2).sigmoid()
        return torch.cat((centre, size), dim=-1).clamp(0.0, 1.0)

    @staticmethod
    def _peaks(logits: Tensor) -> Tensor:
        """(N, g, g): the logits of local maxima; everything else is put far below them."""
        highest = F.max_pool2d(logits[:, None], 3, stride=1, padding=1)[:, 0]
        return logits + (logits < highest).to(logits.dtype) * MASKED

"""The decoder: queries become objects, and a presence token says whether there are any.

Iterative box refinement and box-relative position bias in log space. Sources: Deformable DETR
(arXiv:2010.04159), DAB-DETR (arXiv:2201.12329), PlainDETR (arXiv:2308.01904), DAC-DETR (divide and
conquer, NeurIPS 2023), and facebookresearch/sam3 for how they are put together.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam3_edge.training.model.config import ModelConfig
from sam3_edge.training.model.layers import (
    MLP,
    Attention,
    box_embedding,
    cxcywh_to_xyxy,
    inverse_sigmoid,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedQueries:
    """queries: (L, N, Q, C), normed. boxes: (L, N, Q, 4) cxcywh in 0..1. presence: (L, N, 1)."""

    queries: Tensor
    boxes: Tensor
    presence: Tensor


class DecoderLayer(nn.Module):
    """Post-norm: self-attention, attention to the prompt, to the picture, feed-forward."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, drop = config.d_model, config.dropout
        self.cross_attn = Attention(width, config.heads, drop)
        self.norm1 = nn.LayerNorm(width)
        self.ca_text = Attention(width, config.heads, drop)
        self.catext_norm = nn.LayerNorm(width)
        self.self_attn = Attention(width, config.heads, drop)
        self.norm2 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, config.feedforward)
        self.linear2 = nn.Linear(config.feedforward, width)
        self.norm3 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(drop)

    def forward(
        self,
        x: Tensor,
        position: Tensor,
        prompt: Tensor,
        prompt_bias: Tensor,
        tokens: Tensor,
        keys: Tensor,
        box_bias: Tensor,
        num_talking: int,
    ) -> Tensor:
        """x, position: (N, 1 + Q, C), presence token first. tokens, keys: (N, s*s, C), the keys
        with positions. box_bias: (N, heads, 1 + Q, s*s). num_talking: so many of x, from the
        first, attend to each other; the others see none.
        """
        talking, q = x[:, :num_talking], (x + position)[:, :num_talking]
        talking = talking + self.dropout(self.self_attn(q, q, talking))
        x = self.norm2(torch.cat((talking, x[:, num_talking:]), dim=1))
        attended = self.ca_text(x + position, prompt, prompt, prompt_bias)
        x = self.catext_norm(x + self.dropout(attended))
        attended = self.cross_attn(x + position, keys, tokens, box_bias)
        x = self.norm1(x + self.dropout(attended))
        y = self.linear2(self.dropout(F.relu(self.linear1(x))))
        out: Tensor = self.norm3(x + self.dropout(y))
        return out


class Decoder(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, decoder = config.d_model, config.decoder
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(decoder.layers))
        self.norm = nn.LayerNorm(width)
        self.bbox_embed = MLP((width, width, width, 4))
        # One for all proposals: which rank TopK gave a proposal must not matter, since rounding
        # may swap two of them.
        learned = decoder.query_init == "learned"
        self.query_embed = nn.Embedding(decoder.num_queries if learned else 1, width)
        if learned:
            self.reference_points = nn.Embedding(decoder.num_queries, 4)
        self.boxRPB_embed_x = MLP((2, width, config.heads))
        self.boxRPB_embed_y = MLP((2, width, config.heads))
        self.presence_token = nn.Embedding(1, width)
        self.presence_token_head = MLP((width, width, width, 1))
        self.presence_token_out_norm = nn.LayerNorm(width)
        self.ref_point_head = MLP((2 * width, width, width))

    def learned_queries(self, batch: int) -> tuple[Tensor, Tensor]:
        """(N, Q, C) contents and (N, Q, 4) first boxes, the same for every picture."""
        contents = self.query_embed.weight.expand(batch, -1, -1)
        boxes = self.reference_points.weight.sigmoid().expand(batch, -1, -1)
        return contents, boxes

    def any_contents(self, batch: int, count: int) -> Tensor:
        """(N, count, C) contents of learned queries at random, for boxes that are nobody's own."""
        weight = self.query_embed.weight
        return weight[torch.randint(len(weight), (batch, count), device=weight.device)]

    def forward(
        self,
        contents: Tensor,
        boxes: Tensor,
        prompt: Tensor,
        prompt_bias: Tensor,
        tokens: Tensor,
        position: Tensor,
        alone: bool = False,
    ) -> DecodedQueries:
        """contents (N, Q, C), boxes (N, Q, 4) cxcywh in 0..1, prompt (N, K, C) and its bias,
        tokens (N, s*s, C), position (1, s*s, C). alone: no query sees another.
        """
        num_talking = 1 if alone else 1 + contents.shape[1]
        presence = self.presence_token.weight.expand(contents.shape[0], 1, -1)
        x = torch.cat((presence, contents), dim=1)
        keys, side = tokens + position, math.isqrt(tokens.shape[1])
        queries, refined, presences = [], [], []
        for layer in self.layers:
            reference = boxes.detach()
            x = layer(
                x, self._positions(reference), prompt, prompt_bias, tokens, keys,
                self._box_bias(reference, side), num_talking,
            )  # fmt: skip
            presences.append(self.presence_token_head(self.presence_token_out_norm(x[:, :1])))
            queries.append(self.norm(x[:, 1:]))
            # From the box with its gradient: the layer before learns from this one's error too.
            boxes = (inverse_sigmoid(boxes) + self.bbox_embed(queries[-1])).sigmoid()
            refined.append(boxes)
        return DecodedQueries(
            queries=torch.stack(queries),
            boxes=torch.stack(refined),
            presence=torch.stack(presences).squeeze(-1),
        )

    def _positions(self, boxes: Tensor) -> Tensor:
        """(N, Q, 4) -> (N, 1 + Q, C): where each query looks; the presence token is nowhere."""
        embedded = box_embedding(boxes, self.norm.normalized_shape[0])
        return F.pad(self.ref_point_head(embedded), (0, 0, 1, 0))

    def _box_bias(self, boxes: Tensor, side: int) -> Tensor:
        """(N, Q, 4) -> (N, heads, 1 + Q, s*s): signed log distance of each token to the box's
        edges, through an MLP per axis; zero for the presence token.
        """
        cells = torch.arange(side, dtype=boxes.dtype, device=boxes.device) / side
        corners = cxcywh_to_xyxy(boxes)
        across = self.boxRPB_embed_x(self._log_distance(cells, corners[..., 0::2]))
        down = self.boxRPB_embed_y(self._log_distance(cells, corners[..., 1::2]))
        # Heads to the front, and the presence token's row, while there is little to move:
        # (N, Q, s, heads) -> (N, heads, 1 + Q, s).
        across, down = (F.pad(x.permute(0, 3, 1, 2), (0, 0, 1, 0)) for x in (across, down))
        return (down[..., :, None] + across[..., None, :]).flatten(3, 4)

    @staticmethod
    def _log_distance(cells: Tensor, edges: Tensor) -> Tensor:
        """(s,), (N, Q, 2) -> (N, Q, s, 2), sign(d) log2(|8 d| + 1) / log2(8)."""
        distance = (cells[:, None] - edges[:, :, None, :]) * 8.0
        return distance.sign() * (distance.abs() + 1.0).log2() / 3.0

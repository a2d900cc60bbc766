"""CLIP's causal text transformer, and the projection to the detector's width."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from sam3_edge.training.model.config import ModelConfig, TextConfig
from sam3_edge.training.model.layers import MASKED, Attention


class ResidualBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, 4 * width), gelu=nn.GELU(), c_proj=nn.Linear(4 * width, width)
            )
        )

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, bias)
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class Transformer(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(
            ResidualBlock(config.width, config.heads) for _ in range(config.layers)
        )

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        for block in self.resblocks:
            x = block(x, bias)
        return x


class ClipText(nn.Module):
    """token_ids (N, 32) int64 -> (N, 32, width)."""

    causal: Tensor

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocabulary, config.width)
        self.positional_embedding = nn.Parameter(torch.empty(config.context_length, config.width))
        self.transformer = Transformer(config)
        self.ln_final = nn.LayerNorm(config.width)
        if config.projection_width:
            self.text_projection = nn.Parameter(torch.empty(config.width, config.projection_width))
        causal = torch.full((config.context_length, config.context_length), MASKED).triu(1)
        self.register_buffer("causal", causal, persistent=False)

    def forward(self, token_ids: Tensor) -> Tensor:
        x = self.token_embedding(token_ids) + self.positional_embedding
        y: Tensor = self.ln_final(self.transformer(x, self.causal))
        return y


class TextEncoder(nn.Module):
    """token_ids (N, 32) int64, padding 0 -> features (N, 32, C), mask (N, 32), True = padding."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.encoder = ClipText(config.text)
        self.resizer = nn.Linear(config.text.width, config.d_model)

    def forward(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        return self.resizer(self.encoder(token_ids)), token_ids == 0

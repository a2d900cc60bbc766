"""How well a query matches the prompt: a dot product of two projections."""

import torch
from torch import Tensor, nn

from sam3_edge.training.model.config import ModelConfig
from sam3_edge.training.model.layers import MLP

MAX_LOGIT = 12.0


class DotProductScoring(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.d_model
        self.prompt_mlp = MLP(
            (width, config.feedforward, width), dropout=config.dropout, residual_norm=True
        )
        self.prompt_proj = nn.Linear(width, width)
        self.hs_proj = nn.Linear(width, width)

    def embed_prompt(self, prompt: Tensor, prompt_mask: Tensor) -> Tensor:
        """prompt (N, K, C), prompt_mask (N, K) True = padding -> (N, C), mean over what is left."""
        valid = (~prompt_mask).to(prompt.dtype)[..., None]
        pooled = (self.prompt_mlp(prompt) * valid).sum(dim=1) / valid.sum(dim=1).clamp(min=1.0)
        y: Tensor = self.prompt_proj(pooled)
        return y

    def forward(self, queries: Tensor, prompt_embedding: Tensor) -> Tensor:
        """queries (L, N, Q, C), prompt_embedding (N, C) -> (L, N, Q) logits within +-12."""
        projected = self.hs_proj(queries)
        scores = torch.matmul(projected, prompt_embedding[..., None]).squeeze(-1)
        return (scores * prompt_embedding.shape[-1] ** -0.5).clamp(-MAX_LOGIT, MAX_LOGIT)

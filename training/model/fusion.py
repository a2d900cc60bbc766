"""The fusion encoder: image tokens attend to each other and to the prompt."""

from torch import Tensor, nn
from torch.nn import functional as F

from sam3_edge.training.model.config import ModelConfig
from sam3_edge.training.model.layers import Attention, per_prompt


class CrossLayer(nn.Module):
    """Pre-norm self-attention, cross-attention and feed-forward.

    x: (N, L, C). memory: (N, K, C). self_position: (1, L, C) on the self-attention's queries and
    keys. memory_position: (1, K, C) on the cross-attention's keys. Biases as in Attention.
    shared: x is (B, L, C), of the pictures, and image_index (N,) tells which one each prompt is
    about; None means one picture for all. A picture's tokens then attend to each other once, before
    they are repeated for its prompts.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, drop = config.d_model, config.dropout
        self.self_attn = Attention(width, config.heads, drop)
        self.cross_attn_image = Attention(width, config.heads, drop)
        self.linear1 = nn.Linear(width, config.feedforward)
        self.linear2 = nn.Linear(config.feedforward, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(drop)

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        *,
        self_position: Tensor | None = None,
        self_bias: Tensor | None = None,
        memory_position: Tensor | None = None,
        memory_bias: Tensor | None = None,
        shared: bool = False,
        image_index: Tensor | None = None,
    ) -> Tensor:
        y = self.norm1(x)
        q = y if self_position is None else y + self_position
        x = x + self.dropout(self.self_attn(q, q, y, self_bias))
        if shared:
            x = per_prompt(x, image_index, memory.shape[0])
        key = memory if memory_position is None else memory + memory_position
        x = x + self.dropout(self.cross_attn_image(self.norm2(x), key, memory, memory_bias))
        y = self.linear2(self.dropout(F.relu(self.linear1(self.norm3(x)))))
        return x + self.dropout(y)


class FusionEncoder(nn.Module):
    """tokens (B, s*s, C) of the pictures, position (1, s*s, C), prompt (N, K, C) and its bias,
    image_index (N,) or None for one picture -> (N, s*s, C).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CrossLayer(config) for _ in range(config.fusion_layers))

    def forward(
        self,
        tokens: Tensor,
        position: Tensor,
        prompt: Tensor,
        prompt_bias: Tensor,
        image_index: Tensor | None,
    ) -> Tensor:
        for number, layer in enumerate(self.layers):
            tokens = layer(
                tokens,
                prompt,
                self_position=position,
                memory_bias=prompt_bias,
                shared=number == 0,
                image_index=image_index,
            )
        return tokens

"""The pieces every part of the model is made of: MLP, attention and box arithmetic."""

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Additive stand-in for minus infinity: exp(-1e4) is 0 in every precision, and 1e4 fits in FP16.
MASKED = -1e4


def padding_bias(mask: Tensor, like: Tensor) -> Tensor:
    """(N, K) bool, True = padding -> (N, 1, 1, K) additive attention bias."""
    return (mask.to(like.dtype) * MASKED)[:, None, None, :]


def scaled_dot_product(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None = None,
    dropout: nn.Module | None = None,
) -> Tensor:
    """softmax(q kT / sqrt(d) + bias) v over (..., L, d), written out; dropout on the softmax.

    Explicit on purpose: fused attention is where FP16 TensorRT engines go silently wrong.
    """
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if bias is not None:
        scores = scores + bias
    weights = scores.softmax(dim=-1).to(v.dtype)
    return (weights if dropout is None else dropout(weights)) @ v


class Attention(nn.Module):
    """Multi-head attention, with the parameter names of nn.MultiheadAttention.

    query: (N, L, C), key and value: (N, K, C), bias: broadcastable to (N, heads, L, K).
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        q, k, v = (
            self._split(F.linear(x, w, b))
            for x, w, b in zip((query, key, value), weights, biases, strict=True)
        )
        attended = scaled_dot_product(q, k, v, bias, self.dropout)
        merged: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return merged

    def _split(self, x: Tensor) -> Tensor:
        """(N, L, C) -> (N, heads, L, C / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class MLP(nn.Module):
    """Linear layers with ReLU between; optionally x + MLP(x), and a norm on what comes out."""

    def __init__(
        self,
        widths: tuple[int, ...],
        *,
        dropout: float = 0.0,
        residual_norm: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.drop = nn.Dropout(dropout)
        self.residual = residual_norm
        if residual_norm:
            self.out_norm = nn.LayerNorm(widths[-1])

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.layers[:-1]:
            y = self.drop(F.relu(layer(y)))
        y = self.layers[-1](y)
        if self.residual:
            y = self.out_norm(x + y)
        return y


class DropPath(nn.Module):
    """Leaves a residual branch out for whole samples (stochastic depth, arXiv:1603.09382)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if self.rate == 0.0 or not self.training:
            return x
        keep = torch.rand(x.shape[0], *[1] * (x.ndim - 1), device=x.device) >= self.rate
        return x * keep.to(x.dtype) / (1.0 - self.rate)


def convolution(width: int, *, separable: bool) -> nn.Module:
    """3x3, same size, `width` channels; separable: depthwise 3x3, then 1x1."""
    if not separable:
        return nn.Conv2d(width, width, 3, padding=1)
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
        nn.Conv2d(width, width, 1),
    )


def per_prompt(x: Tensor, image_index: Tensor | None, num_prompts: int) -> Tensor:
    """(B, ...) of the pictures -> (N, ...) of the prompts; no index means one picture for all."""
    if image_index is None:
        return x.expand(num_prompts, *[-1] * (x.ndim - 1))
    return x.index_select(0, image_index)


def multiply_per_image(a: Tensor, b: Tensor, image_index: Tensor | None) -> Tensor:
    """a (N, L, C) of the prompts times b (B, C, K) of their pictures -> (N, L, K).

    Prompts about one picture stand together and are multiplied together, so that b is never copied
    per prompt.
    """
    if image_index is None:
        return torch.matmul(a, b)
    counts = torch.bincount(image_index, minlength=b.shape[0]).tolist()
    groups = zip(a.split(counts), b, strict=True)
    return torch.cat([(g.flatten(0, 1) @ x).unflatten(0, g.shape[:2]) for g, x in groups])


def inverse_sigmoid(x: Tensor, eps: float = 1e-3) -> Tensor:
    """log(x / (1 - x)), both sides kept above eps, as the reference does."""
    x = x.clamp(0.0, 1.0)
    return torch.log(x.clamp(min=eps) / (1.0 - x).clamp(min=eps))


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """(..., 4) centre and size -> (..., 4) corners, same unit."""
    cx, cy, w, h = boxes.unbind(-1)
    return torch.stack((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), dim=-1)


def sine_embedding(x: Tensor, width: int, temperature: float = 10000.0) -> Tensor:
    """(...) position in 0..1 -> (..., width), sine and cosine alternating.

    Source: "Attention Is All You Need" 3.5, with the 2 pi scale of DETR's position encoding.
    """
    index = torch.arange(width, dtype=torch.float32, device=x.device)
    period = temperature ** (2.0 * torch.div(index, 2, rounding_mode="floor") / width)
    angle = x[..., None] * (2.0 * math.pi) / period
    return torch.stack((angle[..., 0::2].sin(), angle[..., 1::2].cos()), dim=-1).flatten(-2)


def box_embedding(boxes: Tensor, width: int) -> Tensor:
    """(..., 4) cxcywh in 0..1 -> (..., 2 * width): sines of cy, cx, w and h."""
    cx, cy, w, h = boxes.unbind(-1)
    return torch.cat([sine_embedding(v, width // 2) for v in (cy, cx, w, h)], dim=-1)


def sine_position_map(side: int, width: int) -> Tensor:
    """(width, side, side) float32: rows in the first half of the channels, columns in the other."""
    position = torch.arange(1, side + 1, dtype=torch.float32) / (side + 1e-6)
    one_axis = sine_embedding(position, width // 2)
    rows = one_axis[:, None, :].expand(side, side, -1)
    columns = one_axis[None, :, :].expand(side, side, -1)
    return torch.cat((rows, columns), dim=-1).permute(2, 0, 1).contiguous()


def token_positions(side: int, width: int) -> Tensor:
    """(1, side * side, width): the same, as a row of tokens."""
    return sine_position_map(side, width).flatten(1).t()[None]

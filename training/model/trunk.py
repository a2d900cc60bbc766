"""The vision transformer: windowed and global attention, axial rotary positions, pre-norm.

Source: ViTDet (arXiv:2203.16527) with rotary positions (arXiv:2403.13298) in real arithmetic,
parameter names of facebookresearch/sam3.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam3_edge.training.model.config import ModelConfig, TrunkConfig
from sam3_edge.training.model.efficientnet import EfficientNetStem
from sam3_edge.training.model.layers import DropPath, scaled_dot_product
from sam3_edge.training.model.side_table import SideTable


def rotary_angles(head_width: int, side: int, scale: float) -> Tensor:
    """(side * side, head_width / 2) float32: columns turn the first half, rows the second."""
    frequency = 10000.0 ** (-torch.arange(0, head_width, 4)[: head_width // 4].float() / head_width)
    position = torch.arange(side, dtype=torch.float32) * scale
    one_axis = torch.outer(position, frequency)
    columns = one_axis[None, :, :].expand(side, side, -1)
    rows = one_axis[:, None, :].expand(side, side, -1)
    return torch.cat((columns, rows), dim=-1).flatten(0, 1)


def rotary_table(head_width: int, span: int, side: int) -> Tensor:
    """(2, side * side, head_width / 2): cos and sin, `side` tokens spread over `span` positions."""
    angles = rotary_angles(head_width, side, span / side)
    return torch.stack((angles.cos(), angles.sin()))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns each pair (2i, 2i+1) of (..., L, d) by the angles whose cos and sin are (L, d / 2)."""
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return turned.flatten(-2)


class RotaryAttention(nn.Module):
    """Self-attention over a square of tokens: (N, side, side, width) -> the same.

    side: the usual one. span: of the positions that the angles cover, whatever the side is.
    """

    def __init__(self, width: int, heads: int, *, side: int, span: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.turns = SideTable(partial(rotary_table, width // heads, span), side)

    def forward(self, x: Tensor) -> Tensor:
        n, height, width, _ = x.shape
        qkv = self.qkv(x).reshape(n, height * width, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        cos, sin = self.turns.at(height).to(q.dtype).unbind(0)
        attended = scaled_dot_product(rotate(q, cos, sin), rotate(k, cos, sin), v)
        merged: Tensor = self.proj(attended.transpose(1, 2).reshape(n, height, width, -1))
        return merged


class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return y


class Block(nn.Module):
    """Pre-norm attention and feed-forward; window 0 attends over the whole grid."""

    def __init__(self, config: TrunkConfig, *, window: int, side: int, drop_path: float) -> None:
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(config.width)
        # Global blocks see the same span of angles as a window: the reference interpolates.
        self.attn = RotaryAttention(
            config.width, config.heads, side=window or side, span=config.window
        )
        self.norm2 = nn.LayerNorm(config.width)
        self.mlp = FeedForward(config.width, int(config.width * config.mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        y = self._attend_in_windows(y) if self.window else self.attn(y)
        x = x + self.drop_path(y)
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out

    def _attend_in_windows(self, x: Tensor) -> Tensor:
        """(B, s, s, width); the grid is padded with zeros to whole windows, as in ViTDet."""
        side, window = x.shape[1], self.window
        padding = -side % window
        if padding:
            x = F.pad(x, (0, 0, 0, padding, 0, padding))
        count = (side + padding) // window
        x = x.unflatten(2, (count, window)).unflatten(1, (count, window))
        x = x.transpose(2, 3).flatten(0, 2)
        x = self.attn(x)
        x = x.unflatten(0, (-1, count, count)).transpose(2, 3)
        x = x.flatten(3, 4).flatten(1, 2)
        return x[:, :side, :side] if padding else x


class PatchEmbed(nn.Module):
    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, stride, stride=stride, bias=False)

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.proj(images), ()


def build_stem(trunk: TrunkConfig) -> nn.Module:
    """A module images (B, 3, S, S) -> tokens (B, width, s, s), lateral maps."""
    if trunk.stem == "efficientnet":
        return EfficientNetStem(trunk)
    return PatchEmbed(trunk.width, trunk.stride)


class Trunk(nn.Module):
    """images (B, 3, S, S), -1..1 -> tokens (B, width, s, s) and the stem's lateral maps."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        trunk = config.trunk
        self.patch_embed = build_stem(trunk)
        self.tile = trunk.pretrain_image_size // trunk.stride
        # One more position than tiles: the pretraining's class token, which is dropped.
        self.pos_embed = nn.Parameter(torch.empty(1, self.tile**2 + 1, trunk.width))
        self.stretch = None
        if trunk.positions == "stretch":
            self.stretch = SideTable(partial(stretch_weights, self.tile), config.tokens_per_side)
        self.ln_pre = nn.LayerNorm(trunk.width)
        rates = [trunk.drop_path * i / max(trunk.depth - 1, 1) for i in range(trunk.depth)]
        self.blocks = nn.ModuleList(
            Block(
                trunk,
                window=0 if i in trunk.global_blocks else trunk.window,
                side=config.tokens_per_side,
                drop_path=rates[i],
            )
            for i in range(trunk.depth)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        x, laterals = self.patch_embed(images)
        x = self.ln_pre(x.permute(0, 2, 3, 1) + self._positions(x.shape[-1]))
        for block in self.blocks:
            x = block(x)
        return x.permute(0, 3, 1, 2), laterals

    def _positions(self, side: int) -> Tensor:
        """(1, s, s, width): the pretraining grid, tiled over the picture or stretched to it."""
        grid = self.pos_embed[:, 1:].unflatten(1, (self.tile, self.tile))
        if side == self.tile:
            return grid
        if self.stretch is not None:
            weights = self.stretch.at(side)
            rows = (weights @ grid.flatten(2)).unflatten(2, (self.tile, -1))
            return weights @ rows
        repeats = -(-side // self.tile)
        return grid.tile(1, repeats, repeats, 1)[:, :side, :side]


def stretch_weights(tile: int, side: int) -> Tensor:
    """(side, tile) float32: linear interpolation from `tile` positions to `side`, as a matrix."""
    return F.interpolate(torch.eye(tile)[None], size=side, mode="linear")[0].t().contiguous()

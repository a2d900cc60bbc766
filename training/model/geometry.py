"""The exemplar encoder: example boxes in a picture become prompt tokens.

Source: facebookresearch/sam3 `geometry_encoders`, with its RoIAlign rewritten as two small matrix
products, which every engine executes alike.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam3_edge.training.model.config import ModelConfig
from sam3_edge.training.model.fusion import CrossLayer
from sam3_edge.training.model.layers import cxcywh_to_xyxy, padding_bias, sine_embedding


def pooling_weights(start: Tensor, stop: Tensor, bins: int, side: int) -> Tensor:
    """RoIAlign along one axis, as a matrix: (M,) start and stop in cells -> (M, bins, side).

    Averaging bilinear samples over a grid separates into rows and columns. Like torchvision's
    `roi_align` with `sampling_ratio=-1, aligned=False`: extents under one cell count as one, each
    bin averages ceil(extent / bins) samples, and samples outside -1..side count as zero.
    """
    extent = (stop - start).clamp(min=1.0)
    size = extent / bins
    count = size.ceil()
    most = -(-side // bins)
    sample = torch.arange(most, device=start.device, dtype=start.dtype)
    offset = (sample + 0.5) * (size / count)[:, None]
    edge = start[:, None] + size[:, None] * torch.arange(bins, device=start.device)
    at = edge[:, :, None] + offset[:, None, :]
    counted = (sample < count[:, None])[:, None, :] & (at >= -1.0) & (at <= side)
    cells = torch.arange(side, device=start.device, dtype=start.dtype)
    tent = (1.0 - (at.clamp(0.0, side - 1.0)[..., None] - cells).abs()).clamp(min=0.0)
    weighted = tent * counted.to(tent.dtype)[..., None]
    return weighted.sum(dim=2) / count[:, None, None]


class GeometryEncoder(nn.Module):
    """Exemplar boxes on one picture each -> prompt tokens."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.d_model
        self.roi_size = config.geometry.roi_size
        self.label_embed = nn.Embedding(2, width)
        self.cls_embed = nn.Embedding(1, width)
        if config.geometry.points:
            self.points_direct_project = nn.Linear(2, width)
            self.points_pool_project = nn.Linear(width, width)
            self.points_pos_enc_project = nn.Linear(width, width)
        self.boxes_direct_project = nn.Linear(4, width)
        self.boxes_pool_project = nn.Conv2d(width, width, self.roi_size)
        self.boxes_pos_enc_project = nn.Linear(width + 2, width)
        self.final_proj = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.img_pre_norm = nn.LayerNorm(width)
        self.encode = nn.ModuleList(CrossLayer(config) for _ in range(config.geometry.layers))
        self.encode_norm = nn.LayerNorm(width)

    def image_token(self, tokens: Tensor, position: Tensor) -> Tensor:
        """tokens (B, s*s, C), position (1, s*s, C) -> (B, 1, C): the class token without boxes."""
        alone = self.cls_embed.weight.expand(tokens.shape[0], 1, -1)
        return self._encode(alone, None, tokens, position)

    def forward(
        self,
        boxes: Tensor,
        labels: Tensor,
        padding: Tensor,
        tokens: Tensor,
        position: Tensor,
    ) -> Tensor:
        """boxes (N, M, 4) cxcywh in 0..1, labels (N, M) int64, 1 = wanted and 0 = not wanted,
        padding (N, M) bool, True = no box, tokens (N, s*s, C) -> (N, 1 + M, C), class token first.
        """
        embedded = self._embed_boxes(boxes, tokens) + self.label_embed(labels)
        first = self.cls_embed.weight.expand(boxes.shape[0], 1, -1)
        sequence = torch.cat((first, embedded), dim=1)
        padded = torch.cat((torch.zeros_like(padding[:, :1]), padding), dim=1)
        return self._encode(sequence, padding_bias(padded, sequence), tokens, position)

    def _encode(
        self, sequence: Tensor, self_bias: Tensor | None, tokens: Tensor, position: Tensor
    ) -> Tensor:
        x = self.norm(self.final_proj(sequence))
        for layer in self.encode:
            x = layer(x, tokens, self_bias=self_bias, memory_position=position)
        y: Tensor = self.encode_norm(x)
        return y

    def _embed_boxes(self, boxes: Tensor, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.boxes_direct_project(boxes)
        pooled = self._pool(boxes, self.img_pre_norm(tokens))
        # A convolution as large as what it is given is a linear layer.
        kernel = self.boxes_pool_project.weight.flatten(1)
        embedded = embedded + F.linear(pooled, kernel, self.boxes_pool_project.bias)
        half = (self.boxes_pos_enc_project.in_features - 2) // 2
        cx, cy, w, h = boxes.unbind(-1)
        placed = torch.cat(
            (sine_embedding(cy, half), sine_embedding(cx, half), h[..., None], w[..., None]), dim=-1
        )
        return embedded + self.boxes_pos_enc_project(placed)

    def _pool(self, boxes: Tensor, tokens: Tensor) -> Tensor:
        """(N, M, 4), (N, s*s, C) -> (N, M, C * roi * roi), RoIAlign of the normalised tokens."""
        n, m = boxes.shape[:2]
        side = int(tokens.shape[1] ** 0.5)
        x0, y0, x1, y1 = (cxcywh_to_xyxy(boxes) * side).flatten(0, 1).unbind(-1)
        rows = pooling_weights(y0, y1, self.roi_size, side).unflatten(0, (n, m))
        columns = pooling_weights(x0, x1, self.roi_size, side).unflatten(0, (n, m))
        grid = tokens.transpose(1, 2).reshape(n, 1, -1, side, side)
        pooled = rows[:, :, None] @ grid @ columns[:, :, None].transpose(-2, -1)
        return pooled.flatten(2)

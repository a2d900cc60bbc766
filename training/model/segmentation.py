"""Masks: every query's embedding against every pixel's. Source: MaskFormer (arXiv:2107.06278)."""

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from sam3_edge.training.model.config import ModelConfig
from sam3_edge.training.model.layers import (
    MLP,
    Attention,
    box_embedding,
    convolution,
    per_prompt,
    sine_position_map,
)
from sam3_edge.training.model.outputs import QueryMasks
from sam3_edge.training.model.side_table import SideTable


class PixelDecoder(nn.Module):
    """Three maps, finest first -> (B, C, 4s, 4s), from the coarsest up."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, segmentation = config.d_model, config.segmentation
        self.conv_layers = nn.ModuleList(
            convolution(width, separable=segmentation.separable) for _ in range(segmentation.stages)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for _ in range(segmentation.stages))

    def forward(self, finest: Tensor, middle: Tensor, coarsest: Tensor) -> Tensor:
        x = coarsest
        for i, finer in enumerate((middle, finest)):
            x = finer + F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = F.relu(self.norms[i](self.conv_layers[i](x)))
        return x


class MaskPredictor(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.mask_embed = MLP((width, width, width, width))

    def forward(self, queries: Tensor) -> Tensor:
        """(N, Q, C) -> (N, Q, C), what a pixel's embedding is multiplied by."""
        embedded: Tensor = self.mask_embed(queries)
        return embedded


class MaskPositions(nn.Module):
    """Where pixels and boxes are, in one space: their products say which pixels are near a box."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.d_model
        self.of_pixels = nn.Conv2d(width, width, 1)
        self.of_boxes = nn.Linear(2 * width, width)
        self.grid = SideTable(partial(sine_position_map, width=width), 4 * config.tokens_per_side)

    def forward(self, queries: Tensor, pixels: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """queries (N, Q, C), pixels (B, C, 4s, 4s), boxes (N, Q, 4): the first two, placed."""
        placed = self.of_boxes(box_embedding(boxes, queries.shape[-1]))
        return queries + placed, pixels + self.of_pixels(self.grid.at(pixels.shape[-1])[None])


class SegmentationHead(nn.Module):
    """Instance masks of every query and, where configured, one semantic mask of the prompt."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.d_model
        self.pixels_from = config.segmentation.pixels_from
        self.pixel_decoder = PixelDecoder(config)
        if self.pixels_from == "encoder":
            self.cross_attend_prompt = Attention(width, config.heads)
            self.cross_attn_norm = nn.LayerNorm(width)
        self.mask_predictor = MaskPredictor(width)
        self.instance_seg_head = nn.Conv2d(width, width, 1)
        self.semantic_seg_head = nn.Conv2d(width, 1, 1) if config.segmentation.semantic else None
        self.positions = MaskPositions(config) if config.segmentation.positions else None

    def forward(
        self,
        queries: Tensor,
        boxes: Tensor,
        maps: tuple[Tensor, Tensor, Tensor],
        fused: Tensor,
        prompt: Tensor,
        prompt_bias: Tensor,
        image_index: Tensor | None,
    ) -> tuple[QueryMasks, Tensor | None]:
        """queries (N, Q, C) and their boxes (N, Q, 4) cxcywh, maps of the B pictures, fused tokens
        (N, s*s, C), prompt (N, K, C) and its bias -> instance masks, semantic logits
        (N, 1, 4s, 4s) or None.
        """
        owner = image_index
        if self.pixels_from == "encoder":
            attended = self.cross_attend_prompt(
                self.cross_attn_norm(fused), prompt, prompt, prompt_bias
            )
            coarsest = (fused + attended).transpose(1, 2).unflatten(-1, maps[2].shape[-2:])
            n = queries.shape[0]
            maps = (*(per_prompt(m, image_index, n) for m in maps[:2]), coarsest)
            owner = None
        pixels = self.pixel_decoder(*maps)
        instance = self.instance_seg_head(pixels)
        if self.positions is not None:
            queries, instance = self.positions(queries, instance, boxes)
        masks = QueryMasks(
            embeddings=self.mask_predictor(queries), pixels=instance, image_index=owner
        )
        semantic = None if self.semantic_seg_head is None else self.semantic_seg_head(pixels)
        return masks, semantic

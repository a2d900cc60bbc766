"""The whole detector, as the four parts that are exported apart.

    images -> encode_image ─────────────┐
    token_ids -> encode_text ───────────┼─> decode -> DetectorOutput
    exemplar boxes -> encode_exemplars ─┘

Modules carry the names of the reference's checkpoint, so that it loads as it is.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from sam3_edge.training.model.config import ModelConfig
from sam3_edge.training.model.decoder import Decoder
from sam3_edge.training.model.fusion import FusionEncoder
from sam3_edge.training.model.geometry import GeometryEncoder
from sam3_edge.training.model.initialise import initialise
from sam3_edge.training.model.layers import padding_bias, per_prompt, token_positions
from sam3_edge.training.model.neck import Neck
from sam3_edge.training.model.outputs import (
    DetectorOutput,
    ImageFeatures,
    NoisedBoxes,
    NoisedOutput,
    ProposalOutput,
    TwinOutput,
)
from sam3_edge.training.model.proposals import ProposalHead
from sam3_edge.training.model.scoring import MAX_LOGIT, DotProductScoring
from sam3_edge.training.model.segmentation import SegmentationHead
from sam3_edge.training.model.side_table import SideTable
from sam3_edge.training.model.text import TextEncoder
from sam3_edge.training.model.trunk import Trunk


class VisionBackbone(nn.Module):
    """images (B, 3, S, S), -1..1 -> three maps, finest first."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.trunk = Trunk(config)
        neck = Neck(config)
        self.convs, self.laterals = neck.convs, neck.laterals
        self._neck = (neck,)  # In a tuple: its parameters belong to this module's names.

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        tokens, stem_maps = self.trunk(images)
        maps: tuple[Tensor, Tensor, Tensor] = self._neck[0](tokens, stem_maps)
        return maps


class Backbone(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.vision_backbone = VisionBackbone(config)
        self.language_backbone = TextEncoder(config)


class Transformer(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.encoder = FusionEncoder(config)
        self.decoder = Decoder(config)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExemplarBoxes:
    """boxes: (N, M, 4) cxcywh in 0..1. labels: (N, M) int64, 1 wanted, 0 not wanted.
    padding: (N, M) bool, True = no box.
    """

    boxes: Tensor
    labels: Tensor
    padding: Tensor


class Detector(nn.Module):
    """SAM 3's image detector, with the dimensions of `config`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.geometry_encoder = GeometryEncoder(config)
        self.transformer = Transformer(config)
        self.dot_prod_scoring = DotProductScoring(config)
        self.segmentation_head = SegmentationHead(config)
        self.proposals = ProposalHead(config) if config.decoder.query_init == "proposals" else None
        positions = partial(token_positions, width=config.d_model)
        self.position = SideTable(positions, config.tokens_per_side)
        initialise(self)

    def forward(
        self,
        images: Tensor,
        token_ids: Tensor,
        image_index: Tensor,
        exemplars: ExemplarBoxes | None = None,
        noised: NoisedBoxes | None = None,
        shown: Tensor | None = None,
    ) -> DetectorOutput:
        """images (B, S, S, 3) uint8 RGB, token_ids (N, 32) int64 and image_index (N,) int64: which
        picture each prompt is asked about, ascending. Exemplars are boxes in that same picture.
        noised: boxes to denoise, in training. shown: (N,) bool, the prompts that have an object,
        as training knows; None: perhaps all.
        """
        if bool((image_index.diff() < 0).any()):
            raise ValueError(
                f"image_index: expected ascending values, got {image_index.tolist()}; "
                "sort the prompts by picture"
            )
        features = self.encode_image(images)
        text, text_mask = self.encode_text(token_ids)
        if exemplars is None:
            extra = text[:, :0]
            no_token = torch.zeros_like(text_mask[:, :1])
            mask = torch.cat((text_mask, no_token), dim=1)
        else:
            extra = self.encode_exemplars(features.maps[2][image_index], exemplars)
            no_token = torch.ones_like(text_mask[:, :1])
            first = torch.zeros_like(text_mask[:, :1])
            mask = torch.cat((text_mask, no_token, first, exemplars.padding), dim=1)
        return self.decode(features, text, extra, mask, image_index, noised, shown)

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """images: (B, S, S, 3) uint8 RGB. Cast comes first: TensorRT cannot transpose uint8."""
        scaled = images.float() / 127.5 - 1.0
        maps = self.backbone.vision_backbone(scaled.permute(0, 3, 1, 2))
        tokens = maps[2].flatten(2).transpose(1, 2)
        position = self.position.at(maps[2].shape[-1])
        token = self.geometry_encoder.image_token(tokens, position)
        return ImageFeatures(maps=maps, image_token=token)

    def encode_text(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 32) int64 -> features (N, 32, C), mask (N, 32) bool, True = padding."""
        encoded: tuple[Tensor, Tensor] = self.backbone.language_backbone(token_ids)
        return encoded

    def encode_exemplars(self, coarsest: Tensor, exemplars: ExemplarBoxes) -> Tensor:
        """coarsest (N, C, s, s) -> (N, 1 + M, C), the class token first."""
        tokens, position = coarsest.flatten(2).transpose(1, 2), self.position.at(coarsest.shape[-1])
        encoded: Tensor = self.geometry_encoder(
            exemplars.boxes, exemplars.labels, exemplars.padding, tokens, position
        )
        return encoded

    def decode(
        self,
        features: ImageFeatures,
        text: Tensor,
        exemplars: Tensor,
        prompt_mask: Tensor,
        image_index: Tensor | None,
        noised: NoisedBoxes | None = None,
        shown: Tensor | None = None,
    ) -> DetectorOutput:
        """text (N, 32, C), exemplars (N, E, C), prompt_mask (N, 33 + E) bool, True = not attended
        to: text, the image token, exemplars. image_index: (N,), or None when B = 1.
        """

        n = text.shape[0]
        image_token = per_prompt(features.image_token, image_index, n)
        prompt = torch.cat((text, image_token, exemplars), dim=1)
        bias = padding_bias(prompt_mask, prompt)
        tokens = features.maps[2].flatten(2).transpose(1, 2)
        position = self.position.at(features.maps[2].shape[-1])
        fused = self.transformer.encoder(tokens, position, prompt, bias, image_index)
        embedding = self.dot_prod_scoring.embed_prompt(prompt, prompt_mask)

        contents, boxes, prior, dense = self._first_queries(
            features.maps, embedding, image_index, noised
        )
        num = self.config.num_queries
        decoded = self.transformer.decoder(
            contents[:, :num], boxes[:, :num], prompt, bias, fused, position
        )
        twins = noisy = None
        if self.training:
            twins, noisy = self._alone(
                contents, boxes, prior, embedding, (prompt, bias, fused, position), noised, shown
            )
        masks, semantic = self.segmentation_head(
            decoded.queries[-1],
            decoded.boxes[-1].detach(),
            features.maps,
            fused,
            prompt,
            bias,
            image_index,
        )
        return DetectorOutput(
            logits=self._logits(
                decoded.queries, embedding, None if prior is None else prior[:, :num]
            ),
            presence=decoded.presence,
            boxes=decoded.boxes,
            query_masks=masks,
            semantic=semantic,
            proposals=dense,
            twins=twins,
            image_embedding=per_prompt(tokens.mean(dim=1), image_index, n),
            prompt_embedding=embedding,
            noised=noisy,
        )

    def _alone(
        self,
        contents: Tensor,
        boxes: Tensor,
        prior: Tensor | None,
        embedding: Tensor,
        memory: tuple[Tensor, Tensor, Tensor, Tensor],
        noised: NoisedBoxes | None,
        shown: Tensor | None,
    ) -> tuple[TwinOutput | None, NoisedOutput | None]:
        """The queries that see no other, in training: twins of the first Q, and noised boxes.

        They are decoded for the prompts that have an object (`shown`, (N,) bool; None: all): the
        others have nothing to teach them, and count as answering no.
        """
        num = self.config.num_queries
        first = 0 if self.config.decoder.one_to_many else num
        if first == contents.shape[1]:
            return None, None
        n = len(contents)
        rows = torch.arange(n, device=contents.device) if shown is None else shown.nonzero()[:, 0]
        prompt, bias, fused, position = memory
        decoded = self.transformer.decoder(
            contents[rows, first:], boxes[rows, first:], prompt[rows], bias[rows], fused[rows],
            position, alone=True,
        )  # fmt: skip
        own = None if prior is None else prior[rows, first:]
        logits = self._logits(decoded.queries, embedding[rows], own)
        logits, places = _spread(logits, rows, n, -MAX_LOGIT), _spread(decoded.boxes, rows, n, 0.5)
        split = num - first
        twins = TwinOutput(logits=logits[..., :split], boxes=places[..., :split, :])
        if noised is None:
            return twins, None
        noisy = NoisedOutput(logits=logits[..., split:], boxes=places[..., split:, :], asked=noised)
        return twins if split else None, noisy

    def _first_queries(
        self,
        maps: tuple[Tensor, Tensor, Tensor],
        embedding: Tensor,
        image_index: Tensor | None,
        noised: NoisedBoxes | None,
    ) -> tuple[Tensor, Tensor, Tensor | None, ProposalOutput | None]:
        """Contents (N, Q + D, C), boxes (N, Q + D, 4), what the proposals score there (N, Q + D)
        and their dense output; None both where queries are learned.

        A noised box has the content and the score that a proposal there would have.
        """
        decoder, n = self.transformer.decoder, embedding.shape[0]
        if self.proposals is None:
            contents, boxes = decoder.learned_queries(n)
            prior = dense = None
            if noised is not None:
                strangers = decoder.any_contents(n, noised.boxes.shape[1])
                contents = torch.cat((contents, strangers), dim=1)
        else:
            places = None if noised is None else noised.boxes[..., :2]
            features = maps[0] if self.proposals.scale == 4 else maps[1]
            proposed = self.proposals(features, embedding, image_index, places)
            contents = proposed.contents + decoder.query_embed.weight
            boxes, prior, dense = proposed.boxes, proposed.logits, proposed.dense
        if noised is not None:
            boxes = torch.cat((boxes[:, : self.config.num_queries], noised.boxes), dim=1)
        return contents, boxes, prior, dense

    def _logits(self, queries: Tensor, embedding: Tensor, prior: Tensor | None) -> Tensor:
        """queries (L, N, Q, C), prior (N, Q) -> (L, N, Q). The decoder corrects the proposal's
        score, as it corrects its box.
        """
        logits: Tensor = self.dot_prod_scoring(queries, embedding)
        if prior is None:
            return logits
        return (logits + prior.detach()).clamp(-MAX_LOGIT, MAX_LOGIT)


def _spread(values: Tensor, rows: Tensor, count: int, fill: float) -> Tensor:
    """(L, K, ...) of the prompts `rows` (K,) -> (L, count, ...), `fill` for the others."""
    every = values.new_full((values.shape[0], count, *values.shape[2:]), fill)
    return every.index_copy(1, rows, values)

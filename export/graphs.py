"""The detector as four modules with the tensors of the bundle's contract.

vision    image -> features_4x, features_2x, features_1x, image_token
text      token_ids -> text_features, text_mask
exemplar  features_1x, boxes, labels, box_mask -> exemplar_features
decoder   everything above -> logits, presence, boxes, masks
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sam3_edge.training.model.config import ModelConfig
from sam3_edge.training.model.detector import Detector, ExemplarBoxes
from sam3_edge.training.model.outputs import ImageFeatures

# Any number but one: a dimension of one would be traced as a constant.
EXAMPLE_PROMPTS = 2


class VisionGraph(nn.Module):
    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        features = self.detector.encode_image(image)
        return (*features.maps, features.image_token)


class TextGraph(nn.Module):
    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        return self.detector.encode_text(token_ids)


class ExemplarGraph(nn.Module):
    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(
        self, features_1x: Tensor, boxes: Tensor, labels: Tensor, box_mask: Tensor
    ) -> Tensor:
        coarsest = features_1x.expand(boxes.shape[0], -1, -1, -1)
        exemplars = ExemplarBoxes(boxes=boxes, labels=labels, padding=box_mask)
        return self.detector.encode_exemplars(coarsest, exemplars)


class DecoderGraph(nn.Module):
    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(
        self,
        features_4x: Tensor,
        features_2x: Tensor,
        features_1x: Tensor,
        image_token: Tensor,
        text_features: Tensor,
        exemplar_features: Tensor,
        prompt_mask: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        features = ImageFeatures(
            maps=(features_4x, features_2x, features_1x), image_token=image_token
        )
        out = self.detector.decode(features, text_features, exemplar_features, prompt_mask, None)
        return out.logits[-1], out.presence[-1], out.boxes[-1], out.masks


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """One graph to trace. prompt_axis: the inputs whose first axis is P, the prompts."""

    module: nn.Module
    example: dict[str, Tensor]
    outputs: tuple[str, ...]
    prompt_axis: tuple[str, ...]


def detector_graphs(detector: Detector) -> dict[str, Graph]:
    """The four graphs with example inputs that fit `engines.contract`."""
    config = detector.config
    vision = VisionGraph(detector)
    example = {"image": torch.zeros(1, config.image_size, config.image_size, 3, dtype=torch.uint8)}
    with torch.no_grad():
        maps = vision(**example)
    feature_names = ("features_4x", "features_2x", "features_1x", "image_token")
    features = dict(zip(feature_names, maps, strict=True))
    prompts = _example_prompts(config)
    exemplars = _example_exemplars(config)
    return {
        "vision": Graph(module=vision, example=example, outputs=feature_names, prompt_axis=()),
        "text": Graph(
            module=TextGraph(detector),
            example={"token_ids": torch.ones(EXAMPLE_PROMPTS, 32, dtype=torch.int64)},
            outputs=("text_features", "text_mask"),
            prompt_axis=("token_ids",),
        ),
        "exemplar": Graph(
            module=ExemplarGraph(detector),
            example={"features_1x": features["features_1x"], **exemplars},
            outputs=("exemplar_features",),
            prompt_axis=tuple(exemplars),
        ),
        "decoder": Graph(
            module=DecoderGraph(detector),
            example={**features, **prompts},
            outputs=("logits", "presence", "boxes", "masks"),
            prompt_axis=tuple(prompts),
        ),
    }


def _example_prompts(config: ModelConfig) -> dict[str, Tensor]:
    n, slots, tokens = EXAMPLE_PROMPTS, config.geometry.num_exemplars, config.text.context_length
    return {
        "text_features": torch.zeros(n, tokens, config.d_model),
        "exemplar_features": torch.zeros(n, slots, config.d_model),
        "prompt_mask": torch.zeros(n, tokens + 1 + slots, dtype=torch.bool),
    }


def _example_exemplars(config: ModelConfig) -> dict[str, Tensor]:
    n, slots = EXAMPLE_PROMPTS, config.geometry.num_exemplars - 1
    return {
        "boxes": torch.full((n, slots, 4), 0.5),
        "labels": torch.ones(n, slots, dtype=torch.int64),
        "box_mask": torch.zeros(n, slots, dtype=torch.bool),
    }

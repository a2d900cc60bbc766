"""The model is SAM 3's detector: same numbers, same parameters."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sam3_edge.training.model.config import preset
from sam3_edge.training.model.detector import Detector, ExemplarBoxes
from sam3_edge.training.model.weights import load_weights, reference_to_model

CASES = ("text_only", "text_other", "text_pos_box", "text_pos_neg_boxes", "box_only")
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def tiny(golden_tiny: Path) -> Detector:
    return load_weights(golden_tiny / "checkpoint.safetensors", preset="tiny")[0]


@pytest.fixture(scope="module")
def golden_tiny(shared: Path) -> Path:
    return shared / "golden" / "sam3_tiny"


@pytest.fixture(scope="module")
def expected(golden_tiny: Path) -> dict[str, torch.Tensor]:
    with np.load(golden_tiny / "expected.npz") as archive:
        return {name: torch.from_numpy(archive[name]) for name in archive.files}


@pytest.fixture(scope="module")
def image(expected: dict[str, torch.Tensor]) -> torch.Tensor:
    return expected["image_uint8_chw"].permute(1, 2, 0)[None].contiguous()


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0.0, atol=TOLERANCE)


@torch.inference_mode()
def test_image_features(
    tiny: Detector, expected: dict[str, torch.Tensor], image: torch.Tensor
) -> None:
    finest, middle, coarsest = tiny.encode_image(image).maps
    close(finest[..., ::6, ::6], expected["vision/fpn0_every6"])
    close(middle[..., ::3, ::3], expected["vision/fpn1_every3"])
    close(coarsest, expected["vision/fpn2_every1"])
    close(tiny.position.at(18)[0].t().reshape(1, 64, 18, 18), expected["vision/pos2"])


@pytest.mark.parametrize("case", CASES)
@torch.inference_mode()
def test_prompt_case(
    tiny: Detector,
    golden_tiny: Path,
    expected: dict[str, torch.Tensor],
    image: torch.Tensor,
    case: str,
) -> None:
    asked = json.loads((golden_tiny / "cases.json").read_text())[case]
    token_ids = expected[f"{case}/token_ids"]
    text, text_mask = tiny.encode_text(token_ids)
    close(text, expected[f"{case}/text_features"])
    assert torch.equal(text_mask, expected[f"{case}/text_padding_mask"])
    exemplars = None
    if asked["labels"]:
        exemplars = ExemplarBoxes(
            boxes=torch.tensor(asked["boxes_cxcywh_normalized"])[None],
            labels=torch.tensor(asked["labels"])[None],
            padding=torch.zeros(1, len(asked["labels"]), dtype=torch.bool),
        )
    out = tiny(image, token_ids, torch.zeros(1, dtype=torch.int64), exemplars)
    close(out.logits[-1][..., None], expected[f"{case}/logits"])
    close(out.boxes[-1], expected[f"{case}/boxes_cxcywh"])
    close(out.presence[-1], expected[f"{case}/presence_logit"])
    close(out.masks[..., ::3, ::3], expected[f"{case}/mask_logits_every3"])
    close(out.semantic[..., ::3, ::3], expected[f"{case}/semantic_logits_every3"])


def test_full_has_the_reference_parameters(shared: Path) -> None:
    listed = json.loads((shared / "golden" / "sam3_full_parameters.json").read_text())
    theirs = {m: tuple(s) for n, s in listed.items() if (m := reference_to_model(n)) is not None}
    with torch.device("meta"):
        ours = {n: tuple(t.shape) for n, t in Detector(preset("full")).state_dict().items()}
    assert ours == theirs

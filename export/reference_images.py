"""The eight pictures a bundle carries, and what PyTorch makes of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sam3_edge.calib.images import open_images
from sam3_edge.engines.backend import PromptBatch, RawOutput, TextFeatures
from sam3_edge.engines.references import References, record_references
from sam3_edge.engines.text_prompts import text_only_prompts
from sam3_edge.runtime.preprocess import preprocess
from sam3_edge.runtime.scene import Scene
from sam3_edge.runtime.tokenizer import Tokenizer
from sam3_edge.training.model.detector import Detector

NUM_REFERENCES = 8
# Seeds of held-out demo scenes: free to ship, and never trained on.
FIRST_SEED = 9000


def demo_images(size: int) -> NDArray[np.uint8]:
    """(8, S, S, 3) uint8 RGB, eight held-out demo scenes."""
    images = np.empty((NUM_REFERENCES, size, size, 3), dtype=np.uint8)
    for index, image in enumerate(images):
        preprocess(Scene(FIRST_SEED + index, "held_out", 640, 480).frame(0), image)
    return images


def photos(folder: Path, count: int, size: int) -> NDArray[np.uint8]:
    """(R, S, S, 3) uint8 RGB: up to `count` pictures, evenly spread over the folder's names.

    Raises CalibrationError for a folder without pictures, and for a file that is not one.
    """
    return np.stack(list(open_images(folder, count).pictures(size)))


def make_references(
    detector: Detector, images: NDArray[np.uint8], phrases: Sequence[str], threshold: float
) -> References:
    """images: (R, S, S, 3) uint8 RGB. threshold: the score from which a detection is kept."""
    token_ids = Tokenizer().encode(phrases)
    num_exemplars = detector.config.geometry.num_exemplars
    with torch.inference_mode():
        features, mask = detector.encode_text(torch.from_numpy(token_ids))
        text = TextFeatures(features=features.numpy(), mask=mask.numpy())
        prompts = text_only_prompts(text, num_exemplars)
        outputs = [_answer(detector, image, prompts) for image in images]
    return record_references(
        images=images,
        phrases=tuple(phrases),
        token_ids=token_ids,
        text=text,
        num_exemplars=num_exemplars,
        threshold=threshold,
        outputs=outputs,
    )


def _answer(detector: Detector, image: NDArray[np.uint8], prompts: PromptBatch) -> RawOutput:
    """What an engine would give for one picture, from PyTorch; no times are taken."""
    out = detector.decode(
        detector.encode_image(torch.from_numpy(image[None])),
        torch.from_numpy(prompts.text_features),
        torch.from_numpy(prompts.exemplar_features),
        torch.from_numpy(prompts.prompt_mask),
        None,
    )
    return RawOutput(
        logits=out.logits[-1].numpy(),
        presence=out.presence[-1].numpy(),
        boxes=out.boxes[-1].numpy(),
        masks=out.masks.numpy(),
        vision_ms=0.0,
        decoder_ms=0.0,
    )

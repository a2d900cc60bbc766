"""The eight pictures a bundle carries, and what PyTorch makes of them."""

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from sam3_edge.engines.references import References
from sam3_edge.errors import ExportError
from sam3_edge.runtime.preprocess import preprocess
from sam3_edge.runtime.scene import Scene
from sam3_edge.runtime.tokenizer import Tokenizer
from sam3_edge.training.model.detector import Detector

NUM_REFERENCES = 8
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
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

    Raises ExportError for a folder without pictures, and for a file that is not one.
    """
    names = sorted(p for p in folder.glob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
    if not names:
        raise ExportError(
            f"{folder}: expected a folder with {', '.join(PICTURE_SUFFIXES)} pictures, got none; "
            "check the path"
        )
    chosen = [names[i * len(names) // count] for i in range(count)] if count < len(names) else names
    images = np.empty((len(chosen), size, size, 3), dtype=np.uint8)
    for path, image in zip(chosen, images, strict=True):
        picture = cv2.imread(os.fspath(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise ExportError(f"{path}: expected a picture, got something else; remove the file")
        preprocess(picture.astype(np.uint8, copy=False), image)
    return images


def make_references(
    detector: Detector, images: NDArray[np.uint8], phrases: Sequence[str], threshold: float
) -> References:
    """images: (R, S, S, 3) uint8 RGB. threshold: the score from which a detection is kept."""
    token_ids = Tokenizer().encode(phrases)
    with torch.inference_mode():
        text, text_mask = detector.encode_text(torch.from_numpy(token_ids))
        outputs = [_decode(detector, image, text, text_mask) for image in images]
    logits, presence, boxes, masks = (np.stack([output[i] for output in outputs]) for i in range(4))
    score = 1.0 / ((1.0 + np.exp(-logits)) * (1.0 + np.exp(-presence)))
    index = np.argwhere(score >= threshold)
    limit = float(np.finfo(np.float16).max)
    return References(
        images=images,
        phrases=tuple(phrases),
        token_ids=token_ids,
        text_features=text.numpy(),
        text_mask=text_mask.numpy(),
        num_exemplars=detector.config.geometry.num_exemplars,
        threshold=threshold,
        logits=logits,
        presence=presence,
        boxes=boxes,
        masks=masks[tuple(index.T)].clip(-limit, limit).astype(np.float16),
        mask_index=index.astype(np.int64),
    )


def _decode(
    detector: Detector, image: NDArray[np.uint8], text: torch.Tensor, text_mask: torch.Tensor
) -> tuple[NDArray[np.float32], ...]:
    """logits (P, Q), presence (P, 1), boxes (P, Q, 4) and masks (P, Q, 4s, 4s) of one picture."""
    features = detector.encode_image(torch.from_numpy(image[None]))
    unmasked = torch.zeros_like(text_mask[:, :1])
    mask = torch.cat((text_mask, unmasked), dim=1)
    out = detector.decode(features, text, text[:, :0], mask, None)
    return tuple(
        t.float().numpy() for t in (out.logits[-1], out.presence[-1], out.boxes[-1], out.masks)
    )

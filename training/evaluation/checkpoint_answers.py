"""What a detector in PyTorch answers, on the CPU or a GPU. The only module here that needs torch."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from sam3_edge.engines.backend import RawOutput
from sam3_edge.runtime.preprocess import preprocess
from sam3_edge.runtime.tokenizer import Tokenizer
from sam3_edge.training.evaluation.answers import Answer
from sam3_edge.training.evaluation.pictures import (
    JudgedPicture,
    JudgedPictures,
    batches,
    each,
)
from sam3_edge.training.evaluation.raw_answers import raw_answers
from sam3_edge.training.evaluation.report import Report, make_report
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.outputs import ImageFeatures

# Prompts decoded at once, of all pictures of a batch: what a GPU or the memory holds with ease.
MAX_PROMPTS = 64


def evaluate_detector(
    model: Detector,
    pictures: JudgedPictures,
    *,
    name: str = "model",
    batch_size: int = 8,
    masks: bool = True,
    bfloat16: bool = False,
    device: torch.device | str | None = None,
) -> Report:
    """Every score of the model; masks=False leaves out those of masks, which take longest.

    device: where to compute, None for where the model is. The model is left in the mode and on
    the device it came on. Raises EngineError for an output that is not finite, DatasetError.
    """
    home, was_training = next(model.parameters()).device, model.training
    model.to(home if device is None else device).eval()
    try:
        answers = checkpoint_answers(
            model,
            pictures.phrases,
            each(pictures),
            batch_size=batch_size,
            masks=masks,
            bfloat16=bfloat16,
        )
        return make_report(list(answers), model=name, pictures=pictures)
    finally:
        model.to(home).train(was_training)


def checkpoint_answers(
    model: Detector,
    phrases: tuple[str, ...],
    pictures: Iterable[JudgedPicture],
    *,
    batch_size: int = 8,
    masks: bool = True,
    bfloat16: bool = False,
) -> Iterator[Answer]:
    """Every phrase asked about every picture, whose `phrases` are these, of a model in evaluation
    mode, where it is. Raises EngineError.
    """
    device = next(model.parameters()).device
    ids = torch.from_numpy(Tokenizer().encode(phrases)).to(device)
    autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=bfloat16)
    with torch.inference_mode(), autocast:
        text, padding = model.encode_text(ids)
    number = 0
    for chunk in batches(pictures, batch_size):
        images = _images(chunk, model.config.image_size).to(device)
        with torch.inference_mode(), autocast:
            outputs = _outputs(model, images, text, padding, masks=masks)
        for picture, output in zip(chunk, outputs, strict=True):
            yield from raw_answers(output, picture, number, masks=masks)
            number += 1


def _images(pictures: list[JudgedPicture], size: int) -> Tensor:
    """(B, S, S, 3) uint8, resized as the runtime does."""
    images = np.empty((len(pictures), size, size, 3), dtype=np.uint8)
    for picture, out in zip(pictures, images, strict=True):
        preprocess(np.ascontiguousarray(picture.image[:, :, ::-1]), out)
    return torch.from_numpy(images)


def _outputs(
    model: Detector, images: Tensor, text: Tensor, padding: Tensor, *, masks: bool
) -> list[RawOutput]:
    """One for each of the B pictures, all P phrases asked about each."""
    features = model.encode_image(images)
    count, total = len(text), len(images) * len(text)
    parts = [
        _decode(
            model,
            features,
            text,
            padding,
            torch.arange(start, min(start + MAX_PROMPTS, total), device=text.device),
            masks=masks,
        )
        for start in range(0, total, MAX_PROMPTS)
    ]
    logits, presence, boxes, shapes = (
        np.concatenate([part[i] for part in parts]) for i in range(4)
    )
    return [
        RawOutput(
            logits=logits[rows],
            presence=presence[rows],
            boxes=boxes[rows],
            masks=shapes[rows],
            vision_ms=0.0,
            decoder_ms=0.0,
        )
        for rows in (slice(i * count, (i + 1) * count) for i in range(len(images)))
    ]


def _decode(
    model: Detector,
    features: ImageFeatures,
    text: Tensor,
    padding: Tensor,
    rows: Tensor,
    *,
    masks: bool,
) -> tuple[np.ndarray, ...]:
    """rows: (N,) numbers of pairs, picture by picture, phrase by phrase."""
    words, owner = text[rows % len(text)], rows // len(text)
    # Neither exemplars nor their class token: text, then the image token.
    mask = torch.nn.functional.pad(padding[rows % len(text)], (0, 1), value=False)
    output = model.decode(features, words, words[:, :0], mask, owner)
    shapes = output.masks if masks else output.masks[..., :1, :1]
    kept = (output.logits[-1], output.presence[-1], output.boxes[-1], shapes)
    return tuple(tensor.float().cpu().numpy() for tensor in kept)

"""How well a detector in PyTorch answers: every phrase of a data set asked about every picture."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sam3_edge.runtime.tokenizer import Tokenizer
from sam3_edge.training.augment import plain_sample
from sam3_edge.training.average_precision import (
    MAX_DETECTIONS,
    Answer,
    Objects,
    Scores,
    average_precision,
)
from sam3_edge.training.labelled import LabelledPicture, LabelledPictures
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.layers import cxcywh_to_xyxy
from sam3_edge.training.model.outputs import DetectorOutput
from sam3_edge.training.targets import collate

# Below this a detection is too far down the list to change the average.
LEAST_SCORE = 0.01


def evaluate(
    model: Detector,
    pictures: Iterable[LabelledPicture],
    *,
    batch_size: int = 8,
    masks: bool = True,
    bfloat16: bool = False,
) -> Scores:
    """COCO AP over the pictures; masks=False leaves out those of masks, which take longest.

    The model is left in the mode it came in. Raises ValueError where no picture has an object.
    """
    was_training = model.training
    model.eval()
    try:
        found = answers(model, pictures, batch_size=batch_size, masks=masks, bfloat16=bfloat16)
        return average_precision(list(found))
    finally:
        model.train(was_training)


def first_pictures(data: LabelledPictures, count: int | None = None) -> Iterator[LabelledPicture]:
    """The first `count` pictures, the same at every call; None for all of a data set that ends."""
    stop = data.length if count is None else min(count, data.length or count)
    assert stop is not None, "an endless data set needs a count"
    for index in range(stop):
        yield data.picture(index, np.random.default_rng(index))


def answers(
    model: Detector,
    pictures: Iterable[LabelledPicture],
    *,
    batch_size: int,
    masks: bool,
    bfloat16: bool,
) -> Iterator[Answer]:
    """What the model, in evaluation mode, says to each phrase of each picture."""
    size, mask_side = model.config.image_size, 4 * model.config.tokens_per_side
    tokenizer, stream, number = Tokenizer(), iter(pictures), 0
    while chunk := list(islice(stream, batch_size)):
        samples = [plain_sample(picture, size, mask_side) for picture in chunk]
        batch = collate(samples, tokenizer, mask_side)
        autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16)
        with torch.inference_mode(), autocast:
            output = model(batch.images, batch.token_ids, batch.image_index)
        prompt = 0
        for picture in chunk:
            for phrase in range(len(picture.phrases)):
                yield _answer(output, prompt, picture, phrase, number, masks=masks)
                prompt += 1
            number += 1


def _answer(
    output: DetectorOutput,
    prompt: int,
    picture: LabelledPicture,
    phrase: int,
    number: int,
    *,
    masks: bool,
) -> Answer:
    height, width = picture.image.shape[:2]
    score = output.logits[-1, prompt].float().sigmoid() * output.presence[-1, prompt].sigmoid()
    best = score.argsort(descending=True)[:MAX_DETECTIONS]
    best = best[score[best] > LEAST_SCORE]
    boxes = cxcywh_to_xyxy(output.boxes[-1, prompt, best].float()).clamp(0.0, 1.0)
    wanted = np.flatnonzero(picture.phrase == phrase)
    truth = picture.masks if masks else None
    return Answer(
        picture=number,
        phrase=picture.phrases[phrase],
        truth=Objects(
            boxes=picture.boxes[wanted],
            masks=None if truth is None else [truth[i] for i in wanted],
        ),
        ignore=picture.ignore[wanted],
        found=Objects(
            boxes=(boxes * torch.tensor([width, height, width, height])).numpy(),
            masks=None if truth is None else _upsampled(output.masks[prompt, best], height, width),
        ),
        scores=score[best].float().numpy(),
    )


def _upsampled(logits: Tensor, height: int, width: int) -> list[NDArray[np.bool_]]:
    """(K, h, w) -> K masks (height, width), whole ones: not cut to their boxes."""
    if len(logits) == 0:
        return []
    large = F.interpolate(
        logits[:, None].float(), size=(height, width), mode="bilinear", align_corners=False
    )
    return list((large[:, 0] > 0.0).numpy())

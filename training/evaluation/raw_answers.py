"""The network's raw output for one picture -> an answer for each phrase, as the runtime finds them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sam3_edge.engines.backend import RawOutput
from sam3_edge.runtime.postprocess import postprocess
from sam3_edge.training.evaluation.answers import Answer, Objects
from sam3_edge.training.evaluation.pictures import JudgedPicture

# Below this detections are many and far down the list: on 127 photos they gave 0.0002 of AP and
# 0.005 of AR.
LEAST_SCORE = 0.01


def raw_answers(
    output: RawOutput, picture: JudgedPicture, number: int, *, masks: bool
) -> Iterator[Answer]:
    """output: for the phrases of the picture, in their order. masks: judge those too, where the
    picture's are known; they are whole, not cut at their boxes.

    Raises EngineError if an output is not finite.
    """
    size = picture.image.shape[0], picture.image.shape[1]
    with_masks = masks and picture.masks is not None
    lowest = np.full(len(picture.phrases), LEAST_SCORE, dtype=np.float32)
    seen = output if with_masks else _without_masks(output)
    found = postprocess(seen, lowest, size, crop_masks=False)
    for index, phrase in enumerate(picture.phrases):
        mine = np.flatnonzero(found.prompt_index == index)
        chosen = tuple(found.masks[i].counts for i in mine) if with_masks else None
        truth = np.flatnonzero(picture.phrase == index)
        yield Answer(
            picture=number,
            path=picture.path,
            size=size,
            phrase=phrase,
            truth=_truth(picture, truth, with_masks=with_masks),
            ignore=picture.ignore[truth],
            found=Objects(boxes=found.boxes[mine].astype(np.float64), masks=chosen),
            scores=found.scores[mine].astype(np.float64),
            presence=float(found.presence[index]),
        )


def _truth(picture: JudgedPicture, chosen: NDArray[np.intp], *, with_masks: bool) -> Objects:
    masks = picture.masks if with_masks else None
    areas, mask_areas = picture.areas, picture.mask_areas
    return Objects(
        boxes=picture.boxes[chosen],
        masks=None if masks is None else tuple(masks[i] for i in chosen),
        areas=None if areas is None else areas[chosen],
        mask_areas=None if mask_areas is None else mask_areas[chosen],
    )


def _without_masks(output: RawOutput) -> RawOutput:
    """An empty one cell mask each, which costs nothing to enlarge."""
    cell = np.broadcast_to(np.float32(0.0), (*output.logits.shape, 1, 1))
    return RawOutput(
        logits=output.logits,
        presence=output.presence,
        boxes=output.boxes,
        masks=cell,
        vision_ms=output.vision_ms,
        decoder_ms=output.decoder_ms,
    )

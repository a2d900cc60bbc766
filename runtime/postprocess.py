"""The decoder's raw outputs -> detections in the original frame."""

import numpy as np
from numpy.typing import NDArray

from sam3_edge.engines.backend import RawOutput
from sam3_edge.errors import EngineError
from sam3_edge.runtime.detections import Detections
from sam3_edge.runtime.masks import logits_to_mask


def postprocess(
    output: RawOutput,
    thresholds: NDArray[np.float32],
    size: tuple[int, int],
    *,
    crop_masks: bool = True,
) -> Detections:
    """thresholds: (P,) float32, 0..1, the lowest score of each prompt. size: (H, W) of the frame.

    crop_masks: keep of each mask only what lies inside its box.
    A box without any area inside the frame is no detection.
    Raises EngineError if an output is not finite.
    """
    for name in ("logits", "presence", "boxes"):
        _check_finite(name, getattr(output, name))
    presence = sigmoid(output.presence)
    scores = sigmoid(output.logits) * presence
    boxes = to_pixels(output.boxes, size)
    has_area = (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])
    prompt, query = np.nonzero((scores >= thresholds[:, None]) & has_area)
    best = np.argsort(-scores[prompt, query], kind="stable")
    prompt, query = prompt[best], query[best]
    logits = output.masks[prompt, query]
    _check_finite("masks", logits)
    kept = boxes[prompt, query]
    windows = [tuple(box) if crop_masks else None for box in kept.tolist()]
    return Detections(
        boxes=kept,
        scores=scores[prompt, query],
        prompt_index=prompt.astype(np.int64),
        masks=tuple(logits_to_mask(m, size, w) for m, w in zip(logits, windows, strict=True)),
        presence=presence[:, 0],
    )


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """By tanh, which does not overflow."""
    shares: NDArray[np.float32] = 0.5 + 0.5 * np.tanh(0.5 * logits)
    return shares


def to_pixels(boxes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """(..., 4) cxcywh in 0..1 of the square -> xyxy pixels of the (H, W) frame, clipped to it.

    The square is the whole frame, squeezed: fractions of one are fractions of the other.
    """
    height, width = size
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    corners = np.concatenate((centre - half, centre + half), axis=-1).clip(0, 1)
    pixels: NDArray[np.float32] = corners * np.array([width, height] * 2, dtype=np.float32)
    return pixels


def _check_finite(name: str, values: NDArray[np.float32]) -> None:
    if not np.isfinite(values).all():
        raise EngineError(
            f"{name}: expected finite numbers from the decoder graph, got NaN or infinity; "
            "build the bundle again with `sam3-edge build`"
        )

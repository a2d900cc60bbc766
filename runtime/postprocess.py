"""The decoder's raw outputs -> detections in the original frame."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sam3_edge.engines.backend import RawOutput
from sam3_edge.errors import EngineError
from sam3_edge.runtime import _kernels
from sam3_edge.runtime.association import mask_iou, suppress
from sam3_edge.runtime.detections import Detections, Mask
from sam3_edge.runtime.masks import logits_to_mask, logits_to_rle

_ANY_OVERLAP = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """Of objects that overlap more than `iou`, 0..1, only the best is kept, whatever its prompt.

    of: what is compared, boxes or masks.
    """

    iou: float
    of: Literal["boxes", "masks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """N detections without masks, best first. boxes: (N, 4). The others: (N,)."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    prompts: NDArray[np.int64]
    queries: NDArray[np.int64]


def postprocess(
    output: RawOutput,
    thresholds: NDArray[np.float32],
    size: tuple[int, int],
    *,
    crop_masks: bool = True,
    mask_bits: bool = False,
    suppression: Suppression | None = None,
) -> Detections:
    """thresholds: (P,) float32, 0..1, the lowest score of each prompt. size: (H, W) of the frame.

    crop_masks: keep of each mask only what lies inside its box.
    mask_bits: make bits now, for who draws; else masks are RLE alone until bits are asked for.
    suppression: None keeps all that overlap.
    A box without any area inside the frame is no detection.
    Raises EngineError if an output is not finite.
    """
    for name in ("logits", "presence", "boxes"):
        _check_finite(name, getattr(output, name))
    of = None if suppression is None else suppression.of
    overlap = suppression.iou if suppression is not None and of == "boxes" else _ANY_OVERLAP
    kept = _decode(output, thresholds, size, overlap)
    windows = [tuple(box) if crop_masks else None for box in kept.boxes.tolist()]
    logits = [output.masks[where] for where in zip(kept.prompts, kept.queries, strict=True)]
    masks = []
    for values, window in zip(logits, windows, strict=True):
        _check_finite("masks", values)
        masks.append(_mask(values, size, window, bits=mask_bits))
    found = Detections(
        boxes=kept.boxes,
        scores=kept.scores,
        prompt_index=kept.prompts,
        masks=tuple(masks),
        presence=sigmoid(output.presence[:, 0]),
    )
    if suppression is None or of == "boxes":
        return found
    counts = [mask.counts for mask in masks]
    return _chosen(found, suppress(mask_iou(size, counts, counts), suppression.iou))


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


def _decode(
    output: RawOutput, thresholds: NDArray[np.float32], size: tuple[int, int], overlap: float
) -> _Kept:
    room = output.logits.size
    scores = np.empty(room, np.float32)
    boxes = np.empty((room, 4), np.float32)
    prompts, queries = np.empty((2, room), np.int64)
    count = _kernels.decode_outputs(
        scores, boxes, prompts, queries,
        output.logits, output.presence, output.boxes, thresholds, *size, overlap,
    )  # fmt: skip
    return _Kept(
        boxes=boxes[:count], scores=scores[:count], prompts=prompts[:count], queries=queries[:count]
    )


def _mask(
    logits: NDArray[np.float32],
    size: tuple[int, int],
    window: tuple[float, float, float, float] | None,
    *,
    bits: bool,
) -> Mask:
    counts = logits_to_rle(logits, size, window)
    if not bits:
        return Mask(size=size, counts=counts)
    mask = logits_to_mask(logits, size, window)
    return Mask(size=size, counts=counts, origin=mask.origin, bits=mask.bits)


def _chosen(found: Detections, rows: NDArray[np.int64]) -> Detections:
    return Detections(
        boxes=found.boxes[rows],
        scores=found.scores[rows],
        prompt_index=found.prompt_index[rows],
        masks=tuple(found.masks[row] for row in rows),
        presence=found.presence,
    )


def _check_finite(name: str, values: NDArray[np.float32]) -> None:
    if not np.isfinite(values).all():
        raise EngineError(
            f"{name}: expected finite numbers from the decoder graph, got NaN or infinity; "
            "build the bundle again with `sam3-edge build`"
        )

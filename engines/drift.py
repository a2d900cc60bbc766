"""Replaying a reference picture: is this engine still the model that was verified?"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sam3_edge.engines.backend import Backend, RawOutput
from sam3_edge.engines.references import References, detection_scores
from sam3_edge.errors import EngineError

# Beyond this a mask logit is certain (sigmoid < 1e-14 from 0 or 1), and FP16 storage is coarse.
_LARGEST_MASK_LOGIT = 32.0
# 1 - IoU plus the difference of scores; above it two detections are not the same object.
_SAME_DETECTION = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far one replay is from the reference.

    max_abs: by output of the decoder graph, over the detections both have, and "text_features"
        where text was encoded; infinite where an output is not finite.
    detections_matched: 0..1, share of the kept detections of either side the other has too.
    """

    max_abs: dict[str, float]
    detections_matched: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """The largest `Drift` that is not one."""

    max_abs: dict[str, float]
    detections_matched: float


# FP32 differs between processors by the order of sums; the others by rounding.
TOLERANCES: dict[Literal["fp32", "fp16", "int8"], Tolerance] = {
    "fp32": Tolerance(
        max_abs={
            "text_features": 1e-3,
            "logits": 1e-2,
            "presence": 1e-2,
            "boxes": 1e-3,
            "masks": 5e-2,
        },
        detections_matched=1.0,
    ),
    "fp16": Tolerance(
        max_abs={"text_features": 0.05, "logits": 0.3, "presence": 0.3, "boxes": 0.02, "masks": 3},
        detections_matched=0.95,
    ),
    "int8": Tolerance(
        max_abs={"text_features": 1.0, "logits": 2.0, "presence": 2.0, "boxes": 0.1, "masks": 20},
        detections_matched=0.8,
    ),
}


def replay(
    backend: Backend, references: References, image_index: int, *, encode_text: bool = False
) -> Drift:
    """Run one reference picture through slot 0 and compare. The slot must not be in flight.

    encode_text: check the text graph too; otherwise the stored text features are taken.
    """
    backend.image_slot(0)[...] = references.images[image_index]
    output = backend.submit(0, references.prompts()).result()
    drift = compare(output, references, image_index)
    if not encode_text:
        return drift
    text = replay_text(backend, references)
    return Drift(
        max_abs={**text.max_abs, **drift.max_abs}, detections_matched=drift.detections_matched
    )


def replay_text(backend: Backend, references: References) -> Drift:
    """The text graph alone, whatever is in flight."""
    text = backend.encode_text(references.token_ids)
    words = ~references.text_mask
    difference = _max_abs(text.features[words], references.text_features[words])
    if not np.array_equal(text.mask, references.text_mask):
        difference = float("inf")
    return Drift(max_abs={"text_features": difference}, detections_matched=1.0)


def compare(output: RawOutput, references: References, image_index: int) -> Drift:
    """`output` against the reference of one picture, prompt by prompt.

    Detections are matched rather than queries: where queries come from the best proposals,
    a difference in the last bit may swap two of them.
    """
    if not all(np.isfinite(x).all() for x in (output.logits, output.presence, output.boxes)):
        lost = dict.fromkeys(("logits", "presence", "boxes", "masks"), float("inf"))
        return Drift(max_abs=lost, detections_matched=0.0)
    presence = references.presence[image_index]
    expected = detection_scores(references.logits[image_index], presence)
    got = detection_scores(output.logits, output.presence)
    largest = {
        "logits": 0.0,
        "presence": _max_abs(output.presence, presence),
        "boxes": 0.0,
        "masks": 0.0,
    }
    num_matched = num_kept = 0
    for prompt in range(len(expected)):
        boxes = references.boxes[image_index, prompt]
        cost = _pair_cost(boxes, expected[prompt], output.boxes[prompt], got[prompt])
        theirs = np.flatnonzero(expected[prompt] >= references.threshold)
        ours = np.flatnonzero(got[prompt] >= references.threshold)
        twins = cost[theirs].argmin(axis=1)
        matched = cost[theirs, twins] <= _SAME_DETECTION
        num_kept += len(theirs) + len(ours)
        num_matched += int(matched.sum())
        num_matched += int((cost[:, ours].min(axis=0) <= _SAME_DETECTION).sum())
        for query, twin in zip(theirs[matched], twins[matched], strict=True):
            where = (image_index, prompt, int(query))
            for name, difference in _differences(output, (prompt, twin), references, where).items():
                largest[name] = max(largest[name], difference)
    return Drift(max_abs=largest, detections_matched=num_matched / num_kept if num_kept else 1.0)


def check_drift(drift: Drift, precision: Literal["fp32", "fp16", "int8"]) -> None:
    """Raises EngineError if `drift` is more than rounding at this precision explains."""
    tolerance = TOLERANCES[precision]
    advice = "stop using this engine, and build or export it again"
    for name, got in drift.max_abs.items():
        limit = tolerance.max_abs[name]
        if not got <= limit:  # NaN too
            raise EngineError(
                f"the engine has drifted from its {precision} reference: {name}: expected max "
                f"difference <= {limit:g}, got {got:.3g}; {advice}"
            )
    if drift.detections_matched < tolerance.detections_matched:
        raise EngineError(
            f"the engine has drifted from its {precision} reference: expected at least "
            f"{tolerance.detections_matched:.0%} of detections to match, got "
            f"{drift.detections_matched:.0%}; {advice}"
        )


def _pair_cost(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float64],
    other_boxes: NDArray[np.float32],
    other_scores: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(Q, Q): 1 - IoU plus the difference of scores. Boxes are cxcywh."""
    low, high = _corners(boxes)
    other_low, other_high = _corners(other_boxes)
    overlap = np.minimum(high[:, None], other_high) - np.maximum(low[:, None], other_low)
    intersection = overlap.clip(0).prod(axis=2)
    area, other_area = (high - low).prod(axis=1), (other_high - other_low).prod(axis=1)
    union = area[:, None] + other_area - intersection
    iou = intersection / np.maximum(union, 1e-12)
    cost: NDArray[np.float64] = 1 - iou + np.abs(scores[:, None] - other_scores)
    return cost


def _corners(boxes: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    centre, half = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64) / 2
    return centre - half, centre + half


def _differences(
    output: RawOutput,
    twin: tuple[int, int],
    references: References,
    where: tuple[int, int, int],
) -> dict[str, float]:
    """Of one detection and its reference. A mask is compared where one was stored."""
    found = {
        "logits": _max_abs(output.logits[twin], references.logits[where]),
        "boxes": _max_abs(output.boxes[twin], references.boxes[where]),
    }
    stored = np.flatnonzero((references.mask_index == np.array(where)).all(axis=1))
    if len(stored):
        limit = _LARGEST_MASK_LOGIT
        reference = references.masks[stored[0]].astype(np.float32).clip(-limit, limit)
        found["masks"] = _max_abs(output.masks[twin].clip(-limit, limit), reference)
    return found


def _max_abs(values: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    difference = np.abs(np.asarray(values, np.float64) - other)
    largest = float(difference.max(initial=0.0))
    return largest if np.isfinite(largest) else float("inf")

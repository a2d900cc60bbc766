"""Do two engines find the same things? Detections of the whole chain, matched one to one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3_edge.engines.backend import RawOutput
from sam3_edge.engines.manifest import DetectionAgreement
from sam3_edge.engines.references import References, detection_scores
from sam3_edge.export.assignment import best_pairs
from sam3_edge.export.tolerances import PARTNER_IOU, PARTNER_SCORE, REFERENCE_SCORE


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceOutput:
    """What the trusted engine makes of one picture.

    scores: (P, Q) float64, 0..1. presence: (P,) float64, 0..1. boxes: (P, Q, 4), cxcywh.
    masks: (4s, 4s) bool by (prompt, query), of its detections as far as they are known.
    """

    scores: NDArray[np.float64]
    presence: NDArray[np.float64]
    boxes: NDArray[np.float32]
    masks: dict[tuple[int, int], NDArray[np.bool_]]


def reference_output(
    logits: NDArray[np.float32],
    presence: NDArray[np.float32],
    boxes: NDArray[np.float32],
    masks: NDArray[np.float32],
) -> ReferenceOutput:
    """From the decoder graph's outputs for one picture."""
    scores = detection_scores(logits, presence)
    kept = [(int(p), int(q)) for p, q in np.argwhere(scores >= REFERENCE_SCORE)]
    return ReferenceOutput(
        scores=scores,
        presence=_sigmoid(presence[:, 0]),
        boxes=boxes,
        masks={place: masks[place] > 0 for place in kept},
    )


def stored_output(references: References, image: int) -> ReferenceOutput:
    """From what a bundle carries: masks only of the detections it kept."""
    mine = np.flatnonzero(references.mask_index[:, 0] == image)
    places = [(int(p), int(q)) for p, q in references.mask_index[mine, 1:]]
    return ReferenceOutput(
        scores=detection_scores(references.logits[image], references.presence[image]),
        presence=_sigmoid(references.presence[image, :, 0]),
        boxes=references.boxes[image],
        masks={p: references.masks[i] > 0 for p, i in zip(places, mine, strict=True)},
    )


class DetectionTally:
    """Collects picture after picture. finite: whether every output so far was."""

    def __init__(self) -> None:
        self._num_reference = self._num_matched = 0
        self._num_found = self._num_extra = 0
        self._scores: list[float] = []
        self._box_ious: list[float] = []
        self._mask_ious: list[float] = []
        self._presence = 0.0
        self.finite = True

    def add(self, expected: ReferenceOutput, got: RawOutput) -> None:
        arrays = (got.logits, got.presence, got.boxes, got.masks)
        self.finite &= all(bool(np.isfinite(array).all()) for array in arrays)
        scores = detection_scores(got.logits, got.presence)
        apart = np.abs(_sigmoid(got.presence[:, 0]) - expected.presence)
        self._presence = float(np.maximum(self._presence, apart.max(initial=0.0)))  # keeps NaN
        for prompt in range(len(scores)):
            self._add_prompt(expected, got, scores[prompt], prompt)

    @property
    def extra(self) -> float:
        """Share of the engine's own detections that the reference has not, 0..1."""
        return self._num_extra / self._num_found if self._num_found else 0.0

    def result(self) -> DetectionAgreement:
        counted = self._num_reference
        return DetectionAgreement(
            reference_detections=counted,
            matched=self._num_matched / counted if counted else None,
            score_difference=_median(self._scores),
            box_iou=_median(self._box_ious),
            mask_iou=_median(self._mask_ious),
            presence_difference=self._presence if np.isfinite(self._presence) else None,
        )

    def _add_prompt(
        self, expected: ReferenceOutput, got: RawOutput, scores: NDArray[np.float64], prompt: int
    ) -> None:
        reference = expected.scores[prompt]
        iou = box_iou(expected.boxes[prompt], got.boxes[prompt])
        wanted = np.flatnonzero(reference >= REFERENCE_SCORE)
        queries, partners = _partners(iou, wanted, np.flatnonzero(scores >= PARTNER_SCORE))
        self._num_reference += len(wanted)
        self._num_matched += len(queries)
        self._scores += np.abs(reference[queries] - scores[partners]).tolist()
        self._box_ious += iou[queries, partners].tolist()
        for query, partner in zip(queries, partners, strict=True):
            mask = expected.masks.get((prompt, int(query)))
            if mask is not None:
                self._mask_ious.append(_mask_iou(mask, got.masks[prompt, partner] > 0))
        found = np.flatnonzero(scores >= REFERENCE_SCORE)
        known = _partners(iou, np.flatnonzero(reference >= PARTNER_SCORE), found)[1]
        self._num_found += len(found)
        self._num_extra += len(found) - len(known)


def box_iou(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, 4) and (M, 4) cxcywh -> (N, M); 0 where a box is not finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        low, high = _corners(boxes)
        other_low, other_high = _corners(others)
        sides = np.minimum(high[:, None], other_high) - np.maximum(low[:, None], other_low)
        common = sides.clip(0).prod(axis=2)
        area, other_area = (high - low).prod(axis=1), (other_high - other_low).prod(axis=1)
        iou = common / np.maximum(area[:, None] + other_area - common, 1e-12)
    return np.where(np.isfinite(iou), iou, 0.0)


def _partners(
    iou: NDArray[np.float64], wanted: NDArray[np.intp], offered: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The most pairs at PARTNER_IOU, and of as many those with the largest sum."""
    among = iou[np.ix_(wanted, offered)]
    able = among >= PARTNER_IOU
    rows, columns = best_pairs(np.where(able, -len(iou) - among, 0.0))
    pairs = able[rows, columns]
    return wanted[rows[pairs]], offered[columns[pairs]]


def _mask_iou(mask: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    union = int(np.count_nonzero(mask | other))
    return int(np.count_nonzero(mask & other)) / union if union else 1.0


def _corners(boxes: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    centre, half = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64) / 2
    return centre - half, centre + half


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    return 0.5 + 0.5 * np.tanh(0.5 * logits.astype(np.float64))


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None

"""Which found object is which true one, one to one, as SAM 3's own evaluation matches them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from sam3_edge.training.evaluation.answers import Answer
from sam3_edge.training.evaluation.regions import Kind, ignored, overlaps, to_regions

IOUS = np.linspace(0.5, 0.95, 10)
SCORE_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """Of one answer, at one score threshold.

    truth, found: which of the answer's objects took part, indices: true ones that are not to be
    ignored, found ones that score enough. partner: (len(found),) index into `truth`, -1 for none.
    iou: (len(found),) with the partner, 0 for none. excused: (len(found),) the largest share of
    the found object that lies in one to be ignored.
    """

    truth: NDArray[np.intp]
    found: NDArray[np.intp]
    partner: NDArray[np.intp]
    iou: NDArray[np.float64]
    excused: NDArray[np.float64]

    def right(self, iou: float) -> NDArray[np.bool_]:
        """(len(found),) bool."""
        return (self.partner >= 0) & (self.iou >= iou)

    def false(self, iou: float) -> NDArray[np.bool_]:
        """(len(found),) bool: neither right nor, as much as `iou` asks, in an ignored object."""
        return ~self.right(iou) & (self.excused < iou)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """(10,) int64 each, at the IoU thresholds 0.50 to 0.95."""

    right: NDArray[np.int64]
    false: NDArray[np.int64]
    missed: NDArray[np.int64]


def match(answer: Answer, kind: Kind, least_score: float = SCORE_THRESHOLD) -> Matches:
    """The one-to-one matching whose summed IoU is largest, of what scores `least_score` or more."""
    skipped = ignored(answer, kind)
    truth, found = np.flatnonzero(~skipped), np.flatnonzero(answer.scores >= least_score)
    true_regions = to_regions(answer.truth, answer.size, kind)
    found_regions = to_regions(answer.found, answer.size, kind)
    chosen = [found_regions[i] for i in found]
    iou = overlaps(chosen, [true_regions[i] for i in truth], np.zeros(len(truth), dtype=np.bool_))
    places = np.flatnonzero(skipped)
    crowd = overlaps(chosen, [true_regions[i] for i in places], np.ones(len(places), np.bool_))
    partner, reached = np.full(len(found), -1, dtype=np.intp), np.zeros(len(found))
    rows, columns = linear_sum_assignment(iou, maximize=True)
    partner[rows], reached[rows] = columns, iou[rows, columns]
    return Matches(
        truth=truth,
        found=found,
        partner=partner,
        iou=reached,
        excused=crowd.max(axis=1, initial=0.0),
    )


def count(matches: Sequence[Matches]) -> Counts:
    """Summed over answers."""
    right = np.zeros(len(IOUS), dtype=np.int64)
    false, missed = right.copy(), right.copy()
    for one in matches:
        hits = np.array([int(one.right(iou).sum()) for iou in IOUS])
        right += hits
        missed += len(one.truth) - hits
        false += np.array([int(one.false(iou).sum()) for iou in IOUS])
    return Counts(right=right, false=false, missed=missed)

"""SAM 3's measures of promptable segmentation, and how well a model knows that a thing is there.

After "SAM 3: Segment Anything with Concepts" (Carion et al., 2025) and the reference's
sam3/eval/cgf1_eval.py. A pair is one phrase asked about one picture; it is positive where an
object is to be found. Predictions are found objects that score at least 0.5.

pmF1, positive micro F1: over the positive pairs, each matched one to one with the largest summed
    IoU, TP(t), FP(t) and FN(t) are counted together, at IoU t or more. Then
    F1(t) = 2 TP / (2 TP + FP + FN), and pmF1 is its mean over t = 0.50, 0.55 ... 0.95.
IL_MCC, image level Matthews correlation: over all pairs, of "has an object" with "has a
    prediction": (TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN)), -1..1. It is 0
    where a factor is 0, to which the reference's small constants lead as well.
cgF1, classification-gated F1: pmF1 * IL_MCC.

Everything here is a fraction; the paper and the reference's tables give cgF1 = 100 pmF1 IL_MCC.
The reference adds 1e-4 to the denominators of precision and recall; here they are exact.
Objects to be ignored, of which its data have none: a prediction that is left over and lies in
one is not counted, and a pair that has no other objects is left out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3_edge.training.evaluation.answers import Answer
from sam3_edge.training.evaluation.matches import SCORE_THRESHOLD, count, match
from sam3_edge.training.evaluation.regions import Kind, ignored, judged

PRESENCE_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceScores:
    """positives, negatives: pairs with and without an object; others are left out.

    il_mcc: None where there is no pair. presence_mcc: the same correlation, of "presence of at
        least 0.5" instead of "has a prediction": what the presence token alone knows.
    balanced_accuracy: (share of positives with presence of at least 0.5 + share of negatives
        below it) / 2; None without positives or without negatives.
    fitted_threshold, fitted_balanced_accuracy: the presence that separates these very pairs best,
        and how well: no measure of anything new.
    """

    positives: int
    negatives: int
    il_mcc: float | None
    presence_mcc: float | None
    balanced_accuracy: float | None
    fitted_threshold: float | None
    fitted_balanced_accuracy: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConceptScores:
    """Of boxes or of masks. pmf1: 0..1, None without a positive pair. cgf1: pmf1 * IL_MCC."""

    pmf1: float | None
    cgf1: float | None


def presence_scores(answers: Sequence[Answer]) -> PresenceScores:
    known = _known(answers, "bbox")
    there = np.array([_is_positive(a, "bbox") for a in known], dtype=np.bool_)
    presence = np.array([a.presence for a in known], dtype=np.float64)
    threshold = _fit_threshold(there, presence)
    return PresenceScores(
        positives=int(there.sum()),
        negatives=int((~there).sum()),
        il_mcc=_image_level(known, "bbox"),
        presence_mcc=matthews(there, presence >= PRESENCE_THRESHOLD) if known else None,
        balanced_accuracy=_balanced_accuracy(there, presence >= PRESENCE_THRESHOLD),
        fitted_threshold=threshold,
        fitted_balanced_accuracy=(
            None if threshold is None else _balanced_accuracy(there, presence >= threshold)
        ),
    )


def concept_scores(answers: Sequence[Answer], kind: Kind) -> ConceptScores:
    """Answers without truth of this kind do not count."""
    known = _known(judged(answers, kind), kind)
    counts = count([match(answer, kind) for answer in known if _is_positive(answer, kind)])
    together = 2 * counts.right + counts.false + counts.missed
    if not together.all():  # no object to find: at every IoU or at none
        return ConceptScores(pmf1=None, cgf1=None)
    pmf1 = float((2 * counts.right / together).mean())
    correlation = _image_level(known, kind)
    assert correlation is not None
    return ConceptScores(pmf1=pmf1, cgf1=pmf1 * correlation)


def matthews(there: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float:
    """there, predicted: (N,) bool."""
    right, true_negatives = int((there & predicted).sum()), int((~there & ~predicted).sum())
    false, missed = int((~there & predicted).sum()), int((there & ~predicted).sum())
    factors = (
        (right + false) * (right + missed) * (true_negatives + false) * (true_negatives + missed)
    )
    return (right * true_negatives - false * missed) / math.sqrt(factors) if factors else 0.0


def _known(answers: Sequence[Answer], kind: Kind) -> list[Answer]:
    """Without the pairs in which all objects are to be ignored."""
    return [a for a in answers if not len(a.truth) or _is_positive(a, kind)]


def _is_positive(answer: Answer, kind: Kind) -> bool:
    return not bool(ignored(answer, kind).all())


def _image_level(known: Sequence[Answer], kind: Kind) -> float | None:
    if not known:
        return None
    there = np.array([_is_positive(a, kind) for a in known], dtype=np.bool_)
    predicted = np.array([bool((a.scores >= SCORE_THRESHOLD).any()) for a in known], dtype=np.bool_)
    return matthews(there, predicted)


def _balanced_accuracy(there: NDArray[np.bool_], said: NDArray[np.bool_]) -> float | None:
    if there.all() or not there.any():
        return None
    return float((said[there].mean() + (~said[~there]).mean()) / 2.0)


def _fit_threshold(there: NDArray[np.bool_], presence: NDArray[np.float64]) -> float | None:
    """The middle between two values; of equally good ones the nearest to 0.5."""
    if there.all() or not there.any():
        return None
    values = np.unique(presence)
    middles = np.concatenate(([0.0], (values[1:] + values[:-1]) / 2.0, [1.0]))
    positives, negatives = np.sort(presence[there]), np.sort(presence[~there])
    hits = 1.0 - np.searchsorted(positives, middles, side="left") / len(positives)
    spared = np.searchsorted(negatives, middles, side="left") / len(negatives)
    accuracy = hits + spared
    best = middles[accuracy >= accuracy.max() - 1e-12]
    return float(best[np.abs(best - PRESENCE_THRESHOLD).argmin()])

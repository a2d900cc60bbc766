"""How often a phrase is found in pictures that do not show it, at thresholds fitted elsewhere.

A pair is one phrase asked about one picture. A false alarm is an object found in a pair without any,
whose score reaches the phrase's threshold: the one that gives the best F1 on a set that shows the
phrase, as `sam3-edge export --vocabulary` gives it to a bundle. Several objects in one picture are
several alarms, so the rate can exceed 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3_edge.training.evaluation.answers import Answer
from sam3_edge.training.evaluation.report import Report
from sam3_edge.training.evaluation.vocabulary import NO_THRESHOLD

# By phrase, the scores found in each picture without it: (M,) float64, 0..1.
AbsentScores = dict[str, list[NDArray[np.float64]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """score: 0..1. fitted_on: name of the set, None where no set shows the phrase."""

    score: float
    fitted_on: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseAlarms:
    """pairs: pictures and phrases asked about them that they do not show, at least one. alarms:
    objects found there. phrases: the rate of each phrase with such a pair.
    """

    pairs: int
    alarms: int
    phrases: dict[str, float]

    @property
    def rate(self) -> float:
        return self.alarms / self.pairs


def absent_scores(answers: Sequence[Answer]) -> AbsentScores:
    """Pairs whose objects are all to be ignored are not absent, and not in it."""
    scores: AbsentScores = {}
    for answer in answers:
        if not len(answer.truth):
            scores.setdefault(answer.phrase, []).append(answer.scores)
    return scores


def fit_thresholds(reports: Mapping[str, Report], first: str | None = None) -> dict[str, Threshold]:
    """For every phrase asked of any set, from the first set that shows it: `first`, then in order.

    Where nothing right was found, and where no set shows the phrase, NO_THRESHOLD.
    """
    order = sorted(reports, key=lambda name: name != first)
    thresholds: dict[str, Threshold] = {}
    for name in order:
        for phrase, one in reports[name].phrases.items():
            if one.boxes.objects and phrase not in thresholds:
                found = one.boxes.threshold
                score = NO_THRESHOLD if found is None else found
                thresholds[phrase] = Threshold(score=score, fitted_on=name)
    unfitted = Threshold(score=NO_THRESHOLD, fitted_on=None)
    asked = [phrase for name in order for phrase in reports[name].phrases]
    return {phrase: thresholds.get(phrase, unfitted) for phrase in asked}


def false_alarms(absent: AbsentScores, thresholds: Mapping[str, Threshold]) -> FalseAlarms | None:
    """thresholds: of every phrase in `absent`. None where every phrase is in every picture."""
    if not absent:
        return None
    alarms = {
        phrase: sum(int((found >= thresholds[phrase].score).sum()) for found in scores)
        for phrase, scores in absent.items()
    }
    return FalseAlarms(
        pairs=sum(map(len, absent.values())),
        alarms=sum(alarms.values()),
        phrases={phrase: alarms[phrase] / len(scores) for phrase, scores in absent.items()},
    )

"""The answers that are most wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sam3_edge.training.evaluation.answers import Answer
from sam3_edge.training.evaluation.matches import SCORE_THRESHOLD, Matches, match
from sam3_edge.training.evaluation.report import Report

IOU = 0.5
BADNESS = (
    "Badness is the number of missed objects plus the scores of the false ones, at IoU 0.50 of "
    "boxes, of what scores at least the phrase's threshold."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """threshold: the score from which found objects count. missed, wrong: indices into the
    answer's truth and found objects. right: found ones. badness: see BADNESS.
    """

    answer: Answer
    threshold: float
    missed: tuple[int, ...]
    wrong: tuple[int, ...]
    right: tuple[int, ...]
    badness: float


def worst_cases(answers: Sequence[Answer], report: Report, count: int) -> list[Case]:
    """At most `count`, the worst first; none in which nothing is wrong."""
    thresholds = phrase_thresholds(report)
    cases = [_case(answer, thresholds[answer.phrase]) for answer in answers]
    wrong = [case for case in cases if case.badness > 0.0]
    return sorted(wrong, key=lambda case: -case.badness)[:count]


def phrase_thresholds(report: Report) -> Mapping[str, float]:
    """The best F1's; 0.5 for a phrase of which nothing right was found."""
    found = {text: one.boxes.threshold for text, one in report.phrases.items()}
    return {text: SCORE_THRESHOLD if t is None else t for text, t in found.items()}


def _case(answer: Answer, threshold: float) -> Case:
    one = match(answer, "bbox", threshold)
    missed, wrong = _missed(one), tuple(one.found[one.false(IOU)].tolist())
    return Case(
        answer=answer,
        threshold=threshold,
        missed=missed,
        wrong=wrong,
        right=tuple(one.found[one.right(IOU)].tolist()),
        badness=len(missed) + float(answer.scores[list(wrong)].sum()),
    )


def _missed(one: Matches) -> tuple[int, ...]:
    hit = set(one.partner[one.right(IOU)].tolist())
    return tuple(int(i) for k, i in enumerate(one.truth) if k not in hit)

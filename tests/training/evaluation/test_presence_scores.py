"""pmF1, IL_MCC, cgF1 and presence, each worked out by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from sam3_edge.training.evaluation.answers import Answer
from sam3_edge.training.evaluation.matches import IOUS, count, match
from sam3_edge.training.evaluation.presence_scores import (
    concept_scores,
    matthews,
    presence_scores,
)
from sam3_edge.training.evaluation.regions import Kind

Ask = Callable[..., Answer]
A, B, FAR = [10, 10, 50, 40], [60, 20, 90, 70], [1, 60, 9, 79]
LOOSE = [10, 10, 50, 50]  # IoU 0.75 with A
KINDS: tuple[Kind, ...] = ("bbox", "segm")


def bits(text: str) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    return np.array([letter == "1" for letter in text])


def test_the_thresholds_are_cocos() -> None:
    assert IOUS.tolist() == pytest.approx([0.5 + 0.05 * i for i in range(10)])


@pytest.mark.parametrize("kind", KINDS)
def test_by_hand(ask: Ask, kind: Kind) -> None:
    """Two positive pairs and three negative ones.

    Up to IoU 0.75, six of ten: TP 2, FP 0, FN 1, so F1 = 4 / 5; above: TP 1, FP 1, FN 2, 2 / 5.
    Over pairs: TP 1, FN 1, FP 1, TN 2, so MCC = (1 * 2 - 1 * 1) / sqrt(2 * 2 * 3 * 3).
    """
    answers = [
        ask([A, B], [LOOSE, B, FAR], [0.9, 0.6, 0.49]),
        ask([A], [A], [0.4], picture=1),
        ask([], [A], [0.8], picture=2),
        ask([], [A], [0.3], picture=3),
        ask([], [], [], picture=4),
    ]
    scores, presence = concept_scores(answers, kind), presence_scores(answers)
    assert scores.pmf1 == pytest.approx(0.6 * 0.8 + 0.4 * 0.4)
    assert presence.il_mcc == pytest.approx(1 / 6)
    assert scores.cgf1 == pytest.approx(0.64 / 6)
    assert (presence.positives, presence.negatives) == (2, 3)


def test_all_right_is_one(ask: Ask) -> None:
    answers = [ask([A, B], [B, A], [0.9, 0.5]), ask([], [], [], picture=1)]
    for kind in KINDS:
        scores = concept_scores(answers, kind)
        assert (scores.pmf1, scores.cgf1) == pytest.approx((1.0, 1.0))


def test_the_matching_is_the_best_in_sum_and_not_greedy(ask: Ask) -> None:
    """IoU of the first found one 0.95 and 0.86, of the second 0.67 and 0.54."""
    strip = [[0, 0, 100, 10], [0, 1, 100, 11]]
    found = [[0, 0, 100, 10.5], [0, -2, 100, 8]]
    one = match(ask(strip, found, [0.9, 0.8], masks=False), "bbox")
    assert one.partner.tolist() == [1, 0]
    assert one.right(0.5).all()
    assert not one.false(0.5).any()


def test_counts_at_each_iou(ask: Ask) -> None:
    counts = count([match(ask([A, B], [LOOSE, FAR], [0.9, 0.8]), "bbox")])
    assert counts.right.tolist() == [1] * 6 + [0] * 4
    assert counts.false.tolist() == [1] * 6 + [2] * 4
    assert counts.missed.tolist() == [1] * 6 + [2] * 4


def test_no_predictions(ask: Ask) -> None:
    answers = [ask([A], [], []), ask([], [], [], picture=1)]
    scores = concept_scores(answers, "bbox")
    assert (scores.pmf1, scores.cgf1) == (0.0, 0.0)
    assert presence_scores(answers).il_mcc == 0.0


def test_no_positives(ask: Ask) -> None:
    answers = [ask([], [A], [0.9], presence=0.9), ask([], [], [], picture=1, presence=0.1)]
    scores, presence = concept_scores(answers, "bbox"), presence_scores(answers)
    assert (scores.pmf1, scores.cgf1) == (None, None)
    assert (presence.il_mcc, presence.balanced_accuracy) == (0.0, None)
    assert (presence.fitted_threshold, presence.fitted_balanced_accuracy) == (None, None)


def test_no_answers() -> None:
    assert concept_scores([], "segm").cgf1 is None
    assert presence_scores([]).il_mcc is None


def test_all_wrong_is_minus_one(ask: Ask) -> None:
    answers = [ask([A], [], []), ask([], [A], [0.9], picture=1)]
    assert presence_scores(answers).il_mcc == pytest.approx(-1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_to_be_ignored_costs_and_gains_nothing(ask: Ask, kind: Kind) -> None:
    plain = [ask([A], [A], [0.9]), ask([], [], [], picture=1)]
    inside = [62, 22, 88, 68]  # in B, and small: IoU is not what decides
    more = [
        ask([A, B], [A, inside], [0.9, 0.9], ignore=[False, True]),
        ask([], [], [], picture=1),
        ask([B], [B], [0.9], picture=2, ignore=[True]),  # neither positive nor negative
    ]
    for answers in (plain, more):
        assert concept_scores(answers, kind).cgf1 == pytest.approx(1.0)
        presence = presence_scores(answers)
        assert (presence.positives, presence.negatives, presence.il_mcc) == (1, 1, 1.0)


def test_masks_that_are_not_known_are_not_judged(ask: Ask) -> None:
    answers = [ask([A], [A], [0.9], masks=False), ask([], [], [], picture=1, masks=False)]
    assert concept_scores(answers, "segm").pmf1 is None
    assert concept_scores(answers, "bbox").pmf1 == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("there", "predicted", "expected"),
    [
        ("1100", "1100", 1.0),
        ("1100", "0011", -1.0),
        ("1111", "1111", 0.0),
        ("1100", "0000", 0.0),
        ("110", "100", 1 / 2),  # TP 1, FN 1, TN 1: 1 / sqrt(1 * 2 * 1 * 2)
        ("11100", "11010", 1 / 6),  # TP 2, FN 1, FP 1, TN 1: (2 - 1) / sqrt(3 * 3 * 2 * 2)
    ],
)
def test_matthews(there: str, predicted: str, expected: float) -> None:
    assert matthews(bits(there), bits(predicted)) == pytest.approx(expected)
    assert matthews(bits(predicted), bits(there)) == pytest.approx(expected)


def test_balanced_accuracy_weighs_present_and_absent_alike(ask: Ask) -> None:
    """Of two present both, of four absent one: (1 + 1/4) / 2."""
    said = [(True, 0.5), (True, 0.9), (False, 0.4), (False, 0.5), (False, 0.6), (False, 0.9)]
    answers = [
        ask([A] if there else [], [], [], picture=i, presence=presence)
        for i, (there, presence) in enumerate(said)
    ]
    scores = presence_scores(answers)
    assert scores.balanced_accuracy == pytest.approx(5 / 8)
    # TP 2, TN 1, FP 3, and no prediction at all: 2 / sqrt(5 * 2 * 4 * 1)
    assert scores.presence_mcc == pytest.approx(40**-0.5 * 2)
    assert scores.il_mcc == 0.0


def test_the_fitted_threshold_separates_best(ask: Ask) -> None:
    """Between 0.2 and 0.3: both present ones and two of three absent ones."""
    said = [(True, 0.3), (True, 0.4), (False, 0.1), (False, 0.2), (False, 0.9)]
    answers = [
        ask([A] if there else [], [], [], picture=i, presence=presence)
        for i, (there, presence) in enumerate(said)
    ]
    scores = presence_scores(answers)
    assert scores.fitted_threshold == pytest.approx(0.25)
    assert scores.fitted_balanced_accuracy == pytest.approx((1 + 2 / 3) / 2)
    assert scores.balanced_accuracy == pytest.approx((0 + 2 / 3) / 2)


def test_every_threshold_was_tried(ask: Ask) -> None:
    """No presence value separates random pairs better than the fitted one."""
    rng = np.random.default_rng(3)
    answers = [
        ask([A] if rng.random() < 0.3 else [], [], [], picture=i, presence=float(rng.random()))
        for i in range(60)
    ]
    there = np.array([len(answer.truth) > 0 for answer in answers])
    presence = np.array([answer.presence for answer in answers])
    tried = [
        ((presence >= t)[there].mean() + (presence < t)[~there].mean()) / 2
        for t in np.linspace(0, 1, 2001)
    ]
    fitted = presence_scores(answers).fitted_balanced_accuracy
    assert fitted is not None
    assert math.isclose(fitted, max(tried))

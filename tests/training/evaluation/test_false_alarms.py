"""False alarms are counted where a phrase is absent, at thresholds of the set that shows it first."""

import io
import json
from collections.abc import Callable

import pytest
from rich.console import Console

from sam3_edge.training.evaluation.answers import Answer
from sam3_edge.training.evaluation.false_alarms import (
    Threshold,
    absent_scores,
    false_alarms,
    fit_thresholds,
)
from sam3_edge.training.evaluation.pictures import ScenePictures
from sam3_edge.training.evaluation.report import Report, make_report
from sam3_edge.training.evaluation.sets_report import (
    LISTED,
    JudgedSet,
    SetsReport,
    sets_to_json,
    show_sets,
)
from sam3_edge.training.evaluation.vocabulary import NO_THRESHOLD

Ask = Callable[..., Answer]
A, B, FAR = [10, 10, 50, 40], [60, 20, 90, 70], [1, 60, 9, 79]


def report(*answers: Answer) -> Report:
    return make_report(answers, model="m", pictures=ScenePictures(2))


def test_objects_in_pictures_without_the_phrase_are_alarms(ask: Ask) -> None:
    answers = [
        ask([A], [A, FAR], [0.9, 0.8]),  # present: what else is found there is no alarm
        ask([], [A, B, FAR], [0.6, 0.5, 0.4], picture=1),
        ask([A], [FAR], [0.9], picture=2, ignore=[True]),  # neither present nor absent
        ask([], [], [], picture=3),
        ask([], [FAR], [0.9], phrase="crab"),
    ]
    thresholds = {
        "fish": Threshold(score=0.5, fitted_on="a"),
        "crab": Threshold(score=0.95, fitted_on=None),
    }
    found = false_alarms(absent_scores(answers), thresholds)
    assert found is not None
    assert (found.pairs, found.alarms) == (3, 2)
    assert found.rate == pytest.approx(2 / 3)
    assert found.phrases == {"fish": 1.0, "crab": 0.0}
    assert false_alarms(absent_scores(answers[:1]), thresholds) is None


def test_thresholds_are_of_the_first_set_that_shows_the_phrase(ask: Ask) -> None:
    reports = {
        "a": report(ask([A], [A], [0.7]), ask([], [FAR], [0.9], phrase="crab")),
        "b": report(ask([A], [A], [0.3]), ask([A], [A], [0.2], phrase="crab")),
        "c": report(ask([], [A], [0.8], phrase="eel"), ask([A], [FAR], [0.8], phrase="ray")),
    }
    in_order = fit_thresholds(reports)
    assert {phrase: one.fitted_on for phrase, one in in_order.items()} == {
        "fish": "a", "crab": "b", "eel": None, "ray": "c",
    }  # fmt: skip
    assert in_order["fish"].score == pytest.approx(0.7)
    assert in_order["crab"].score == pytest.approx(0.2)
    # Never shown, and shown but never found.
    assert in_order["eel"].score == in_order["ray"].score == NO_THRESHOLD
    other = fit_thresholds(reports, "b")["fish"]
    assert other.fitted_on == "b"
    assert other.score == pytest.approx(0.3)
    assert fit_thresholds(reports, "c")["fish"].fitted_on == "a"


def test_the_table_and_its_json_hold_every_set(ask: Ask) -> None:
    words = [f"thing {number}" for number in range(LISTED + 3)]
    answers = [ask([A], [A], [0.7]), *(ask([], [FAR], [0.9], phrase=word) for word in words)]
    reports = {"reef": report(*answers), "pier": report(ask([A], [A], [0.6], masks=False))}
    thresholds = fit_thresholds(reports)
    sets = {
        name: JudgedSet(
            report=one,
            false_alarms=false_alarms(absent_scores(answers), thresholds)
            if name == "reef"
            else None,
        )
        for name, one in reports.items()
    }
    whole = SetsReport(model="m", config="sea", thresholds=thresholds, sets=sets)
    console = Console(file=io.StringIO(), width=100)
    show_sets(console, whole)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line[:4].strip()}
    assert rows["reef"] == ["2", "1.000", "1.000", "1.000", "0.500", "0.500", "1.000"]
    assert rows["pier"] == ["2", "1.000", "1.000", "-", "-", "-", "-"]
    assert words[LISTED - 1] in text
    assert words[LISTED] not in text
    data = json.loads(json.dumps(sets_to_json(whole), allow_nan=False))
    assert data["sets"]["reef"]["false_alarm_pairs"] == len(words)
    assert data["sets"]["pier"]["false_alarms"] is None
    assert data["sets"]["pier"]["bbox"]["AP50"] == pytest.approx(1.0)
    assert data["thresholds"][words[-1]] == {"threshold": NO_THRESHOLD, "fitted_on": None}

"""The page of the worst answers: which they are, and that it is safe and whole."""

from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from sam3_edge.training.evaluation.answers import Answer
from sam3_edge.training.evaluation.pictures import JudgedPicture, ScenePictures
from sam3_edge.training.evaluation.report import Report, make_report
from sam3_edge.training.evaluation.worst_cases import Case, worst_cases
from sam3_edge.training.evaluation.worst_cases_drawing import draw_case
from sam3_edge.training.evaluation.worst_cases_page import worst_cases_page

Ask = Callable[..., Answer]
A, B, FAR = [10, 10, 50, 40], [60, 20, 90, 70], [1, 60, 9, 79]
NASTY = '<script>alert("fish")</script>&'


class Grey:
    """One grey picture, however often."""

    phrases = ("fish",)
    name = f"{NASTY} pictures"

    def __len__(self) -> int:
        return 4

    def picture(self, _index: int) -> JudgedPicture:
        one = ScenePictures(1, width=100, height=80).picture(0)
        return replace(one, image=np.full((80, 100, 3), 90, np.uint8))


def report_of(answers: list[Answer]) -> Report:
    return make_report(answers, model=f"model {NASTY}", pictures=Grey())


def worst(answers: list[Answer], count: int = 10) -> list[Case]:
    return worst_cases(answers, report_of(answers), count)


def test_the_worst_come_first_and_what_is_right_not_at_all(ask: Ask) -> None:
    """The threshold is 0.5, as both right ones are found there."""
    answers = [
        ask([A], [A], [0.5]),
        ask([A, B], [A, FAR], [0.5, 0.4], picture=1),  # FAR scores too little to count
        ask([A], [FAR], [0.7], picture=2),
        ask([], [FAR], [0.6], picture=3),
    ]
    cases = worst(answers)
    assert [case.answer.picture for case in cases] == [2, 1, 3]
    assert [case.badness for case in cases] == pytest.approx([1.7, 1.0, 0.6])
    assert [(case.missed, case.wrong, case.right) for case in cases] == [
        ((0,), (0,), ()),
        ((1,), (), (0,)),
        ((), (0,), ()),
    ]
    assert [case.answer.picture for case in worst(answers, 2)] == [2, 1]


def test_what_is_to_be_ignored_is_not_bad(ask: Ask) -> None:
    answers = [ask([A, B], [A, B], [0.9, 0.8], ignore=[False, True]), ask([B], [], [], ignore=[1])]
    assert worst(answers) == []


def test_drawing_marks_each_in_its_colour(ask: Ask) -> None:
    (case,) = worst([ask([A, B], [A, FAR], [0.5, 0.9])])
    grey = np.full((80, 100, 3), 90, np.uint8)
    drawn = draw_case(grey, case)
    assert drawn.shape == grey.shape
    assert (grey == 90).all()
    blue, green, red = (int(v) for v in drawn[60, 5])  # inside the false one's mask: tinted red
    assert red > blue
    assert red > green
    # A true edge is green at its middle, and yellow inside it where the object was missed.
    assert np.abs(drawn[50, 58:62].astype(int) - (115, 158, 0)).sum(axis=1).min() < 30
    assert np.abs(drawn[50, 61:65].astype(int) - (66, 228, 240)).sum(axis=1).min() < 30


class Page(HTMLParser):
    """What a browser would see: tags, and the sources they load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_is_whole_and_nothing_in_it_is_code(ask: Ask) -> None:
    answers = [
        replace(ask([A, B], [FAR], [0.9], phrase=NASTY), path=f"photos/{NASTY}.jpg"),
        ask([A], [A], [0.9], phrase=NASTY, picture=1),
    ]
    report = report_of(answers)
    text = worst_cases_page(report, worst_cases(answers, report, 5), Grey(), len(answers))
    page = Page(text)
    assert "script" not in page.tags
    assert NASTY not in text
    assert "&lt;script&gt;" in text
    assert page.tags.count("img") == page.tags.count("figure") == 1
    assert all(source.startswith("data:image/jpeg;base64,/9j/") for source in page.sources)
    assert "2 missed, 1 false, 0 found" in text
    assert "The worst 1 of 2 answers" in text
    assert "$" not in text


def test_a_page_without_bad_answers_or_masks(ask: Ask) -> None:
    answers = [ask([A], [A], [0.9], masks=False)]
    text = worst_cases_page(report_of(answers), [], Grey(), 1)
    assert "The worst 0 of 1 answers" in text
    assert "tinted" not in text
    assert Page(text).tags.count("table") == 2

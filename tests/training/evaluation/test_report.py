"""The report: its JSON form, its tables, and the vocabulary a bundle takes from it."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sam3_edge.engines.manifest import Phrase
from sam3_edge.errors import UsageError
from sam3_edge.export.write_bundle import read_vocabulary
from sam3_edge.training.evaluation.answers import Answer
from sam3_edge.training.evaluation.pictures import ScenePictures
from sam3_edge.training.evaluation.report import Report, make_report, report_to_json
from sam3_edge.training.evaluation.report_tables import show_report
from sam3_edge.training.evaluation.vocabulary import (
    read_phrases,
    vocabulary_entries,
    vocabulary_to_json,
)

Ask = Callable[..., Answer]
A, B, FAR = [10, 10, 50, 40], [60, 20, 90, 70], [1, 60, 9, 79]
PICTURES = ScenePictures(2)
COCO = {"AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100"}
CONCEPT = {
    "cgF1", "pmF1", "segm_cgF1", "segm_pmF1", "IL_MCC", "present_pairs", "absent_pairs",
    "presence_MCC", "presence_balanced_accuracy", "presence_threshold_fitted", "presence_balanced_accuracy_fitted",
}  # fmt: skip


def two_phrases(ask: Ask, *, masks: bool = True) -> Report:
    """fish: one of two found, and absent from the second picture; crab: never there."""
    answers = [
        ask([A, B], [A], [0.75], masks=masks),
        ask([], [], [], picture=1, masks=masks, presence=0.2),
        ask([], [], [], phrase="crab", masks=masks, presence=0.6),
        ask([], [FAR], [0.9], phrase="crab", picture=1, masks=masks),
    ]
    return make_report(answers, model="m", pictures=PICTURES, annotations="a.json")


def strict(value: object) -> Any:
    """Through text, where NaN is an error."""
    return json.loads(json.dumps(value, allow_nan=False))


def test_its_json_says_what_it_promises(ask: Ask) -> None:
    data = strict(report_to_json(two_phrases(ask)))
    heads = {"schema", "model", "annotations", "source", "images", "prompts", "per_class"}
    assert set(data) == heads | {"bbox", "segm"} | CONCEPT
    assert (data["schema"], data["images"], data["prompts"]) == (1, 2, 2)
    assert (data["model"], data["annotations"]) == ("m", "a.json")
    assert data["source"] == "2 held-out demo scenes"
    assert set(data["bbox"]) == set(data["segm"]) == COCO
    own = {"objects", "AP", "AP50", "segm_AP", "segm_AP50", "threshold"}
    assert list(data["per_class"]) == ["fish", "crab"]
    assert all(set(one) == own | CONCEPT for one in data["per_class"].values())


def test_its_figures_are_of_their_phrase(ask: Ask) -> None:
    """fish: TP 1, FN 1 at every IoU. Over pairs of both: TP 1, TN 2, FP 1; balanced: all of one
    present, one of three absent."""
    data = report_to_json(two_phrases(ask))
    fish, crab = data["per_class"]["fish"], data["per_class"]["crab"]  # type: ignore[index]
    assert (fish["objects"], crab["objects"]) == (2, 0)
    assert fish["AP"] == pytest.approx(51 / 101)
    assert fish["threshold"] == pytest.approx(0.75)
    assert (crab["AP"], crab["threshold"], crab["pmF1"], crab["cgF1"]) == (None,) * 4
    assert (fish["IL_MCC"], crab["IL_MCC"]) == (1.0, 0.0)
    assert data["pmF1"] == pytest.approx(2 / 3)
    assert data["IL_MCC"] == pytest.approx(2 / 12**0.5)
    assert data["cgF1"] == pytest.approx(data["segm_cgF1"])
    assert data["presence_balanced_accuracy"] == pytest.approx((1 + 1 / 3) / 2)


def test_without_masks_or_objects_it_says_null(ask: Ask) -> None:
    data = strict(report_to_json(two_phrases(ask, masks=False)))
    assert (data["segm"], data["segm_cgF1"], data["per_class"]["fish"]["segm_AP"]) == (None,) * 3
    nothing = make_report([ask([], [A], [0.9])], model="m", pictures=PICTURES)
    data = strict(report_to_json(nothing))
    assert set(data["bbox"].values()) == {None}
    assert (data["pmF1"], data["presence_balanced_accuracy"]) == (None, None)


@pytest.mark.parametrize("masks", [True, False])
def test_its_tables_fit_a_terminal(ask: Ask, masks: bool) -> None:
    out = io.StringIO()
    show_report(Console(file=out, width=80), two_phrases(ask, masks=masks))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in out.getvalue()
    assert any(line.split()[:4] == ["fish", "2", "0.505", "0.505"] for line in lines)
    assert ("mask AP50" in out.getvalue()) == masks


def test_its_vocabulary_is_what_export_reads(ask: Ask, tmp_path: Path) -> None:
    entries = vocabulary_entries(two_phrases(ask))
    assert [entry.text for entry in entries] == ["fish"]  # nothing was known of crabs
    assert entries[0].threshold == pytest.approx(0.75)
    assert entries[0].source == "2 held-out demo scenes"
    path = tmp_path / "words.json"
    path.write_text(vocabulary_to_json(entries))
    assert read_vocabulary(path) == read_phrases(path) == tuple(entries)


def test_a_phrase_measured_before_keeps_the_stricter_threshold(ask: Ask) -> None:
    def before(threshold: float) -> list[Phrase]:
        return [
            Phrase(text=text, ap=0.1, ap50=0.2, threshold=threshold, source="earlier")
            for text in ("eel", "fish")
        ]

    for threshold, expected in ((0.5, 0.75), (0.8, 0.8)):
        eel, fish = vocabulary_entries(two_phrases(ask), before(threshold))
        assert (eel.text, eel.ap, eel.threshold, eel.source) == ("eel", 0.1, threshold, "earlier")
        assert (fish.ap, fish.threshold) == (round(51 / 101, 4), expected)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"text": "fish"}]'])
def test_another_file_is_no_vocabulary(text: str, tmp_path: Path) -> None:
    path = tmp_path / "words.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="expected a vocabulary"):
        read_phrases(path)

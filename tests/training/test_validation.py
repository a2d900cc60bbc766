"""Numbers have names, and pictures are drawn of what was asked."""

import pytest
import torch
from lightning.fabric import Fabric

from sam3_edge.errors import UsageError
from sam3_edge.training.config.schema import DataSection, Precision, TrainerSection
from sam3_edge.training.evaluation.checkpoint_answers import evaluate_detector
from sam3_edge.training.evaluation.pictures import ScenePictures
from sam3_edge.training.model.config import preset
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.validation import (
    check_metric,
    drawn_pictures,
    evaluate,
    report_metrics,
)


@pytest.fixture
def detector() -> Detector:
    torch.manual_seed(0)
    return Detector(preset("tiny", image_size=84)).eval()


def test_metrics_are_those_of_the_evaluation(detector: Detector) -> None:
    pictures = ScenePictures(2, width=160, height=120)
    section = TrainerSection()
    section.optim.amp.dtype = Precision.fp32
    metrics = evaluate(Fabric(accelerator="cpu", devices=1), detector, {"a": pictures}, section)
    expected = report_metrics(evaluate_detector(detector, pictures))
    assert "bbox/AP" in expected
    assert {name: metrics[name] for name in expected} == expected
    assert {name: metrics[f"a/{name}"] for name in expected} == expected


def test_false_alarms_are_counted_where_a_phrase_is_absent(detector: Detector) -> None:
    """Of six scenes two lack a phrase; the first two show all."""
    sets = {str(count): ScenePictures(count, width=84, height=84) for count in (2, 6)}
    metrics = evaluate(Fabric(accelerator="cpu", devices=1), detector, sets, TrainerSection())
    assert metrics["6/false_alarms"] >= 0.0
    assert "2/false_alarms" not in metrics


def test_of_several_sets_only_their_own_names_are_given(detector: Detector) -> None:
    sets = {name: ScenePictures(1, width=84, height=84) for name in ("a", "b")}
    metrics = evaluate(Fabric(accelerator="cpu", devices=1), detector, sets, TrainerSection())
    assert {"a/bbox/AP", "b/bbox/AP"} <= metrics.keys()
    assert "bbox/AP" not in metrics


def test_a_metric_is_checked_by_its_name() -> None:
    check_metric("key", "bbox/AP", ["a"])
    check_metric("key", "a/segm/AP50", ["a", "b"])
    for metric in ("bbox/AP", "c/bbox/AP", "AP"):
        with pytest.raises(UsageError, match="key: expected one of a/bbox/AP, b/bbox/AP"):
            check_metric("key", metric, ["a", "b"])


def test_the_first_pictures_of_every_set_are_drawn(detector: Detector) -> None:
    sets = {"a": ScenePictures(2, width=84, height=84), "b": ScenePictures(1, width=84, height=84)}
    drawn = list(drawn_pictures(detector, sets, DataSection(max_phrases=3), 0.3))
    assert len(drawn) == 3
    assert all(picture.ndim == 3 and picture.shape[2] == 3 for picture in drawn)

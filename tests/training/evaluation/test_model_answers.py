"""A checkpoint and a bundle are asked the same, and their answers judged by the truth."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sam3_edge.engines.bundle import Bundle, default_bundle_path
from sam3_edge.engines.load import load_backend
from sam3_edge.training.evaluation.answers import Answer
from sam3_edge.training.evaluation.bundle_answers import bundle_answers
from sam3_edge.training.evaluation.checkpoint_answers import (
    checkpoint_answers,
    evaluate_detector,
)
from sam3_edge.training.evaluation.pictures import ScenePictures, each
from sam3_edge.training.evaluation.raw_answers import LEAST_SCORE
from sam3_edge.training.evaluation.report import make_report
from sam3_edge.training.model.config import ModelConfig, preset
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.outputs import DetectorOutput, ImageFeatures
from sam3_edge.training.model.weights import bundled_weights_path, load_weights
from tests.training.given_masks import given_masks

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
SCENES = ScenePictures(3, width=320, height=240)


class Oracle(Detector):
    """Answers with the truth about the scenes, in the order they come."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.truth = iter(
            (picture, phrase) for picture in each(SCENES) for phrase in range(len(SCENES.phrases))
        )

    def decode(
        self, features: ImageFeatures, text: Tensor, *rest: Any, **options: Any
    ) -> DetectorOutput:
        output = super().decode(features, text, *rest, **options)
        prompts, queries = len(text), self.config.num_queries
        boxes = torch.full((1, prompts, queries, 4), 0.01)
        logits = torch.full((1, prompts, queries), -12.0)
        presence = torch.full((1, prompts, 1), -5.0)
        for prompt in range(prompts):
            picture, phrase = next(self.truth)
            true = picture.boxes[picture.phrase == phrase] / [320, 240, 320, 240]
            low, high = torch.tensor(true[:, :2]), torch.tensor(true[:, 2:])
            boxes[0, prompt, : len(true)] = torch.cat(((low + high) / 2, high - low), 1).float()
            logits[0, prompt, : len(true)] = 5.0 - 0.1 * torch.arange(len(true))
            presence[0, prompt] = 5.0 if len(true) else -5.0
        masks = torch.full((prompts, queries, 8, 8), -1.0)
        return replace(
            output, logits=logits, presence=presence, boxes=boxes, query_masks=given_masks(masks)
        )


@pytest.fixture(scope="module")
def from_bundle() -> list[Answer]:
    bundle = Bundle.open(default_bundle_path())
    backend = load_backend(bundle, num_threads=1)
    slots = bundle.manifest.model.num_exemplars
    answers = list(bundle_answers(backend, slots, SCENES.phrases, each(SCENES)))
    backend.close()
    return answers


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_weights(bundled_weights_path())[0]


@pytest.fixture(scope="module")
def from_checkpoint(detector: Detector) -> list[Answer]:
    return list(checkpoint_answers(detector, SCENES.phrases, each(SCENES), batch_size=2))


def test_every_phrase_of_every_picture_is_asked_once(from_bundle: list[Answer]) -> None:
    asked = [(answer.picture, answer.phrase) for answer in from_bundle]
    assert asked == [(i, phrase) for i in range(3) for phrase in SCENES.phrases]
    assert {answer.path for answer in from_bundle} == {"demo:10000", "demo:10001", "demo:10002"}


def test_answers_are_whole(from_bundle: list[Answer]) -> None:
    for answer in from_bundle:
        assert answer.size == (240, 320)
        assert answer.found.masks is not None
        assert len(answer.found.masks) == len(answer.found) == len(answer.scores)
        assert (np.diff(answer.scores) <= 0.0).all()
        assert (answer.scores >= LEAST_SCORE).all()
        assert (answer.scores <= answer.presence).all()
        assert (answer.found.boxes >= 0.0).all()
        assert (answer.found.boxes <= [320, 240, 320, 240]).all()
    assert sum(len(answer.found) for answer in from_bundle) > 10


def test_a_checkpoint_answers_as_its_bundle(
    from_bundle: list[Answer], from_checkpoint: list[Answer]
) -> None:
    for ours, theirs in zip(from_bundle, from_checkpoint, strict=True):
        assert (ours.picture, ours.phrase) == (theirs.picture, theirs.phrase)
        assert ours.presence == pytest.approx(theirs.presence, abs=1e-3)
        least = min(len(ours.scores), len(theirs.scores))
        assert abs(len(ours.scores) - len(theirs.scores)) <= 1
        assert ours.scores[:least] == pytest.approx(theirs.scores[:least], abs=1e-3)
    first = make_report(from_bundle, model="bundle", pictures=SCENES)
    second = make_report(from_checkpoint, model="checkpoint", pictures=SCENES)
    assert first.boxes.mean.ap50 is not None
    assert first.boxes.mean.ap50 > 0.2
    assert first.boxes.mean.ap == pytest.approx(second.boxes.mean.ap, abs=0.005)
    assert first.masks is not None
    assert second.masks is not None
    assert first.masks.mean.ap == pytest.approx(second.masks.mean.ap, abs=0.005)
    assert first.concept.cgf1 == pytest.approx(second.concept.cgf1, abs=0.005)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_batches_change_nothing(
    detector: Detector, from_checkpoint: list[Answer], batch_size: int
) -> None:
    again = checkpoint_answers(
        detector, SCENES.phrases, each(SCENES), batch_size=batch_size, masks=False
    )
    for one, other in zip(again, from_checkpoint, strict=True):
        assert one.presence == pytest.approx(other.presence, abs=1e-4)
        assert one.scores[:5] == pytest.approx(other.scores[:5], abs=1e-4)
        assert one.found.masks is None
        assert one.truth.masks is None


@pytest.mark.parametrize("max_prompts", [1, 2, 64])
def test_the_truth_is_judged_perfect(max_prompts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of prompts decoded at once; the order of the answers follows."""
    module = sys.modules[checkpoint_answers.__module__]
    monkeypatch.setattr(module, "MAX_PROMPTS", max_prompts)
    report = evaluate_detector(Oracle(preset("tiny")), SCENES, masks=False)
    assert report.boxes.mean.ap == pytest.approx(1.0)
    assert report.presence.il_mcc in (pytest.approx(1.0), 0.0)  # 0: every phrase everywhere
    assert report.concept.pmf1 == pytest.approx(1.0)
    assert report.masks is None


def test_empty_masks_are_judged_wrong() -> None:
    report = evaluate_detector(Oracle(preset("tiny")), SCENES)
    assert report.masks is not None
    assert (report.boxes.mean.ap, report.masks.mean.ap) == pytest.approx((1.0, 0.0))


def test_evaluation_changes_nothing() -> None:
    torch.manual_seed(0)
    model = Detector(preset("tiny")).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    evaluate_detector(model, ScenePictures(1, width=84, height=84), device="cpu")
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_half_precision_is_close(detector: Detector, from_checkpoint: list[Answer]) -> None:
    answers: Iterator[Answer] = checkpoint_answers(
        detector, SCENES.phrases, each(SCENES), masks=False, bfloat16=True
    )
    differences = [
        abs(one.presence - other.presence)
        for one, other in zip(answers, from_checkpoint, strict=True)
    ]
    assert max(differences) < 0.1


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_may_be_chosen(from_checkpoint: list[Answer], device: str) -> None:
    model = load_weights(bundled_weights_path())[0]
    report = evaluate_detector(model, SCENES, device=device)
    expected = make_report(from_checkpoint, model="model", pictures=SCENES)
    assert report.boxes.mean.ap == pytest.approx(expected.boxes.mean.ap, abs=0.02)
    assert next(model.parameters()).device.type == "cpu"


def test_only_a_checkpoint_needs_torch() -> None:
    script = (
        "import importlib, pkgutil, sys\n"
        "import sam3_edge.training.evaluation as package\n"
        "names = [m.name for m in pkgutil.iter_modules(package.__path__)]\n"
        "names.remove('checkpoint_answers')\n"
        "assert len(names) > 8, names\n"
        "for name in names: importlib.import_module(f'{package.__name__}.{name}')\n"
        "import sam3_edge.command_eval\n"
        "print('torch' in sys.modules, 'onnx' in sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "False False\n"

"""Evaluation asks every phrase of every picture, and judges what the model says."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from sam3_edge.training.augment import plain_sample
from sam3_edge.training.evaluate import answers, evaluate, first_pictures
from sam3_edge.training.labelled import LabelledPicture
from sam3_edge.training.model.config import ModelConfig, preset
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.outputs import DetectorOutput
from sam3_edge.training.scene_dataset import SceneDataset


class Oracle(Detector):
    """Answers with the truth about the pictures it was given, in the order they come."""

    def __init__(self, config: ModelConfig, pictures: list[LabelledPicture]) -> None:
        super().__init__(config)
        self.truth: Iterator[LabelledPicture] = iter(pictures)

    def forward(self, images: Tensor, token_ids: Tensor, *_: object) -> DetectorOutput:
        side, queries = 4 * self.config.tokens_per_side, self.config.num_queries
        prompts = len(token_ids)
        boxes = torch.full((1, prompts, queries, 4), 0.01)
        logits = torch.full((1, prompts, queries), -12.0)
        masks = torch.full((prompts, queries, side, side), -9.0)
        prompt = 0
        for _image in images:
            sample = plain_sample(next(self.truth), self.config.image_size, side)
            for phrase in sample.phrases:
                count = len(phrase.boxes)
                boxes[0, prompt, :count] = torch.from_numpy(phrase.boxes)
                logits[0, prompt, :count] = 5.0 - 0.1 * torch.arange(count)
                if phrase.masks is not None:
                    masks[prompt, :count] = torch.from_numpy(phrase.masks * 2.0 - 1.0)
                prompt += 1
        return DetectorOutput(
            logits=logits,
            presence=torch.full((1, prompts, 1), 5.0),
            boxes=boxes,
            masks=masks,
            semantic=None,
            proposals=None,
        )


@pytest.fixture
def pictures() -> list[LabelledPicture]:
    return list(first_pictures(SceneDataset("held_out", 252), 3))


@pytest.fixture
def config() -> ModelConfig:
    return preset("tiny")


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_the_truth_is_judged_perfect(
    config: ModelConfig, pictures: list[LabelledPicture], batch_size: int
) -> None:
    scores = evaluate(Oracle(config, pictures), pictures, batch_size=batch_size)
    assert scores.ap == pytest.approx(1.0)
    assert scores.mask_ap50 is not None
    # Masks are coarse: a cell is three and a half pixels wide here.
    assert scores.mask_ap50 > 0.9


def test_without_masks_they_are_not_judged(
    config: ModelConfig, pictures: list[LabelledPicture]
) -> None:
    scores = evaluate(Oracle(config, pictures), pictures, masks=False)
    assert scores.ap == pytest.approx(1.0)
    assert scores.mask_ap is None


def test_boxes_come_in_pixels_of_the_picture_and_best_first(
    config: ModelConfig, pictures: list[LabelledPicture]
) -> None:
    wide = replace(
        pictures[0],
        image=np.repeat(pictures[0].image, 2, axis=1),
        boxes=pictures[0].boxes * np.array([2, 1, 2, 1], np.float32),
        masks=None,
    )
    found = answers(Oracle(config, [wide]), [wide], batch_size=4, masks=True, bfloat16=False)
    for answer in found:
        kept = answer.truth.boxes[~answer.ignore]
        assert answer.found.boxes == pytest.approx(kept, abs=1e-3)
        assert (np.diff(answer.scores) <= 0.0).all()


def test_evaluation_changes_nothing(config: ModelConfig, pictures: list[LabelledPicture]) -> None:
    torch.manual_seed(0)
    model = Detector(config).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    evaluate(model, pictures[:1])
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_the_same_pictures_come_again() -> None:
    data = SceneDataset("held_out", 84)
    first, again = list(first_pictures(data, 2)), list(first_pictures(data, 2))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, again, strict=True))

"""What was logged can be read back, and a drawn picture shows what was found and what is true."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from sam3_edge.errors import TrainingError
from sam3_edge.training.data.targets import Targets
from sam3_edge.training.event_log import EventLog, draw_predictions
from sam3_edge.training.model.outputs import DetectorOutput
from tests.training.given_masks import given_masks

SIZE, CELLS = 84, 24


def written(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_what_was_logged_can_be_read(tmp_path: Path) -> None:
    picture = np.zeros((8, 16, 3), dtype=np.uint8)
    with EventLog(tmp_path, enabled=True) as log:
        log.scalars(1, {"loss/giou": 2.0, "rate": 1e-3})
        log.scalars(2, {"loss/giou": 1.0})
        log.pictures(2, [picture, picture])
        log.text("config", "a: 1\nb: 2")
    events = written(tmp_path)
    assert [(e.step, e.value) for e in events.Scalars("loss/giou")] == [(1, 2.0), (2, 1.0)]
    assert events.Scalars("rate")[0].value == pytest.approx(1e-3)
    tags = events.Tags()
    assert tags["images"] == ["pictures/0", "pictures/1"]
    shown = events.Images("pictures/1")[0]
    assert (shown.step, shown.width, shown.height) == (2, 16, 8)
    text = events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert text == "    a: 1\n    b: 2\n"


def test_a_log_that_is_not_enabled_writes_nothing(tmp_path: Path) -> None:
    with EventLog(tmp_path / "log", enabled=False) as log:
        log.scalars(1, {"loss": 2.0})
        log.pictures(1, [np.zeros((8, 8, 3), dtype=np.uint8)])
        log.text("config", "a: 1")
    assert not (tmp_path / "log").exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(TrainingError, match="expected a folder that can be written"),
        EventLog(tmp_path / "file" / "log", enabled=True),
    ):
        pass


def output(prompts: int, found: dict[int, tuple[float, float, float, float]]) -> DetectorOutput:
    """found: by prompt, one cxcywh box whose mask fills its left half."""
    logits = torch.full((2, prompts, 4), -10.0)
    boxes = torch.full((2, prompts, 4, 4), 0.5)
    masks = torch.full((prompts, 4, CELLS, CELLS), -10.0)
    for prompt, (x, y, w, h) in found.items():
        logits[-1, prompt, 1] = 3.0
        boxes[-1, prompt, 1] = torch.tensor([x, y, w, h])
        left, right = round((x - w / 2) * CELLS), round(x * CELLS)
        masks[prompt, 1, round((y - h / 2) * CELLS) : round((y + h / 2) * CELLS), left:right] = 10.0
    return DetectorOutput(
        logits=logits,
        presence=torch.full((2, prompts, 1), 10.0),
        boxes=boxes,
        query_masks=given_masks(masks),
        semantic=None,
        proposals=None,
        twins=None,
        image_embedding=torch.zeros(prompts, 8),
        prompt_embedding=torch.zeros(prompts, 8),
    )


def targets() -> Targets:
    """Of prompts 0 and 1 of the first picture, and prompt 2 of the second."""
    masks = torch.zeros(1, CELLS, CELLS)
    masks[0, 12:20, 12:20] = 1.0
    return Targets(
        boxes=torch.tensor([[0.25, 0.25, 0.2, 0.2], [2 / 3, 2 / 3, 1 / 3, 1 / 3]]),
        prompt=torch.tensor([0, 2]),
        masks=masks,
        mask_object=torch.tensor([1]),
        ignore=torch.zeros(0, 4),
        ignore_prompt=torch.zeros(0, dtype=torch.int64),
        num_prompts=3,
    )


IMAGES = np.full((2, SIZE, SIZE, 3), 90, dtype=np.uint8)
PHRASES = [["fish", "crab"], ["kelp"]]


def test_what_was_found_is_drawn_into_its_own_picture() -> None:
    first, second = draw_predictions(IMAGES, output(3, {2: (0.5, 0.5, 0.5, 0.5)}), PHRASES, 0.5)
    strip = first.shape[0] - first.shape[1]
    assert (first[strip:] == 90).all()
    shown = second[strip:]
    side = shown.shape[0]
    left = shown[side // 2, round(0.4 * side)]
    right = shown[side // 2, round(0.6 * side)]
    assert (left != 90).any()
    assert (right == 90).all()
    # Colours are RGB: the palette's first is orange, more red than blue.
    assert left[0] > left[2]


def test_what_scores_too_low_is_not_drawn() -> None:
    found = output(3, {0: (0.5, 0.5, 0.5, 0.5)})
    low, _ = draw_predictions(IMAGES, found, PHRASES, 0.5)
    high, _ = draw_predictions(IMAGES, found, PHRASES, 0.99)
    strip = low.shape[0] - low.shape[1]
    assert (low[strip:] != 90).any()
    assert (high[strip:] == 90).all()


def test_the_truth_stands_left_of_it() -> None:
    first, second = draw_predictions(IMAGES, output(3, {}), PHRASES, 0.5, targets())
    side = first.shape[1] // 2
    strip = first.shape[0] - side
    for picture in (first, second):
        assert (picture[strip:, :side] != 90).any()
        assert (picture[strip:, side:] == 90).all()
    # The second picture's object has a mask, the first's only a box.
    assert (first[strip + side // 4, side // 4] == 90).all()
    assert (second[strip + round(0.66 * side), round(0.66 * side)] != 90).any()


def test_colours_stay_as_they_are() -> None:
    red = np.zeros((2, SIZE, SIZE, 3), dtype=np.uint8)
    red[:, :, :] = (200, 90, 20)
    first, _ = draw_predictions(red, output(3, {}), PHRASES, 0.5)
    assert (first[-1, -1] == (200, 90, 20)).all()


def test_pictures_and_phrases_must_agree() -> None:
    with pytest.raises(ValueError, match="zip"):
        draw_predictions(IMAGES, output(3, {}), PHRASES[:1], 0.5)

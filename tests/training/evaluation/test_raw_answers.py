"""From the network's raw output to answers: whole masks, pixels, presence, and what is asked."""

from dataclasses import replace

import numpy as np
import pytest

from sam3_edge.engines.backend import RawOutput
from sam3_edge.errors import EngineError
from sam3_edge.runtime.rle import decode_rle
from sam3_edge.training.evaluation.pictures import JudgedPicture, ScenePictures
from sam3_edge.training.evaluation.raw_answers import raw_answers

WIDTH, HEIGHT = 120, 80


@pytest.fixture
def picture() -> JudgedPicture:
    return ScenePictures(1, width=WIDTH, height=HEIGHT).picture(0)


def output() -> RawOutput:
    """Three prompts, two queries: a small box in the middle, whose mask is the left half."""
    boxes = np.zeros((3, 2, 4), np.float32)
    boxes[:, 0] = [0.5, 0.5, 0.25, 0.5]
    masks = np.full((3, 2, 8, 8), -4.0, np.float32)
    masks[..., :4] = 4.0
    return RawOutput(
        logits=np.array([[2.0, 3.0], [1.0, -9.0], [-9.0, -9.0]], np.float32),
        presence=np.array([[0.0], [9.0], [-2.0]], np.float32),
        boxes=boxes,
        masks=masks,
        vision_ms=0.0,
        decoder_ms=0.0,
    )


def test_boxes_scores_and_presence(picture: JudgedPicture) -> None:
    """A box without an area is none; what scores next to nothing is left out."""
    first, second, third = raw_answers(output(), picture, 5, masks=True)
    assert [a.picture for a in (first, second, third)] == [5] * 3
    assert first.presence == pytest.approx(0.5)
    assert first.scores.tolist() == pytest.approx([0.5 / (1 + np.exp(-2.0))])
    assert first.found.boxes.tolist() == [[45, 20, 75, 60]]
    assert second.presence == pytest.approx(1 / (1 + np.exp(-9.0)))
    assert (len(second.found), len(third.found)) == (1, 0)


def test_masks_are_whole_and_not_cut_at_their_box(picture: JudgedPicture) -> None:
    first = next(iter(raw_answers(output(), picture, 0, masks=True)))
    assert first.found.masks is not None
    (counts,) = first.found.masks
    assert counts is not None
    bits = decode_rle((HEIGHT, WIDTH), counts)
    assert bits[:, : WIDTH // 2].all()
    assert not bits[:, WIDTH // 2 + 1 :].any()


def test_the_truth_is_the_phrases_own(picture: JudgedPicture) -> None:
    areas = np.arange(len(picture.boxes), dtype=np.float64)
    known = replace(picture, areas=areas, mask_areas=areas + 100.0)
    answers = list(raw_answers(output(), known, 0, masks=True))
    assert sum(len(answer.truth) for answer in answers) == len(picture.boxes)
    for index, answer in enumerate(answers):
        mine = picture.phrase == index
        assert answer.phrase == picture.phrases[index]
        assert np.array_equal(answer.truth.boxes, picture.boxes[mine])
        assert np.array_equal(answer.ignore, picture.ignore[mine])
        assert answer.truth.areas is not None
        assert answer.truth.mask_areas is not None
        assert np.array_equal(answer.truth.areas, areas[mine])
        assert np.array_equal(answer.truth.mask_areas, areas[mine] + 100.0)


def test_masks_only_where_asked_and_known(picture: JudgedPicture) -> None:
    for asked, masks in ((False, picture.masks), (True, None)):
        answers = raw_answers(output(), replace(picture, masks=masks), 0, masks=asked)
        for answer in answers:
            assert (answer.found.masks, answer.truth.masks) == (None, None)


def test_numbers_that_are_none_are_an_error(picture: JudgedPicture) -> None:
    wrong = replace(output(), logits=np.full((3, 2), np.nan, np.float32))
    with pytest.raises(EngineError, match="logits: expected finite numbers"):
        list(raw_answers(wrong, picture, 0, masks=False))

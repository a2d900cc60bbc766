import dataclasses
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_edge.engines.backend import RawOutput
from sam3_edge.errors import EngineError
from sam3_edge.runtime.postprocess import Suppression, postprocess, sigmoid, to_pixels

SIZE = (100, 200)
HALF = np.array([0.5, 0.5], dtype=np.float32)


def raw_output() -> RawOutput:
    """Two prompts, three queries; certain presence, so that scores are the logits' alone."""
    boxes = np.tile(np.array([0.5, 0.5, 0.5, 0.5], dtype=np.float32), (2, 3, 1))
    return RawOutput(
        logits=np.array([[2, -2, 1], [-1, 3, -3]], dtype=np.float32),
        presence=np.full((2, 1), 50, dtype=np.float32),
        boxes=boxes,
        masks=np.full((2, 3, 8, 8), 4, dtype=np.float32),
        vision_ms=0,
        decoder_ms=0,
    )


def thresholds(*values: float) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def test_best_first_over_all_prompts() -> None:
    found = postprocess(raw_output(), HALF, SIZE)
    assert found.prompt_index.tolist() == [1, 0, 0]
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp(-np.array([3.0, 2, 1]))), rtol=1e-6)
    assert len(found.masks) == len(found) == 3


def test_the_score_is_logit_times_presence() -> None:
    output = dataclasses.replace(raw_output(), presence=thresholds(0, 50)[:, None])
    found = postprocess(output, thresholds(0.4, 0.4), SIZE)
    np.testing.assert_allclose(found.presence, [0.5, 1])
    assert found.prompt_index.tolist() == [1, 0]
    np.testing.assert_allclose(found.scores[1], 0.5 / (1 + np.exp(-2.0)), rtol=1e-6)


def test_every_prompt_has_its_own_threshold_and_reaching_it_is_enough() -> None:
    output = raw_output()
    exact = float(postprocess(output, HALF, SIZE).scores[2])
    above = float(np.nextafter(np.float32(exact), np.float32(1)))
    assert len(postprocess(output, thresholds(exact, 0.99), SIZE)) == 2
    assert len(postprocess(output, thresholds(above, 0.99), SIZE)) == 1
    assert len(postprocess(output, thresholds(0, 1), SIZE)) == 3
    assert len(postprocess(output, thresholds(1, 1), SIZE)) == 0


def test_boxes_are_pixels_of_the_frame_and_clipped() -> None:
    boxes = np.array([[0.5, 0.5, 0.2, 0.4], [0, 0, 1, 1], [0.9, 1, 9, 0.5]], dtype=np.float32)
    expected = [[80, 30, 120, 70], [0, 0, 100, 50], [0, 75, 200, 100]]
    np.testing.assert_allclose(to_pixels(boxes, SIZE), expected, atol=1e-4)


def test_a_box_without_area_in_the_frame_is_no_detection() -> None:
    output = raw_output()
    output.boxes[0, 0] = [0.5, 0.5, 0, 0.5]
    output.boxes[0, 2] = [1.5, 0.5, 0.5, 0.5]
    assert postprocess(output, HALF, SIZE).prompt_index.tolist() == [1]


def test_masks_stay_inside_their_boxes_unless_asked_otherwise() -> None:
    cropped = postprocess(raw_output(), HALF, SIZE).masks[0]
    assert cropped.size == SIZE
    assert (cropped.origin, cropped.bits.shape) == ((50, 25), (50, 100))
    assert cropped.bits.all()
    whole = postprocess(raw_output(), HALF, SIZE, crop_masks=False).masks[0]
    assert whole.bits.shape == SIZE
    assert whole.bits.all()


@pytest.mark.parametrize("crop_masks", [True, False])
def test_bits_made_now_are_those_of_the_text(crop_masks: bool) -> None:
    output = raw_output()
    output.masks[...] = np.random.default_rng(3).normal(size=output.masks.shape)
    now = postprocess(output, HALF, SIZE, crop_masks=crop_masks, mask_bits=True)
    later = postprocess(output, HALF, SIZE, crop_masks=crop_masks)
    for one, other in zip(now.masks, later.masks, strict=True):
        assert one.counts == other.counts
        np.testing.assert_array_equal(one.full(), other.full())


@pytest.mark.parametrize("of", ["boxes", "masks"])
def test_the_better_of_two_that_overlap_is_kept(of: Literal["boxes", "masks"]) -> None:
    output = raw_output()
    output.boxes[0, 0, 0] = 0.4  # of the best, [1, 1], it covers two thirds; [0, 2] is the same
    keep_all = postprocess(output, HALF, SIZE, suppression=Suppression(iou=1.0, of=of))
    assert keep_all.prompt_index.tolist() == [1, 0, 0]
    twins = postprocess(output, HALF, SIZE, suppression=Suppression(iou=0.9, of=of))
    assert twins.prompt_index.tolist() == [1, 0]
    assert len(twins.masks) == len(twins.scores) == len(twins.boxes) == 2
    best = postprocess(output, HALF, SIZE, suppression=Suppression(iou=0.5, of=of))
    assert best.prompt_index.tolist() == [1]


def test_masks_apart_in_boxes_that_overlap_are_two_objects() -> None:
    output = raw_output()
    output.masks[1, :, :, :4] = -4  # the best: the right half; of the others the left
    output.masks[0, :, :, 4:] = -4
    suppressed = [
        len(postprocess(output, HALF, SIZE, suppression=Suppression(iou=0.5, of=of)))
        for of in ("boxes", "masks")
    ]
    assert suppressed == [1, 2]


def test_nothing_found() -> None:
    output = dataclasses.replace(raw_output(), logits=np.full((2, 3), -50, np.float32))
    found = postprocess(output, HALF, SIZE)
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)
    assert found.masks == ()
    assert found.presence.shape == (2,)


@pytest.mark.parametrize("name", ["logits", "presence", "boxes", "masks"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_an_error_that_names_it(name: str, value: float) -> None:
    output = raw_output()
    getattr(output, name).flat[0] = value
    with pytest.raises(EngineError, match=f"{name}: expected finite numbers"):
        postprocess(output, HALF, SIZE)


def test_extreme_logits_do_not_overflow() -> None:
    np.testing.assert_array_equal(sigmoid(np.array([-1e30, 0, 1e30], np.float32)), [0, 0.5, 1])

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from sam3_edge.runtime.detections import Detections, Mask
from sam3_edge.runtime.draw import PALETTE, draw
from sam3_edge.runtime.results import FrameResult


def painted(result: FrameResult, **changes: object) -> np.ndarray:
    detections = dataclasses.replace(result.detections, **changes)  # type: ignore[arg-type]
    return draw(result.frame.image, detections, result.prompts)


def test_the_frame_itself_is_not_touched(make_result: Callable[..., FrameResult]) -> None:
    result = make_result(size=(120, 160))
    before = result.frame.image.copy()
    after = painted(result)
    np.testing.assert_array_equal(result.frame.image, before)
    assert after.shape == before.shape
    assert not np.array_equal(after, before)


def test_nothing_found_changes_nothing(make_result: Callable[..., FrameResult]) -> None:
    result = make_result()
    nothing = Detections(
        boxes=np.zeros((0, 4), np.float32),
        scores=np.zeros(0, np.float32),
        prompt_index=np.zeros(0, np.int64),
        masks=(),
        presence=np.zeros(2, np.float32),
    )
    np.testing.assert_array_equal(
        draw(result.frame.image, nothing, result.prompts), result.frame.image
    )


def test_each_prompt_has_its_colour(make_result: Callable[..., FrameResult]) -> None:
    """In the middle of a mask a black frame shows the prompt's colour, dimmed."""
    result = make_result(size=(400, 500))
    black = dataclasses.replace(result.frame, image=np.zeros((400, 500, 3), np.uint8))
    masks = tuple(
        Mask(size=(400, 500), origin=(x, 100), bits=np.ones((100, 100), np.bool_))
        for x in (50, 300)
    )
    boxes = np.array([[50, 100, 150, 200], [300, 100, 400, 200]], np.float32)
    picture = painted(dataclasses.replace(result, frame=black), masks=masks, boxes=boxes)
    for x, prompt in ((100, 1), (350, 0)):
        np.testing.assert_allclose(picture[150, x], 0.4 * np.array(PALETTE[prompt]), atol=1)
    assert not picture[300:].any()


@pytest.mark.parametrize(
    "box", [[0, 0, 64, 48], [60, 44, 64, 48], [0, 0, 1, 1], [63.6, 47.6, 64, 48]]
)
@pytest.mark.parametrize("size", [(48, 64), (1, 1), (1080, 1920)])
def test_boxes_at_the_border_and_labels_wider_than_the_frame(
    make_result: Callable[..., FrameResult], box: list[float], size: tuple[int, int]
) -> None:
    result = make_result()
    image = np.zeros((*size, 3), np.uint8)
    empty = Mask(size=size, origin=(0, 0), bits=np.zeros((0, 0), np.bool_))
    detections = dataclasses.replace(
        result.detections,
        boxes=np.array([box, box], np.float32),
        masks=(empty, empty),
        track_ids=np.array([3, 4]),
    )
    for prompts in (("fish", "crab"), ("une très longue créature", "魚 %s\n"), ("a" * 500, "")):
        assert draw(image, detections, prompts).any()

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from sam3_edge.runtime.detections import Detections, Mask
from sam3_edge.runtime.draw import PALETTE, PaintFormat, draw, paint_masks
from sam3_edge.runtime.preprocess import plane_sizes
from sam3_edge.runtime.results import FrameResult
from tests.runtime.draw_twin import PaintedMask, paint_twin


def painted(result: FrameResult, **changes: object) -> np.ndarray:
    detections = dataclasses.replace(result.detections, **changes)  # type: ignore[arg-type]
    return draw(result.frame.bgr(), detections, result.prompts)


def test_the_frame_itself_is_not_touched(make_result: Callable[..., FrameResult]) -> None:
    result = make_result(size=(120, 160))
    before = result.frame.bgr().copy()
    after = painted(result)
    np.testing.assert_array_equal(result.frame.bgr(), before)
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
        draw(result.frame.bgr(), nothing, result.prompts), result.frame.bgr()
    )


def test_each_prompt_has_its_colour(make_result: Callable[..., FrameResult]) -> None:
    """In the middle of a mask a black frame shows the prompt's colour, dimmed."""
    result = make_result(size=(400, 500))
    black = dataclasses.replace(result.frame, planes=(np.zeros((400, 1500), np.uint8),))
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


# ------------------------------ out ------------------------------


def test_the_picture_is_drawn_into_out(make_result: Callable[..., FrameResult]) -> None:
    result = make_result(size=(120, 160))
    out = np.full((120, 160, 3), 9, np.uint8)
    for index in (0, 1):
        image = make_result(index, size=(120, 160)).frame.bgr()
        expected = draw(image, result.detections, result.prompts)
        assert draw(image, result.detections, result.prompts, out) is out
        np.testing.assert_array_equal(out, expected)


def test_out_may_be_the_image(make_result: Callable[..., FrameResult]) -> None:
    result = make_result(size=(120, 160))
    expected = painted(result)
    image = result.frame.bgr()
    assert draw(image, result.detections, result.prompts, image) is image
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros((48, 63, 3), np.uint8), r"expected \(48, 64, 3\) uint8.* got \(48, 63, 3\) uint8"),
        (np.zeros((48, 64, 3), np.float32), "got .* float32"),
        (np.zeros((48, 64, 6), np.uint8)[..., ::2], "uint8, not C-contiguous"),
    ],
)  # fmt: skip
def test_an_out_that_cannot_be_filled(
    make_result: Callable[..., FrameResult], out: np.ndarray, message: str
) -> None:
    result = make_result()
    with pytest.raises(ValueError, match=message):
        draw(result.frame.bgr(), result.detections, result.prompts, out)


def test_images_that_are_not_contiguous(make_result: Callable[..., FrameResult]) -> None:
    result = make_result()
    mirrored = result.frame.bgr()[:, ::-1]
    expected = draw(mirrored.copy(), result.detections, result.prompts)
    actual = draw(mirrored, result.detections, result.prompts)
    np.testing.assert_array_equal(actual, expected)


# ------------------------------ masks ------------------------------


def test_masks_are_tinted_and_outlined_the_best_on_top(
    make_result: Callable[..., FrameResult],
) -> None:
    """What the twin makes of them with 40 % of the prompt's colour and lines of 2 px at 720p."""
    size = (720, 900)
    detections = make_result(size=size).detections
    bits = np.zeros((300, 400), np.bool_)
    cv2.circle(bits.view(np.uint8), (200, 150), 149, 1, cv2.FILLED)
    masks = tuple(Mask(size=size, origin=origin, bits=bits) for origin in ((30, 40), (201, 77)))
    detections = dataclasses.replace(detections, masks=masks)
    image = make_result(size=size).frame.bgr().reshape(720, 2700)
    below_first = [
        PaintedMask(bits=bits, origin=masks[i].origin, colour=PALETTE[(1, 0)[i]]) for i in (1, 0)
    ]
    (expected,) = paint_twin((image,), "BGR", size, below_first, 0.4, 2.0)
    paint_masks((image,), "BGR", size, detections)
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize(
    ("pixel_format", "back"),
    [
        ("RGB", cv2.COLOR_RGB2BGR),
        ("BGRx", cv2.COLOR_BGRA2BGR),
        ("RGBA", cv2.COLOR_RGBA2BGR),
        ("NV12", cv2.COLOR_YUV2BGR_NV12),
    ],
)
def test_every_format_shows_the_same_picture(
    make_result: Callable[..., FrameResult], pixel_format: PaintFormat, back: int
) -> None:
    """On grey: the same bytes; in NV12 within what rounding makes, but for chroma at the rim."""
    is_nv12 = pixel_format == "NV12"
    bits = np.ones((40, 50), np.bool_)
    masks = tuple(Mask(size=(64, 80), origin=(x, 8), bits=bits) for x in (6, 30))
    detections = dataclasses.replace(make_result(size=(64, 80)).detections, masks=masks)
    bgr = np.full((64, 240), 100, np.uint8)
    paint_masks((bgr,), "BGR", (64, 80), detections)
    sizes = plane_sizes(pixel_format, 64, 80)
    greys = (102, 128) if is_nv12 else (100,)
    planes = tuple(np.full(shape, grey, np.uint8) for shape, grey in zip(sizes, greys, strict=True))
    paint_masks(planes, pixel_format, (64, 80), detections)
    whole = np.vstack(planes) if is_nv12 else planes[0].reshape(64, 80, -1)
    shown = cv2.cvtColor(whole, back).astype(int)
    away = np.abs(shown - bgr.reshape(64, 80, 3)).max(2)
    if is_nv12:
        rim = np.zeros((64, 80), np.bool_)
        for x in (6, 30):
            rim[[8, 9, 46, 47], x : x + 50] = True
            rim[8:48, [x, x + 1, x + 48, x + 49]] = True
        away[rim] = 0
    assert away.max() <= (4 if is_nv12 else 0)
    assert (shown[20, 20] != 100).any()
    assert (shown[20, 70] != shown[20, 20]).any()


def test_a_mask_of_a_larger_frame(make_result: Callable[..., FrameResult]) -> None:
    result = make_result()
    with pytest.raises(ValueError, match="window inside the frame of 20 x 16 pixels"):
        paint_masks((np.zeros((16, 60), np.uint8),), "BGR", (16, 20), result.detections)

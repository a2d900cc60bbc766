"""The same drawing in every format."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_edge.runtime.gstreamer.element.drawing import draw_boxes, draw_masks
from sam3_edge.runtime.gstreamer.element.layout import Picture
from sam3_edge.runtime.preprocess import PixelFormat, plane_sizes
from sam3_edge.runtime.results import FrameResult

SIZE = (240, 320)
TO_BGR = {
    "RGB": cv2.COLOR_RGB2BGR,
    "BGRx": cv2.COLOR_BGRA2BGR,
    "RGBA": cv2.COLOR_RGBA2BGR,
    "NV12": cv2.COLOR_YUV2BGR_NV12,
    "I420": cv2.COLOR_YUV2BGR_I420,
}


def drawn(format_: PixelFormat, result: FrameResult, *, apart: int = 0) -> NDArray[np.uint8]:
    """A grey picture with everything drawn into it, as BGR. apart: bytes between the rows."""
    sizes = plane_sizes(format_, *SIZE)
    whole = [np.full((rows, row + apart), 128, np.uint8) for rows, row in sizes]
    planes = tuple(plane[:, :row] for plane, (_, row) in zip(whole, sizes, strict=True))
    picture = Picture(planes=planes, format=format_, size=SIZE)
    draw_masks(picture, result.detections)
    draw_boxes(picture, result.detections, result.prompts)
    for plane, (_, row) in zip(whole, sizes, strict=True):
        assert (plane[:, row:] == 128).all()
    if format_ in ("NV12", "I420"):
        samples = np.concatenate([plane.ravel() for plane in planes])
        image = cv2.cvtColor(samples.reshape(SIZE[0] * 3 // 2, SIZE[1]), TO_BGR[format_])
        return np.asarray(image, np.uint8)
    pixels = planes[0].reshape(*SIZE, -1)
    if format_ == "BGR":
        return pixels
    return np.asarray(cv2.cvtColor(pixels, TO_BGR[format_]), np.uint8)


@pytest.mark.parametrize("apart", [0, 5])
@pytest.mark.parametrize("format_", ["RGB", "BGRx", "RGBA"])
def test_packed_formats_are_drawn_into_alike(
    format_: PixelFormat, apart: int, make_result: Callable[..., FrameResult]
) -> None:
    result = make_result(size=SIZE)
    expected = drawn("BGR", result)
    assert (expected != 128).any()
    np.testing.assert_allclose(drawn(format_, result, apart=apart), expected, atol=1)


@pytest.mark.parametrize("apart", [0, 6])
@pytest.mark.parametrize("format_", ["NV12", "I420"])
def test_planar_formats_are_drawn_into_in_the_same_colours(
    format_: PixelFormat, apart: int, make_result: Callable[..., FrameResult]
) -> None:
    result = make_result(size=SIZE)
    picture = drawn(format_, result, apart=apart).astype(int)
    difference = np.abs(picture - drawn("BGR", result).astype(int))
    # Half the chroma: only lines and letters differ.
    assert np.median(difference[difference > 0]) < 60
    assert difference.mean() < 4
    np.testing.assert_array_equal(drawn("NV12", result), drawn("I420", result))


def test_what_lies_at_the_edges_is_drawn(make_result: Callable[..., FrameResult]) -> None:
    result = make_result(size=(8, 8))
    planes = tuple(np.full(size, 128, np.uint8) for size in plane_sizes("I420", 8, 8))
    draw_boxes(Picture(planes=planes, format="I420", size=(8, 8)), result.detections, ("a", "é"))
    assert (planes[0] != 128).any()

"""A frame of any format shows the same picture to who looks at it as to the engine."""

from typing import get_args

import numpy as np
import pytest

from sam3_edge.runtime.frame import bgr_frame, frame_of
from sam3_edge.runtime.preprocess import PixelFormat, layout_of, preprocess_planes
from tests.runtime.preprocess_twin import to_rgb_twin

FORMATS: tuple[PixelFormat, ...] = get_args(PixelFormat)
STAMPS = {"source": "test", "index": 3, "time_s": 0.1, "captured_ns": 1, "utc_ns": 2}


@pytest.mark.parametrize("size", [(6, 8), (7, 9), (1, 1), (5, 2)])
@pytest.mark.parametrize("padding", [0, 10])
@pytest.mark.parametrize("pixel_format", FORMATS)
def test_bgr_of_every_format(
    pixel_format: PixelFormat, padding: int, size: tuple[int, int]
) -> None:
    stride = layout_of(pixel_format, *size).strides[0] + padding
    layout = layout_of(pixel_format, *size, stride=stride)
    buffer = np.random.default_rng(0).integers(0, 256, layout.num_bytes, np.uint8)
    frame = frame_of(buffer, layout, **STAMPS)  # type: ignore[arg-type]
    assert (frame.size, frame.format, frame.state) == (size, pixel_format, "ok")
    rgb = to_rgb_twin(tuple(map(np.ascontiguousarray, frame.planes)), pixel_format, size)
    np.testing.assert_array_equal(frame.bgr(), rgb[..., ::-1])


def test_bgr_is_shared_and_the_rest_is_not() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    frame = bgr_frame(image, **STAMPS)  # type: ignore[arg-type]
    frame.bgr()[1, 2] = 7
    assert image[1, 2].tolist() == [7, 7, 7]
    grey = frame_of(bytes(24), layout_of("GRAY8", 4, 6), **STAMPS)  # type: ignore[arg-type]
    grey.bgr()[...] = 9
    assert not grey.planes[0].any()


def test_a_mirrored_picture_is_what_it_shows() -> None:
    image = np.random.default_rng(1).integers(0, 256, (8, 9, 3), np.uint8)[:, ::-1]
    frame = bgr_frame(image, **STAMPS)  # type: ignore[arg-type]
    np.testing.assert_array_equal(frame.bgr(), image)
    out, expected = np.zeros((2, 9, 9, 3), np.uint8)
    preprocess_planes(frame.planes, frame.format, frame.size, out)
    straight = bgr_frame(np.ascontiguousarray(image), **STAMPS)  # type: ignore[arg-type]
    preprocess_planes(straight.planes, straight.format, straight.size, expected)
    np.testing.assert_array_equal(out, expected)


def test_a_buffer_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 36 bytes, got 35"):
        frame_of(bytes(35), layout_of("NV12", 4, 6), **STAMPS)  # type: ignore[arg-type]

"""The picture the network sees is the one it was trained on: PyTorch's antialiased bilinear."""

from typing import get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from sam3_edge.runtime.preprocess import (
    FrameLayout,
    PixelFormat,
    layout_of,
    plane_sizes,
    preprocess,
    preprocess_frame,
    preprocess_planes,
)
from tests.runtime.preprocess_twin import resize_twin, to_rgb_twin

FORMATS: tuple[PixelFormat, ...] = get_args(PixelFormat)
YUV = ("NV12", "I420", "YUY2")


def resized(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    out = np.zeros((side, side, 3), dtype=np.uint8)
    preprocess(image, out)
    return out


def from_frame(buffer: NDArray[np.uint8], layout: FrameLayout, side: int) -> NDArray[np.uint8]:
    out = np.zeros((side, side, 3), dtype=np.uint8)
    preprocess_frame(buffer, layout, out)
    return out


def pillow(rgb: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    picture = Image.fromarray(np.ascontiguousarray(rgb))
    return np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR))


def pytorch(image: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    planes = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None].float()
    squeezed = F.interpolate(
        planes, size=(side, side), mode="bilinear", align_corners=False, antialias=True
    )
    small: NDArray[np.float32] = squeezed[0].permute(1, 2, 0).numpy()
    return small


def noise(seed: int, *shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def largest_difference(one: NDArray[np.uint8], other: NDArray[np.generic]) -> float:
    return float(np.abs(one - other.astype(np.float32)).max())


# ------------------------------ preprocess ------------------------------


@pytest.mark.parametrize(
    "size", [(720, 1280), (480, 640), (337, 1013), (28, 28), (20, 13), (1, 1), (3, 500), (2000, 31)]
)
@pytest.mark.parametrize("side", [14, 28, 224])
def test_equals_pytorch(size: tuple[int, int], side: int) -> None:
    image = noise(1, *size, 3)
    # A half is rounding.
    assert largest_difference(resized(image, side), pytorch(image, side)) <= 0.55


@given(
    size=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    side=st.integers(1, 64),
    seed=st.integers(0, 99),
    contrast=st.booleans(),
)
def test_equals_the_twin_and_pillow(
    size: tuple[int, int], side: int, seed: int, contrast: bool
) -> None:
    image = noise(seed, *size, 3)
    if contrast:
        image = np.where(image < 128, np.uint8(0), np.uint8(255))
    small = resized(image, side)
    assert largest_difference(small, resize_twin(image[..., ::-1], side)) <= 0.55
    assert largest_difference(small, pillow(image[..., ::-1], side)) <= 1


def test_a_constant_stays_and_black_and_white_do_not_wrap() -> None:
    for value in (0, 1, 127, 255):
        image = np.full((500, 333, 3), value, dtype=np.uint8)
        assert (resized(image, 224) == value).all()


def test_colours_are_swapped() -> None:
    image = np.zeros((50, 60, 3), dtype=np.uint8)
    image[..., 0] = 200  # blue
    assert resized(image, 14)[3, 4].tolist() == [0, 0, 200]


def test_any_row_stride_and_flipped_views() -> None:
    wide = noise(2, 100, 200, 3)
    one_row = np.broadcast_to(wide[:1], (100, 200, 3))
    for view in (wide[10:90, 20:150], wide[::-1], wide[:, ::-1], wide[::2, ::3], one_row):
        np.testing.assert_array_equal(resized(view, 28), resized(view.copy(), 28))


def test_it_writes_into_the_slot_it_was_given() -> None:
    slots = np.zeros((3, 28, 28, 3), dtype=np.uint8)
    preprocess(np.full((40, 40, 3), 9, dtype=np.uint8), slots[1])
    assert (slots[[0, 2]] == 0).all()
    assert (slots[1] == 9).all()


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 4), (0, 7, 3), (7, 0, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        resized(np.zeros(shape, np.uint8), 28)


# ------------------------------ other formats ------------------------------


@given(
    pixel_format=st.sampled_from(FORMATS),
    size=st.tuples(st.integers(1, 90), st.integers(1, 120)),
    side=st.integers(1, 64),
    padding=st.integers(0, 40),
    seed=st.integers(0, 99),
)
def test_equals_converting_with_opencv_first(
    pixel_format: PixelFormat, size: tuple[int, int], side: int, padding: int, seed: int
) -> None:
    packed = layout_of(pixel_format, *size)
    layout = layout_of(pixel_format, *size, stride=packed.strides[0] + 2 * padding)
    frame = noise(seed, layout.num_bytes)
    planes = tuple(
        np.stack([frame[offset + row * stride :][:length] for row in range(rows)])
        for (rows, length), offset, stride in zip(
            plane_sizes(pixel_format, *size), layout.offsets, layout.strides, strict=True
        )
    )
    rgb = to_rgb_twin(planes, pixel_format, size)
    small = from_frame(frame, layout, side)
    assert largest_difference(small, pillow(rgb, side)) <= (2 if pixel_format in YUV else 1)
    again = np.zeros_like(small)
    preprocess_planes(planes, pixel_format, size, again)
    np.testing.assert_array_equal(small, again)


@pytest.mark.parametrize(
    ("y", "u", "v", "rgb"),
    [
        (16, 128, 128, [0, 0, 0]),
        (235, 128, 128, [255, 255, 255]),
        (81, 90, 240, [254, 0, 0]),
        (41, 240, 110, [0, 0, 255]),
        (0, 0, 0, [0, 154, 0]),
        (255, 255, 255, [255, 125, 255]),
    ],
)
def test_yuv_is_of_limited_range(y: int, u: int, v: int, rgb: list[int]) -> None:
    planes = (np.full((50, 70), y, np.uint8), np.tile(np.array([u, v], np.uint8), (25, 35)))
    out = np.zeros((14, 14, 3), np.uint8)
    preprocess_planes(planes, "NV12", (50, 70), out)
    assert np.abs(out.astype(int) - rgb).max() <= 1


def test_alpha_and_filler_are_left_out() -> None:
    pixels = noise(4, 40, 30, 4)
    for pixel_format in ("RGBA", "BGRx"):
        layout = layout_of(pixel_format, 40, 30)
        other = pixels.copy()
        other[..., 3] ^= 255
        one, two = (from_frame(array.reshape(-1), layout, 9) for array in (pixels, other))
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer(kind: type) -> None:
    layout = layout_of("NV12", 30, 40)
    pixels = noise(5, layout.num_bytes)
    out = np.zeros((14, 14, 3), np.uint8)
    preprocess_frame(kind(pixels.tobytes()), layout, out)
    np.testing.assert_array_equal(out, from_frame(pixels, layout, 14))


# ------------------------------ layouts ------------------------------


def test_planes_lie_one_behind_another() -> None:
    layout = layout_of("I420", 480, 640, stride=704)
    assert layout.strides == (704, 352, 352)
    assert layout.offsets == (0, 704 * 480, 704 * 480 + 352 * 240)
    # the last row needs no filler behind it
    assert layout.num_bytes == 704 * 480 + 352 * 240 * 2 - (352 - 320)


def test_an_odd_side_has_a_chroma_sample_to_itself() -> None:
    assert plane_sizes("NV12", 5, 7) == [(5, 7), (3, 8)]
    assert plane_sizes("I420", 5, 7) == [(5, 7), (3, 4), (3, 4)]
    assert plane_sizes("YUY2", 5, 7) == [(5, 16)]
    assert layout_of("NV12", 5, 7).strides == (8, 8)


def test_a_short_buffer_is_refused() -> None:
    layout = layout_of("NV12", 480, 640)
    with pytest.raises(ValueError, match="expected 460800 bytes, got 460799"):
        from_frame(np.zeros(460799, np.uint8), layout, 14)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"strides": (640, 639)}, "strides of at least"),
        ({"strides": (-640, 640)}, "strides of at least"),
        ({"strides": (640,)}, "strides and offsets of 2 planes"),
        ({"offsets": (0, 1, 2)}, "strides and offsets of 2 planes"),
        ({"offsets": (0, -1)}, "offsets of zero or more"),
        ({"height": 0}, "at least 1 x 1"),
        ({"format": "NV21"}, "BGR, RGB, BGRx, RGBA, GRAY8, NV12, I420, YUY2, got 'NV21'"),
    ],
)
def test_layouts_that_do_not_agree_are_refused(layout: dict[str, object], message: str) -> None:
    good: dict[str, object] = {
        "format": "NV12", "height": 480, "width": 640, "strides": (640, 640), "offsets": (0, 307200)
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        FrameLayout(**{**good, **layout})  # type: ignore[arg-type]

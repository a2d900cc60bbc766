"""The binding: vector instructions change no bit, and no argument can make it crash."""

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sam3_edge.runtime import _kernels
from sam3_edge.runtime.preprocess import PixelFormat, plane_sizes

FORMATS: tuple[PixelFormat, ...] = get_args(PixelFormat)
HEIGHT, WIDTH, SIDE = 20, 30, 8


def run(
    planes: tuple[NDArray[np.uint8], ...], pixel_format: str, size: tuple[int, int], side: int,
    scalar: bool,
) -> NDArray[np.uint8]:  # fmt: skip
    rows, columns = (_kernels.line_filter(number, side) for number in size)
    out = np.zeros((side, side, 3), np.uint8)
    _kernels.preprocess(out, planes, pixel_format, *size, rows, columns, scalar)
    return out


@given(
    pixel_format=st.sampled_from(FORMATS),
    size=st.tuples(st.integers(1, 80), st.integers(1, 150)),
    side=st.integers(1, 64),
    padding=st.integers(0, 40),
    flip=st.booleans(),
    seed=st.integers(0, 99),
)
def test_vectors_give_the_scalar_bits(
    pixel_format: PixelFormat, size: tuple[int, int], side: int, padding: int, flip: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    planes = tuple(
        rng.integers(0, 256, (rows, length + padding), dtype=np.uint8)[
            :: -1 if flip else 1, :length
        ]
        for rows, length in plane_sizes(pixel_format, *size)
    )
    fast, slow = (run(planes, pixel_format, size, side, scalar) for scalar in (False, True))
    np.testing.assert_array_equal(fast, slow)


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_vectors_give_the_scalar_bits_of_extremes(pixel_format: PixelFormat) -> None:
    sizes = plane_sizes(pixel_format, 64, 64)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        planes = tuple(
            rng.choice(np.array([0, 16, 128, 235, 255], np.uint8), shape) for shape in sizes
        )
        fast, slow = (run(planes, pixel_format, (64, 64), 64, scalar) for scalar in (False, True))
        np.testing.assert_array_equal(fast, slow)


@pytest.mark.parametrize("size", [(32768, 1), (1, 32768)])
@pytest.mark.parametrize("pixel_format", FORMATS)
def test_the_longest_side(pixel_format: PixelFormat, size: tuple[int, int]) -> None:
    planes = tuple(np.full(shape, 128, np.uint8) for shape in plane_sizes(pixel_format, *size))
    expected = 130 if pixel_format in ("NV12", "I420", "YUY2") else 128
    for side in (1, 5):
        assert (run(planes, pixel_format, size, side, scalar=False) == expected).all()


# ------------------------------ what is refused ------------------------------


def arguments(**changed: Any) -> list[Any]:
    """Those of a good call, some of them changed."""
    good: dict[str, Any] = {
        "out": np.zeros((SIDE, SIDE, 3), np.uint8),
        "planes": (np.zeros((HEIGHT, WIDTH), np.uint8), np.zeros((HEIGHT // 2, WIDTH), np.uint8)),
        "format": "NV12",
        "height": HEIGHT,
        "width": WIDTH,
        "rows": _kernels.line_filter(HEIGHT, SIDE),
        "columns": _kernels.line_filter(WIDTH, SIDE),
    }
    return list({**good, **changed}.values())


def luma(array: object) -> tuple[object, ...]:
    return (array, np.zeros((HEIGHT // 2, WIDTH), np.uint8))


def read_only() -> NDArray[np.uint8]:
    out = np.zeros((SIDE, SIDE, 3), np.uint8)
    out.flags.writeable = False
    return out


def test_the_good_call() -> None:
    _kernels.preprocess(*arguments())


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros((SIDE, SIDE), np.uint8), "expected 3 dimensions of uint8, got 2 of format 'B'"),
        (np.zeros((SIDE, SIDE, 3), np.int8), "expected 3 dimensions of uint8, got 3 of format 'b'"),
        (np.zeros((SIDE, SIDE + 1, 3), np.uint8), r"expected \(S, S, 3\).* got \(8, 9, 3\)"),
        (np.zeros((SIDE, SIDE, 4), np.uint8), r"got \(8, 8, 4\)"),
        (np.zeros((0, 0, 3), np.uint8), r"got \(0, 0, 3\)"),
        (np.broadcast_to(np.uint8(0), (40000, 40000, 3)), r"got \(40000, 40000, 3\)"),
        (np.zeros((SIDE, SIDE, 6), np.uint8)[..., ::2], "got .*not C-contiguous and writable"),
        (np.zeros((SIDE, SIDE, 3), np.uint8)[::-1], "got .*not C-contiguous"),
        (read_only(), "C-contiguous and read-only"),
        (np.zeros((9, 9, 3), np.uint8), "rows: expected a filter from 20 to 9 lines, got 20 to 8"),
    ],
)
def test_what_cannot_be_filled(out: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _kernels.preprocess(*arguments(out=out))


@pytest.mark.parametrize(
    ("planes", "message"),
    [
        ((), "planes: expected 2 of NV12, got 0"),
        (luma(np.zeros((HEIGHT, WIDTH), np.uint8)) * 2, "planes: expected 2 of NV12, got 4"),
        (luma(np.zeros((HEIGHT - 1, WIDTH), np.uint8)), "expected 20 rows of 30 bytes, got 19 of 30"),
        (luma(np.zeros((HEIGHT, WIDTH - 1), np.uint8)), "expected 20 rows of 30 bytes, got 20 of 29"),
        (luma(np.zeros((HEIGHT, 2 * WIDTH), np.uint8)[:, ::2]), "side by side, got one every 2"),
        (luma(np.zeros((HEIGHT, WIDTH), np.uint8)[:, ::-1]), "side by side, got one every -1"),
        (luma(np.zeros((HEIGHT, WIDTH), np.float32)), "2 dimensions of uint8, got 2 of format 'f'"),
        (luma(np.zeros((HEIGHT, WIDTH), np.bool_)), r"got 2 of format '\?'"),
        (luma(np.zeros((HEIGHT, WIDTH, 1), np.uint8)), "got 3 of format 'B'"),
        (luma(b"abc"), "got 1 of format 'B'"),
    ],
)  # fmt: skip
def test_planes_of_another_picture(planes: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _kernels.preprocess(*arguments(planes=planes))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"format": "bgr"}, "format: expected BGR, .* or YUY2, got 'bgr'"),
        ({"format": "NV12\0"}, "null"),
        ({"height": 0}, "expected sides of 1 to 32768 pixels, got 30 x 0"),
        ({"width": -1}, "got -1 x 20"),
        ({"width": 32769}, "got 32769 x 20"),
        ({"height": 2**62}, "expected sides"),
        ({"height": HEIGHT + 1}, "expected 21 rows of 30 bytes"),
        ({"rows": _kernels.line_filter(HEIGHT + 1, SIDE)}, "rows: expected a filter from 20 to 8"),
        ({"columns": _kernels.line_filter(WIDTH, 9)}, "columns: .* from 30 to 8 lines, got 30 to 9"),
    ],
)  # fmt: skip
def test_other_values(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _kernels.preprocess(*arguments(**changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"out": None},
        {"out": [0]},
        {"planes": [np.zeros((HEIGHT, WIDTH), np.uint8)]},
        {"planes": (None, None)},
        {"format": 3},
        {"height": 2.5},
        {"width": "30"},
        {"rows": None},
        {"columns": np.zeros(4, np.uint8)},
        {"rows": __import__("datetime").datetime_CAPI},  # a capsule of somebody else
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_other_types(changed: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        _kernels.preprocess(*arguments(**changed))


def test_what_was_refused_leaves_the_picture_alone() -> None:
    out = np.full((SIDE, SIDE, 3), 7, np.uint8)
    with pytest.raises(ValueError, match="planes"):
        _kernels.preprocess(*arguments(out=out, planes=()))
    assert (out == 7).all()


@pytest.mark.parametrize("sizes", [(0, 5), (5, 0), (-1, 5), (32769, 5), (5, 32769), (2**62, 2**62)])
def test_filters_of_no_size(sizes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="filter: expected 1 to 32768 lines"):
        _kernels.line_filter(*sizes)


def test_numbers_beyond_64_bits() -> None:
    with pytest.raises(OverflowError):
        _kernels.line_filter(2**64, 5)

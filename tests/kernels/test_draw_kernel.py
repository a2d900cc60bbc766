"""Masks painted in C are the twin's, vector instructions change no bit, no argument crashes it."""

from typing import Any, get_args

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sam3_edge.runtime import _kernels
from sam3_edge.runtime.draw import PaintFormat
from sam3_edge.runtime.preprocess import plane_sizes
from tests.runtime.draw_twin import PaintedMask, Planes, outline_twin, paint_twin, to_yuv_twin

FORMATS: tuple[PaintFormat, ...] = get_args(PaintFormat)
HEIGHT, WIDTH = 20, 30
RED = (0, 0, 255)


def entries(masks: list[PaintedMask]) -> tuple[Any, ...]:
    return tuple((mask.bits, *mask.origin, mask.colour) for mask in masks)


def noise(pixel_format: PaintFormat, size: tuple[int, int], padding: int, flip: bool) -> Planes:
    """The same every time. Rows lie `padding` bytes apart, and upside down."""
    rng = np.random.default_rng(0)
    return tuple(
        rng.integers(0, 256, (rows, length + padding), dtype=np.uint8)[
            :: -1 if flip else 1, :length
        ]
        for rows, length in plane_sizes(pixel_format, *size)
    )


def random_mask(rng: np.random.Generator, size: tuple[int, int], share: float) -> PaintedMask:
    """Anywhere in the frame, of any size. share: of the bits; above 1: a rectangle."""
    height, width = (int(rng.integers(0, side + 1)) for side in size)
    origin = int(rng.integers(0, size[1] - width + 1)), int(rng.integers(0, size[0] - height + 1))
    bits = rng.random((height, width)) < share
    if share > 1:
        bits[: height // 8] = bits[:, width - width // 7 :] = False
    blue, green, red = (int(value) for value in rng.integers(0, 256, 3))
    return PaintedMask(bits=bits, origin=origin, colour=(blue, green, red))


def assert_the_twins(
    pixel_format: PaintFormat,
    size: tuple[int, int],
    masks: list[PaintedMask],
    style: tuple[float, float],
    rows: tuple[int, bool],
) -> None:
    """style: strength and thickness. rows: padding, and whether upside down."""
    expected = paint_twin(noise(pixel_format, size, *rows), pixel_format, size, masks, *style)
    for scalar in (True, False):
        planes = noise(pixel_format, size, *rows)
        _kernels.paint_masks(planes, pixel_format, *size, entries(masks), *style, scalar)
        for plane, twin in zip(planes, expected, strict=True):
            np.testing.assert_array_equal(plane, twin)


@given(
    pixel_format=st.sampled_from(FORMATS),
    size=st.tuples(st.integers(1, 40), st.integers(1, 90)),
    shares=st.lists(st.sampled_from([0.0, 0.5, 0.97, 1.0, 2.0]), max_size=4),
    strength=st.floats(0, 1),
    thickness=st.floats(0, 16),
    rows=st.tuples(st.integers(0, 40), st.booleans()),
    seed=st.integers(0, 999),
)
def test_the_twins_bits_with_and_without_vectors(
    pixel_format: PaintFormat,
    size: tuple[int, int],
    shares: list[float],
    strength: float,
    thickness: float,
    rows: tuple[int, bool],
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    masks = [random_mask(rng, size, share) for share in shares]
    assert_the_twins(pixel_format, size, masks, (strength, thickness), rows)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("pixel_format", FORMATS)
def test_the_twins_bits_in_frames_of_many_tiles(pixel_format: PaintFormat, seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(30, 60)), int(rng.integers(1000, 1100))
    masks = [random_mask(rng, size, share) for share in (0.02, 0.5, 0.98, 1.0, 2.0)]
    style = (0.0, 0.4, 1.0)[seed % 3], (0.0, 1.0, 1.5, 2.0)[seed % 4]
    assert_the_twins(pixel_format, size, masks, style, (seed, seed % 2 == 1))


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_bytes_between_rows_stay(pixel_format: PaintFormat) -> None:
    size = (33, 70)
    whole = tuple(
        np.full((rows, length + 50), 77, np.uint8)
        for rows, length in plane_sizes(pixel_format, *size)
    )
    sizes = plane_sizes(pixel_format, *size)
    planes = tuple(plane[:, :length] for plane, (_, length) in zip(whole, sizes, strict=True))
    mask = (np.ones(size, np.bool_), 0, 0, RED)
    _kernels.paint_masks(planes, pixel_format, *size, (mask,), 1.0, 2.0)
    for plane, (_, length) in zip(whole, sizes, strict=True):
        assert (plane[:, length:] == 77).all()
        assert (plane[:, :length] != 77).any()


@given(
    height=st.integers(1, 24), width=st.integers(1, 80), share=st.floats(0, 1),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_any_nonzero_byte_is_set_and_rows_of_bits_may_lie_anywhere(
    height: int, width: int, share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 256, (height, width + 3), dtype=np.uint8)
    values[rng.random(values.shape) > share] = 0
    bits = values[::-1, 1 : width + 1]
    ways: list[tuple[NDArray[np.uint8] | NDArray[np.bool_], bool]] = [
        (bits, False),
        (bits, True),
        (bits.astype(np.bool_), False),
        (np.ascontiguousarray(bits), False),
    ]
    painted = [np.zeros((height, 3 * width), np.uint8) for _ in ways]
    for picture, (mask, scalar) in zip(painted, ways, strict=True):
        masks = ((mask, 0, 0, (9, 8, 200)),)
        _kernels.paint_masks((picture,), "BGR", height, width, masks, 0.5, 1.0, scalar)
    for picture in painted[1:]:
        np.testing.assert_array_equal(picture, painted[0])
    np.testing.assert_array_equal(painted[0].reshape(height, width, 3).any(2), bits != 0)


@pytest.mark.parametrize("thickness", [1.0, 1.5, 2.0, 5.0])
def test_the_outline_is_as_thick_as_asked_for(thickness: float) -> None:
    """Of a large rectangle: exactly so many whole pixels, on all four sides."""
    bits = np.ones((40, 50), np.bool_)
    picture = np.zeros((60, 80 * 3), np.uint8)
    _kernels.paint_masks((picture,), "BGR", 60, 80, ((bits, 10, 10, RED),), 0.0, thickness)
    red = picture.reshape(60, 80, 3)[..., 2] == 255
    inner = np.zeros((60, 80), np.bool_)
    edge = int(thickness)
    inner[10 + edge : 50 - edge, 10 + edge : 60 - edge] = True
    whole = np.zeros((60, 80), np.bool_)
    whole[10:50, 10:60] = True
    np.testing.assert_array_equal(red, whole & ~inner)
    np.testing.assert_array_equal(red[10:50, 10:60], outline_twin(bits, thickness))


def test_colours_of_nv12_are_opencvs() -> None:
    """Painted opaque, and converted back by OpenCV, within what two roundings make."""
    rng = np.random.default_rng(0)
    grey = [(value, value, value) for value in range(0, 256, 15)]
    for colour in [*grey, *map(tuple, rng.integers(0, 256, (60, 3)).tolist())]:
        planes = (np.zeros((2, 2), np.uint8), np.zeros((1, 2), np.uint8))
        _kernels.paint_masks(
            planes, "NV12", 2, 2, ((np.ones((2, 2), np.bool_), 0, 0, colour),), 1.0, 0.0
        )
        assert (planes[0] == to_yuv_twin(colour)[0]).all()
        assert planes[1].ravel().tolist() == list(to_yuv_twin(colour)[1:])
        bgr = cv2.cvtColor(np.vstack(planes), cv2.COLOR_YUV2BGR_NV12)
        np.testing.assert_allclose(bgr[0, 0], colour, atol=3)


def test_chroma_takes_the_share_of_its_pixels() -> None:
    for count in range(5):
        bits = (np.arange(4) < count).reshape(2, 2)
        planes = (np.full((2, 2), 16, np.uint8), np.full((1, 2), 128, np.uint8))
        _kernels.paint_masks(planes, "NV12", 2, 2, ((bits, 0, 0, RED),), 1.0, 0.0)
        expected = 128 + (np.array(to_yuv_twin(RED)[1:]) - 128) * count / 4
        np.testing.assert_allclose(planes[1][0], expected, atol=0.5)


def test_later_masks_lie_on_top() -> None:
    bits = np.ones((8, 8), np.bool_)
    picture = np.zeros((8, 24), np.uint8)
    masks = ((bits, 0, 0, RED), (bits[:, :4].copy(), 4, 0, (255, 0, 0)))
    _kernels.paint_masks((picture,), "BGR", 8, 8, masks, 1.0, 0.0)
    pixels = picture.reshape(8, 8, 3)
    assert (pixels[:, :4] == RED).all()
    assert (pixels[:, 4:] == (255, 0, 0)).all()


@pytest.mark.parametrize("size", [(32768, 1), (1, 32768)])
@pytest.mark.parametrize("pixel_format", FORMATS)
def test_the_longest_side(pixel_format: PaintFormat, size: tuple[int, int]) -> None:
    planes = tuple(np.zeros(shape, np.uint8) for shape in plane_sizes(pixel_format, *size))
    mask = PaintedMask(bits=np.ones(size, np.bool_), origin=(0, 0), colour=(200, 100, 50))
    expected = paint_twin(planes, pixel_format, size, [mask], 0.4, 1.0)
    _kernels.paint_masks(planes, pixel_format, *size, entries([mask]), 0.4, 1.0)
    for plane, twin in zip(planes, expected, strict=True):
        np.testing.assert_array_equal(plane, twin)


# ------------------------------ what is refused ------------------------------


def arguments(**changed: Any) -> list[Any]:
    """Those of a good call, some of them changed."""
    good: dict[str, Any] = {
        "planes": luma(np.zeros((HEIGHT, WIDTH), np.uint8)),
        "format": "NV12",
        "height": HEIGHT,
        "width": WIDTH,
        "masks": (entry(),),
        "strength": 0.4,
        "thickness": 1.5,
    }
    return list({**good, **changed}.values())


def luma(array: object) -> tuple[object, ...]:
    return (array, np.zeros((HEIGHT // 2, WIDTH), np.uint8))


def entry(**changed: Any) -> tuple[Any, ...]:
    good: dict[str, Any] = {"bits": np.ones((4, 5), np.bool_), "x": 25, "y": 16, "colour": RED}
    return tuple({**good, **changed}.values())


def read_only(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    array.flags.writeable = False
    return array


def test_the_good_call() -> None:
    assert _kernels.paint_masks(*arguments()) is None  # type: ignore[func-returns-value]


def test_no_masks() -> None:
    planes = luma(np.full((HEIGHT, WIDTH), 7, np.uint8))
    _kernels.paint_masks(*arguments(planes=planes, masks=()))
    assert (planes[0] == np.uint8(7)).all()


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
        (luma(read_only(np.zeros((HEIGHT, WIDTH), np.uint8))), "to write, got a read-only one"),
        ((np.zeros((HEIGHT, WIDTH), np.uint8), read_only(np.zeros((10, WIDTH), np.uint8))), "read-only"),
        (luma(b"abc"), "got 1 of format 'B'"),
    ],
)  # fmt: skip
def test_planes_of_another_picture(planes: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _kernels.paint_masks(*arguments(planes=planes))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (entry(x=26), r"inside the frame of 30 x 20 pixels, got 5 x 4 at \(26, 16\)"),
        (entry(y=17), r"got 5 x 4 at \(25, 17\)"),
        (entry(x=-1), r"at \(-1, 16\)"),
        (entry(y=-(2**62)), "inside the frame"),
        (entry(x=2**63 - 1), "inside the frame"),
        (entry(bits=np.ones((21, 1), np.bool_), x=0, y=0), "got 1 x 21 at"),
        (entry(bits=np.ones(5, np.bool_)), r"got 1 of format '\?'"),
        (entry(bits=np.ones((4, 5), np.float32)), "expected 2 dimensions of bool or uint8"),
        (entry(bits=np.ones((4, 10), np.bool_)[:, ::2]), "side by side, got one every 2 bytes"),
        (entry(colour=(0, 0, 256)), r"0 to 255, got \(0, 0, 256\)"),
        (entry(colour=(-1, 0, 0)), r"got \(-1, 0, 0\)"),
    ],
)
def test_masks_that_do_not_fit(mask: tuple[Any, ...], message: str) -> None:
    """Nothing is painted, the good mask before it neither."""
    planes = luma(np.full((HEIGHT, WIDTH), 7, np.uint8))
    with pytest.raises(ValueError, match=message):
        _kernels.paint_masks(*arguments(planes=planes, masks=(entry(), mask)))
    assert (planes[0] == np.uint8(7)).all()


def test_bits_that_lie_in_the_frame_itself() -> None:
    plane = np.ones((HEIGHT, WIDTH), np.uint8)
    with pytest.raises(ValueError, match="expected memory of its own"):
        _kernels.paint_masks(*arguments(planes=luma(plane), masks=(entry(bits=plane, x=0, y=0),)))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"format": "nv12"}, "format: expected BGR, .* got 'nv12'"),
        ({"format": "I420"}, "format: expected BGR, RGB, BGRx, RGBA or NV12, got 'I420'"),
        ({"format": "NV12\0"}, "null"),
        ({"height": 0}, "expected sides of 1 to 32768 pixels, got 30 x 0"),
        ({"width": -1}, "got -1 x 20"),
        ({"width": 32769}, "got 32769 x 20"),
        ({"height": 2**62}, "expected sides"),
        ({"height": HEIGHT + 1}, "expected 21 rows of 30 bytes"),
        ({"strength": 1.01}, "strength: expected 0 to 1, got 1.01"),
        ({"strength": -0.1}, "strength: expected 0 to 1, got -0.1"),
        ({"strength": float("nan")}, "strength: expected 0 to 1, got nan"),
        ({"thickness": 16.5}, "thickness: expected 0 to 16, got 16.5"),
        ({"thickness": float("inf")}, "thickness: .* got inf"),
        ({"thickness": float("nan")}, "thickness: .* got nan"),
        ({"thickness": -1e-300}, "thickness: expected 0 to 16, got -1e-300"),
    ],
)
def test_other_values(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _kernels.paint_masks(*arguments(**changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"planes": [np.zeros((HEIGHT, WIDTH), np.uint8)]},
        {"planes": (None, None)},
        {"format": 3},
        {"height": 2.5},
        {"width": "30"},
        {"masks": [entry()]},
        {"masks": None},
        {"masks": (None,)},
        {"masks": (list(entry()),)},
        {"masks": (entry()[:3],)},
        {"masks": ((*entry(), 1),)},
        {"masks": (entry(bits=None),)},
        {"masks": (entry(x=1.5),)},
        {"masks": (entry(colour=(1, 2)),)},
        {"masks": (entry(colour=None),)},
        {"masks": (entry(colour=(1.5, 2, 3)),)},
        {"strength": "0.4"},
        {"thickness": None},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_other_types(changed: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        _kernels.paint_masks(*arguments(**changed))


@pytest.mark.parametrize(
    "changed", [{"height": 2**64}, {"masks": (entry(x=2**64),)}, {"masks": (entry(colour=(2**40, 0, 0)),)}]
)  # fmt: skip
def test_numbers_beyond_the_machines(changed: dict[str, Any]) -> None:
    with pytest.raises(OverflowError):
        _kernels.paint_masks(*arguments(**changed))

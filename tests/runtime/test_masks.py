"""Masks found on the logits are the masks of the float image that is never made."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco

from sam3_edge.runtime import _kernels
from sam3_edge.runtime.masks import logits_to_mask, logits_to_packed, logits_to_rle, mask_extent
from sam3_edge.runtime.rle import encode_rle

Logits = NDArray[np.float32]
Box = tuple[float, float, float, float]
Kind = Callable[[tuple[int, int], int], Logits]

SIDES = st.one_of(st.integers(1, 12), st.sampled_from([31, 63, 64, 65, 72, 84, 130]))
SHAPES = st.tuples(SIDES, SIDES)
FRAMES = st.tuples(st.integers(1, 150), st.integers(1, 150))
EDGES = st.one_of(
    st.floats(-20, 160), st.sampled_from([0.0, 1.0, 50.0, np.inf, -np.inf, np.nan, 1e300])
)
BOXES = st.none() | st.tuples(EDGES, EDGES, EDGES, EDGES)


def noise(shape: tuple[int, int], seed: int) -> Logits:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def shapes(shape: tuple[int, int], seed: int) -> Logits:
    """A few soft discs: what a network says of objects."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    logits = np.full(shape, -4.0)
    for _ in range(3):
        (cy, cx), radius = rng.uniform(0, shape), rng.uniform(0, max(shape) / 3)
        logits = np.maximum(logits, radius - np.hypot(y - cy, x - cx))
    return logits.astype(np.float32)


def extremes(shape: tuple[int, int], seed: int) -> Logits:
    """Numbers that no network should give, among some that it does."""
    odd = [np.nan, np.inf, -np.inf, 3e38, -3e38, 0.0, -0.0, 1e-40, -1e-40, 1.0, -1.0]
    return np.random.default_rng(seed).choice(np.array(odd, np.float32), size=shape)


LOGITS = st.builds(
    lambda kind, shape, seed: kind(shape, seed),
    st.sampled_from([noise, shapes, extremes]),
    SHAPES,
    st.integers(0, 2**32 - 1),
)


def cells(num_in: int, num_out: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each pixel the logit before it and its share of the next one: a quotient of integers."""
    centre = (2 * np.arange(num_out, dtype=np.int64) + 1) * num_in
    cell = np.maximum(centre - num_out, 0) // (2 * num_out)
    past = np.maximum(centre - (2 * cell + 1) * num_out, 0)
    past[cell == num_in - 1] = 0
    return cell, (past / (2 * num_out)).astype(np.float32)


def twin(logits: Logits, size: tuple[int, int], box: Box | None = None) -> NDArray[np.bool_]:
    """NumPy twin of every kernel here: the float image, the same float operations."""
    nan, most = np.float32(-(2.0**126)), np.float32(2.0**80)
    values = np.where(np.isnan(logits), nan, np.clip(logits, -most, most))
    (top, down), (left, across) = cells(logits.shape[0], size[0]), cells(logits.shape[1], size[1])
    bottom = np.minimum(top + 1, logits.shape[0] - 1)
    right = np.minimum(left + 1, logits.shape[1] - 1)
    columns = values[:, left] + (values[:, right] - values[:, left]) * across
    image = columns[top] + (columns[bottom] - columns[top]) * down[:, None]
    bits: NDArray[np.bool_] = (image > 0) & inside(size, box)
    return bits


def inside(size: tuple[int, int], box: Box | None) -> NDArray[np.bool_]:
    """Pixels that a box touches."""
    pixels = np.zeros(size, dtype=np.bool_)
    if box is None:
        return ~pixels
    if np.isnan(box).any() or box[0] >= box[2] or box[1] >= box[3]:
        return pixels
    y, x = np.ogrid[: size[0], : size[1]]
    return (x + 1 > box[0]) & (x < box[2]) & (y + 1 > box[1]) & (y < box[3])


def interpolated(logits: Logits, size: tuple[int, int]) -> NDArray[np.float32]:
    values: NDArray[np.float32] = F.interpolate(
        torch.from_numpy(logits)[None, None], size=size, mode="bilinear", align_corners=False
    )[0, 0].numpy()
    return values


# ------------------------------ against the twin ------------------------------


@given(logits=LOGITS, size=FRAMES, box=BOXES)
def test_bits_equal_the_twin(logits: Logits, size: tuple[int, int], box: Box | None) -> None:
    expected = twin(logits, size, box)
    np.testing.assert_array_equal(logits_to_mask(logits, size, box).full(), expected)


@given(logits=LOGITS, size=FRAMES, box=BOXES)
def test_rle_is_that_of_the_bits(logits: Logits, size: tuple[int, int], box: Box | None) -> None:
    counts = logits_to_rle(logits, size, box)
    expected = twin(logits, size, box).astype(np.uint8)
    assert counts == coco.encode(np.asfortranarray(expected))["counts"].decode()
    mask = logits_to_mask(logits, size, box)
    assert counts == encode_rle(mask.bits, size=mask.size, origin=mask.origin)


@given(logits=LOGITS, size=FRAMES, box=BOXES)
def test_packed_bits_are_those_of_the_mask(
    logits: Logits, size: tuple[int, int], box: Box | None
) -> None:
    mask = logits_to_mask(logits, size, box)
    window, packed = logits_to_packed(logits, size, box)
    assert window == (*mask.origin, *mask.bits.shape[::-1])
    np.testing.assert_array_equal(packed, np.packbits(mask.bits, axis=1))


def test_packed_bits_wider_than_a_stripe() -> None:
    logits = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)
    for width in (511, 512, 513, 1100):
        mask = logits_to_mask(logits, (9, width))
        _, packed = logits_to_packed(logits, (9, width))
        np.testing.assert_array_equal(packed, np.packbits(mask.bits, axis=1))


@given(logits=LOGITS, size=FRAMES, box=BOXES)
def test_scalar_equals_simd(logits: Logits, size: tuple[int, int], box: Box | None) -> None:
    counts = _kernels.mask_to_rle(logits, *size, box, False)
    assert _kernels.mask_to_rle(logits, *size, box, True) == counts
    fast, slow = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    _kernels.mask_to_bits(fast, logits, *size, 0, 0, False)
    _kernels.mask_to_bits(slow, logits, *size, 0, 0, True)
    np.testing.assert_array_equal(fast, slow)


@given(logits=LOGITS, size=FRAMES, data=st.data())
def test_any_window_is_that_part_of_the_frame(
    logits: Logits, size: tuple[int, int], data: st.DataObject
) -> None:
    y1, x1 = data.draw(st.integers(0, size[0])), data.draw(st.integers(0, size[1]))
    y2, x2 = data.draw(st.integers(y1, size[0])), data.draw(st.integers(x1, size[1]))
    bits = np.ones((y2 - y1, x2 - x1), np.bool_)
    _kernels.mask_to_bits(bits, logits, *size, x1, y1, False)
    np.testing.assert_array_equal(bits, twin(logits, size)[y1:y2, x1:x2])


# ------------------------------ against torch and pycocotools ------------------------------


@pytest.mark.parametrize("kind", [noise, shapes])
@pytest.mark.parametrize(
    ("shape", "size"),
    [((72, 72), (720, 1280)), ((84, 84), (1080, 1920)), ((8, 8), (48, 64)), ((32, 32), (20, 13)),
     ((1, 1), (5, 5)), ((8, 8), (1, 300)), ((5, 7), (333, 211)), ((288, 288), (333, 501))],
)  # fmt: skip
def test_the_whole_frame_equals_torch(
    kind: Kind, shape: tuple[int, int], size: tuple[int, int]
) -> None:
    logits = kind(shape, 3)
    values = interpolated(logits, size)
    bits = logits_to_mask(logits, size).full()
    certain = np.abs(values) > 1e-5  # where rounding decides, either is right
    np.testing.assert_array_equal(bits[certain], (values > 0)[certain])
    assert (bits != (values > 0)).mean() <= 1e-3


@given(seed=st.integers(0, 2**32 - 1), shape=SHAPES, size=FRAMES)
def test_nothing_is_set_around_nan(
    seed: int, shape: tuple[int, int], size: tuple[int, int]
) -> None:
    """As in torch, but for pixels where the NaN's weight is 0 and torch's 0 * NaN spreads."""
    logits = extremes(shape, seed)
    weights = [cells(n, m)[1] for n, m in zip(shape, size, strict=True)]
    shared = (weights[0][:, None] > 0) & (weights[1] > 0)
    near = around_nan(logits, size)
    assert np.isnan(interpolated(logits, size)[shared & near]).all()
    assert not logits_to_mask(logits, size).full()[shared & near].any()


def around_nan(logits: Logits, size: tuple[int, int]) -> NDArray[np.bool_]:
    (top, _), (left, _) = cells(logits.shape[0], size[0]), cells(logits.shape[1], size[1])
    bottom = np.minimum(top + 1, logits.shape[0] - 1)
    right = np.minimum(left + 1, logits.shape[1] - 1)
    nan = np.isnan(logits)
    rows = nan[top] | nan[bottom]
    found: NDArray[np.bool_] = rows[:, left] | rows[:, right]
    return found


# ------------------------------ windows ------------------------------


def test_a_small_blob_has_a_small_window() -> None:
    logits = np.full((32, 32), -5, dtype=np.float32)
    logits[10:12, 20:23] = 5
    mask = logits_to_mask(logits, (320, 640))
    assert 0 < mask.bits.size < 0.05 * 320 * 640


@pytest.mark.parametrize("size", [(30, 40), (0, 40), (30, 0), (0, 0)])
def test_nothing_positive_is_an_empty_mask(size: tuple[int, int]) -> None:
    logits = np.full((8, 8), -1, dtype=np.float32)
    mask = logits_to_mask(logits, size, (0, 0, 40, 30))
    assert mask.bits.size == 0
    assert mask.full().shape == size
    assert logits_to_rle(logits, size) == encode_rle(np.zeros(size, np.bool_))
    assert logits_to_rle(-logits, size) == encode_rle(np.ones(size, np.bool_))


def test_sides_as_long_as_they_may_be() -> None:
    """Shares and pixels stay exact where products are largest."""
    side = 2**20
    logits = noise((side, 1), 5)
    column = logits_to_mask(logits, (side - 1, 1)).full()
    np.testing.assert_array_equal(column, twin(logits, (side - 1, 1)))
    row = logits_to_mask(noise((1, 3), 0) + 0.1, (1, side)).full()
    np.testing.assert_array_equal(row, twin(noise((1, 3), 0) + np.float32(0.1), (1, side)))


def test_text_longer_than_the_first_buffer() -> None:
    logits = noise((200, 900), 1)
    counts = logits_to_rle(logits, (200, 900))
    assert len(counts) > 1 << 16
    assert counts == encode_rle(logits > 0)


def test_strided_logits() -> None:
    logits = noise((20, 30), 2)
    for view in (logits[::2, ::3], logits.T, logits[::-1]):
        mask = logits_to_mask(view, (50, 60))
        np.testing.assert_array_equal(mask.full(), twin(np.ascontiguousarray(view), (50, 60)))


# ------------------------------ mask_extent ------------------------------


@given(size=st.tuples(st.integers(0, 40), st.integers(0, 40)), seed=st.integers(0, 2**32 - 1))
def test_extent_equals_numpy(size: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    bits = rng.random(size) < rng.choice([0.0, 0.01, 0.5])
    area, box = mask_extent(bits)
    y, x = np.nonzero(bits)
    assert area == len(x)
    assert box == ((x.min(), y.min(), x.max() + 1, y.max() + 1) if len(x) else (0, 0, 0, 0))
    assert mask_extent(bits.T.astype(np.uint8) * 7)[0] == area


# ------------------------------ what is refused ------------------------------

GOOD = np.zeros((4, 6), np.float32)


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.zeros((4, 6)), "logits: expected 2 dimensions of float32, got 2 of format 'd'"),
        (np.zeros((4, 6), np.float16), "got 2 of format 'e'"),
        (np.zeros((4, 6), ">f4"), "got 2 of format '>f'"),
        (np.zeros(4, np.float32), "expected 2 dimensions of float32, got 1 of"),
        (np.zeros((1, 4, 6), np.float32), "expected 2 dimensions of float32, got 3 of"),
        (np.zeros((4, 12), np.float32)[:, ::2], "logits: expected a C-contiguous, aligned array"),
        (np.zeros((6, 4), np.float32).T, "logits: expected a C-contiguous, aligned array"),
        (np.zeros((0, 6), np.float32), r"logits: expected sides of 1 to 1048576, got 6 x 0"),
        (np.zeros((4, 0), np.float32), r"logits: expected sides of 1 to 1048576, got 0 x 4"),
        (np.zeros((1, 2**20 + 1), np.float32), "got 1048577 x 1"),
        (np.zeros(97, np.uint8)[1:].view(np.float32).reshape(4, 6), "got"),
    ],
)
def test_other_logits_are_refused(logits: Logits, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _kernels.mask_window(logits, 8, 9, None)
    with pytest.raises(ValueError, match=message):
        _kernels.mask_to_rle(logits, 8, 9, None, False)
    with pytest.raises(ValueError, match=message):
        _kernels.mask_to_bits(np.zeros((8, 9), np.bool_), logits, 8, 9, 0, 0, False)


@pytest.mark.parametrize("size", [(-1, 5), (5, -1), (2**20 + 1, 1), (1, 2**62), (2**20, 2**20)])
def test_other_frames_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"expected (sides of 0 to|at most 4294967295 pixels)"):
        _kernels.mask_window(GOOD, *size, None)
    with pytest.raises(ValueError, match=r"expected (sides of 0 to|at most 4294967295 pixels)"):
        logits_to_rle(GOOD, size)


@pytest.mark.parametrize("box", [(0, 0, 1), [0, 0, 1, 1], (0, 0, 1, "1"), "abcd", 3])
def test_other_boxes_are_refused(box: Box) -> None:
    with pytest.raises(TypeError, match=r"expected None or a tuple of 4 numbers, got|real number"):
        _kernels.mask_window(GOOD, 8, 9, box)
    with pytest.raises(TypeError, match=r"expected None or a tuple of 4 numbers, got|real number"):
        _kernels.mask_to_rle(GOOD, 8, 9, box, False)


@pytest.mark.parametrize(
    ("bits", "x", "y", "message"),
    [
        (np.zeros((4, 4), np.float32), 0, 0, "mask: expected 2 dimensions of bool or uint8, got 2"),
        (np.zeros(4, np.bool_), 0, 0, "mask: expected 2 dimensions of bool or uint8, got 1"),
        (np.zeros((4, 8), np.bool_)[:, ::2], 0, 0, "mask: expected a writable C-contiguous array"),
        (np.frombuffer(bytes(16), np.uint8).reshape(4, 4), 0, 0, "got one that is read-only"),
        (np.zeros((4, 4), np.bool_), 6, 0, "expected a window inside the frame of 9 x 8 pixels"),
        (np.zeros((4, 4), np.bool_), 0, 5, "expected a window inside the frame of 9 x 8 pixels"),
        (np.zeros((4, 4), np.bool_), -1, 0, "expected a window inside the frame of 9 x 8 pixels"),
        (np.zeros((9, 9), np.bool_), 0, 0, "expected a window inside the frame of 9 x 8 pixels"),
    ],
)
def test_other_targets_are_refused(bits: NDArray[np.bool_], x: int, y: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _kernels.mask_to_bits(bits, GOOD, 8, 9, x, y, False)


def test_other_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 2 dimensions of bool or uint8, got 2 of"):
        _kernels.mask_measure(np.zeros((4, 4), np.int16))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected a C-contiguous array"):
        _kernels.mask_measure(np.zeros((4, 4), np.bool_).T[::2])


def test_what_is_no_array_is_refused() -> None:
    with pytest.raises(TypeError, match="not 'list'"):
        _kernels.mask_window([[1.0]], 8, 9, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not 'list'"):
        _kernels.mask_measure([[1]])  # type: ignore[arg-type]

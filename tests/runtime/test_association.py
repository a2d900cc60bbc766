"""Overlaps of boxes and masks, against pycocotools and NumPy, and what suppression keeps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco

from sam3_edge.runtime.association import box_iou, mask_iou, suppress
from sam3_edge.runtime.rle import encode_rle, rle_iou

Bits = NDArray[np.bool_]
Floats = NDArray[np.float32]
SEEDS = st.integers(0, 2**32 - 1)
COUNTS = st.integers(0, 7)
SIDES = st.integers(1, 50)


def masks(rng: np.random.Generator, num: int, size: tuple[int, int]) -> list[Bits]:
    """Rectangles, noise, and a few without any pixel."""
    drawn = []
    for _ in range(num):
        kind = rng.integers(4)
        mask = rng.random(size) < rng.random() if kind == 0 else np.zeros(size, np.bool_)
        if kind > 1:
            top, left = rng.integers(size)
            mask[top : top + rng.integers(40), left : left + rng.integers(40)] = True
        drawn.append(mask)
    return drawn


def as_coco(counts: list[str], size: tuple[int, int]) -> list[dict[str, object]]:
    return [{"size": list(size), "counts": text.encode()} for text in counts]


def mask_twin(a: list[Bits], b: list[Bits]) -> Floats:
    """Pixel by pixel."""
    shares = np.zeros((len(a), len(b)))
    for n, one in enumerate(a):
        for m, other in enumerate(b):
            union = np.count_nonzero(one | other)
            shares[n, m] = np.count_nonzero(one & other) / union if union else 0
    return shares.astype(np.float32)


# ------------------------------ masks ------------------------------


@given(seed=SEEDS, n=COUNTS, m=COUNTS, height=SIDES, width=SIDES)
def test_mask_iou_equals_numpy_and_pycocotools(
    seed: int, n: int, m: int, height: int, width: int
) -> None:
    size = (height, width)
    drawn = masks(np.random.default_rng(seed), n + m, size)
    counts = [encode_rle(mask) for mask in drawn]
    ious = mask_iou(size, counts[:n], counts[n:])
    assert ious.dtype == np.float32
    np.testing.assert_array_equal(ious, mask_twin(drawn[:n], drawn[n:]))
    if n and m:
        theirs = coco.iou(as_coco(counts[:n], size), as_coco(counts[n:], size), [0] * m)
        union_is_empty = np.array([[not (a | b).any() for b in drawn[n:]] for a in drawn[:n]])
        np.testing.assert_allclose(ious, np.where(union_is_empty, 0, theirs), rtol=1e-6)


@given(seed=SEEDS, n=COUNTS)
def test_masks_with_themselves(seed: int, n: int) -> None:
    """The half that is copied is the half that is computed, and all is rle_iou of the pair."""
    size = (31, 37)
    drawn = masks(np.random.default_rng(seed), n, size)
    counts = [encode_rle(mask) for mask in drawn]
    ious = mask_iou(size, counts, counts)
    np.testing.assert_array_equal(ious, mask_iou(size, counts, list(counts)))
    np.testing.assert_array_equal(ious, ious.T)
    assert np.diag(ious).tolist() == [float(mask.any()) for mask in drawn]
    pairs = np.array([[rle_iou(size, a, b) for b in counts] for a in counts], np.float32)
    np.testing.assert_array_equal(ious, pairs.reshape(n, n))


def test_masks_of_the_largest_frame() -> None:
    """Its last column of pixels, its last two, and its first: near 2**32 pixels."""
    frame = (65_535, 65_537)
    columns = [(65_536, 1), (65_535, 2), (0, 1)]
    counts = [
        encode_rle(np.ones((65_535, width), np.bool_), size=frame, origin=(x, 0))
        for x, width in columns
    ]
    assert mask_iou(frame, counts, counts).tolist() == [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 3), (3, 0)])
def test_no_masks(n: int, m: int) -> None:
    assert mask_iou((2, 3), ["6"] * n, ("6",) * m).shape == (n, m)
    assert mask_iou((0, 0), ["0"] * n, ["0"] * m).shape == (n, m)


def test_masks_without_pixels() -> None:
    assert mask_iou((0, 5), ["0"], ["0"]).tolist() == [[0]]


def test_runs_that_are_split_are_one() -> None:
    """1 + 0 + 2 ones, as another writer may have it."""
    assert mask_iou((2, 3), ["11012"], ["132"])[0, 0] == 1


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (["6", "5"], ["6"], r"a\[1\]: expected 6 pixels \(3 x 2\), got 5"),
        (["6"], ["6", "6", "7"], r"b\[2\]: expected 6 pixels \(3 x 2\), got more from character 0"),
        (["6p"], ["6"], r"a\[0\]: expected characters from '0' to 'o', got byte 0x70 at 1"),
        (["6"], ["6\0"], r"b\[0\]: expected characters from '0' to 'o', got byte 0x00 at 1"),
        (["6"], ["6\ud800"], r"b\[0\]: expected characters from '0' to 'o', got U\+d800 at 1"),
        (["6P"], ["6"], r"a\[0\]: expected the last run to be whole"),
        (["O"], ["6"], r"a\[0\]: expected a run of 0 to 4294967295 pixels"),
        (["5"], ["7"], r"a\[0\]: expected 6 pixels"),
    ],
)
def test_malformed_masks_are_refused(a: list[str], b: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mask_iou((2, 3), a, b)


# ------------------------------ boxes ------------------------------


def box_twin(a: Floats, b: Floats) -> NDArray[np.float64]:
    one, other = a[:, None].astype(float), b[None].astype(float)
    low = np.maximum(one[..., :2], other[..., :2])
    high = np.minimum(one[..., 2:], other[..., 2:])
    both = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = [np.prod(box[..., 2:] - box[..., :2], axis=-1) for box in (one, other)]
    shares: NDArray[np.float64] = both / (areas[0] + areas[1] - both)
    return shares


def boxes(rng: np.random.Generator, num: int) -> Floats:
    corners = rng.uniform(0, 100, (num, 2))
    sides = rng.uniform(1, 60, (num, 2))
    return np.concatenate((corners, corners + sides), axis=1).astype(np.float32)


@given(seed=SEEDS, n=COUNTS, m=COUNTS)
def test_box_iou_equals_numpy(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = boxes(rng, n), boxes(rng, m)
    ious = box_iou(a, b)
    assert ious.dtype == np.float32
    np.testing.assert_allclose(ious, box_twin(a, b), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(ious, box_iou(b, a).T, rtol=1e-6)
    np.testing.assert_array_equal(np.diag(box_iou(a, a)), np.ones(n))


def test_boxes_of_any_strides() -> None:
    every = boxes(np.random.default_rng(0), 12)
    np.testing.assert_array_equal(
        box_iou(every[::-2], np.asfortranarray(every)), box_iou(every, every)[::-2]
    )


def test_boxes_of_whole_pixels_equal_their_masks() -> None:
    rng = np.random.default_rng(1)
    size, corners = (40, 50), rng.integers(0, 20, (8, 2))
    whole = np.concatenate((corners, corners + rng.integers(1, 20, (8, 2))), axis=1)
    counts = [
        encode_rle(np.ones((y2 - y1, x2 - x1), np.bool_), size=size, origin=(x1, y1))
        for x1, y1, x2, y2 in whole.tolist()
    ]
    every = whole.astype(np.float32)
    np.testing.assert_allclose(box_iou(every, every), mask_iou(size, counts, counts), rtol=1e-6)


# ------------------------------ suppress ------------------------------


def suppress_twin(ious: Floats, limit: float) -> list[int]:
    kept: list[int] = []
    for n in range(len(ious)):
        if not (ious[n, kept] > np.float32(limit)).any():
            kept.append(n)
    return kept


@given(seed=SEEDS, num=st.integers(0, 30), limit=st.sampled_from([0, 0.1, 0.5, 0.9, 1]))
def test_suppress_equals_numpy(seed: int, num: int, limit: float) -> None:
    every = boxes(np.random.default_rng(seed), num)
    ious = box_iou(every, every)
    kept = suppress(ious, limit)
    assert kept.dtype == np.int64
    assert kept.tolist() == suppress_twin(ious, limit)
    assert num == 0 or kept[0] == 0
    left = ious[np.ix_(kept, kept)] - np.eye(len(kept), dtype=np.float32)
    assert (left <= limit).all()


@given(seed=SEEDS, num=st.integers(0, 12), limit=st.sampled_from([0.3, np.nan, np.inf, -1.0]))
def test_suppress_of_any_numbers(seed: int, num: int, limit: float) -> None:
    """NaN is above nothing; a limit of NaN keeps all, and one below zero the best alone."""
    rng = np.random.default_rng(seed)
    values = np.array([np.nan, np.inf, -np.inf, 0, 0.2, 0.4, 1], np.float32)
    ious = rng.choice(values, (num, num))
    assert suppress(ious, limit).tolist() == suppress_twin(ious, limit)
    if np.isnan(limit):
        assert len(suppress(ious, limit)) == num
    assert len(suppress(np.abs(np.nan_to_num(ious)), -1)) == min(num, 1)


def test_what_is_hidden_hides_nothing() -> None:
    """The second is hidden by the first, so the third, which only the second overlaps, is kept."""
    ious = np.array([[1, 0.8, 0], [0.8, 1, 0.8], [0, 0.8, 1]], np.float32)
    assert suppress(ious, 0.5).tolist() == [0, 2]
    assert suppress(ious, 0.8).tolist() == [0, 1, 2]
    assert suppress(ious.T, 0.5).tolist() == [0, 2]


# ------------------------------ what is refused ------------------------------

FOUR = np.zeros((2, 4), np.float32)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((2, 3), np.float32), FOUR, "a: expected 4 along axis 1, got 3"),
        (FOUR, np.zeros((2, 5), np.float32), "b: expected 4 along axis 1, got 5"),
        (FOUR, np.zeros((2, 4)), "b: expected 2 dimensions of float32, got 2 of format 'd'"),
        (np.zeros(4, np.float32), FOUR, "a: expected 2 dimensions of float32, got 1 of"),
    ],
)
def test_other_boxes_are_refused(a: Floats, b: Floats, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        box_iou(a, b)


@pytest.mark.parametrize(
    ("ious", "message"),
    [
        (np.zeros((2, 3), np.float32), "ious: expected 2 along axis 1, got 3"),
        (np.zeros((2, 2)), "ious: expected 2 dimensions of float32, got 2 of format 'd'"),
        (np.zeros(2, np.float32), "ious: expected 2 dimensions of float32, got 1 of format 'f'"),
    ],
)
def test_other_matrices_are_refused(ious: Floats, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        suppress(ious, 0.5)

"""The kernels that choose detections and compare boxes, against NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sam3_edge.runtime import _kernels
from sam3_edge.runtime.postprocess import sigmoid, to_pixels

Floats = NDArray[np.float32]
SIZE = (100, 200)
SEEDS = st.integers(0, 2**32 - 1)


class Room:
    """Arrays for what P * Q queries may give."""

    def __init__(self, num: int) -> None:
        self.scores = np.full(num, -1, np.float32)
        self.boxes = np.full((num, 4), -1, np.float32)
        self.prompts = np.full(num, -1, np.int64)
        self.queries = np.full(num, -1, np.int64)


def decode(
    logits: Floats, presence: Floats, boxes: Floats, thresholds: Floats, overlap: float = 1
) -> Room:
    room = Room(logits.size)
    count = _kernels.decode_outputs(
        room.scores, room.boxes, room.prompts, room.queries, logits, presence, boxes, thresholds,
        *SIZE, overlap,
    )  # fmt: skip
    room.scores, room.boxes = room.scores[:count], room.boxes[:count]
    room.prompts, room.queries = room.prompts[:count], room.queries[:count]
    return room


def raw(seed: int, num_prompts: int, num_queries: int) -> tuple[Floats, Floats, Floats]:
    """Few different logits, so that scores are often equal; some boxes outside or without area."""
    rng = np.random.default_rng(seed)
    logits = rng.integers(-3, 4, (num_prompts, num_queries)).astype(np.float32)
    presence = rng.normal(1, 2, (num_prompts, 1)).astype(np.float32)
    boxes = rng.uniform(-0.5, 1.5, (num_prompts, num_queries, 4)).astype(np.float32)
    return logits, presence, boxes


@given(seed=SEEDS, p=st.integers(0, 4), q=st.integers(0, 60))
def test_decode_equals_numpy(seed: int, p: int, q: int) -> None:
    logits, presence, boxes = raw(seed, p, q)
    thresholds = np.random.default_rng(seed).choice([0, 0.123, 0.5], p).astype(np.float32)
    scores, pixels = sigmoid(logits) * sigmoid(presence), to_pixels(boxes, SIZE)
    has_area = (pixels[..., 2] > pixels[..., 0]) & (pixels[..., 3] > pixels[..., 1])
    prompt, query = np.nonzero((scores >= thresholds[:, None]) & has_area)
    found = decode(logits, presence, boxes, thresholds)
    places = list(zip(found.prompts.tolist(), found.queries.tolist(), strict=True))
    assert sorted(places) == list(zip(prompt.tolist(), query.tolist(), strict=True))
    np.testing.assert_allclose(found.scores, scores[found.prompts, found.queries], rtol=1e-5)
    np.testing.assert_array_equal(found.boxes, pixels[found.prompts, found.queries])
    keys = list(zip((-found.scores).tolist(), places, strict=True))
    assert keys == sorted(keys)


def test_not_a_number_is_not_found() -> None:
    logits = np.array([[1, np.nan, np.inf, -np.inf, 1, 1]], np.float32)
    boxes = np.tile(np.array([0.5, 0.5, 0.2, 0.2], np.float32), (1, 6, 1))
    boxes[0, 4, 1] = np.nan
    boxes[0, 5, 2] = np.inf
    for presence, expected in ((50.0, [2, 0, 5, 3]), (np.nan, [])):
        found = decode(
            logits, np.full((1, 1), presence, np.float32), boxes, np.zeros(1, np.float32)
        )
        assert found.queries.tolist() == expected
        assert np.isfinite(found.boxes).all()
    assert found.scores.size == 0
    empty = decode(logits, np.ones((1, 1), np.float32), boxes, np.full(1, np.nan, np.float32))
    assert empty.scores.size == 0


@given(seed=SEEDS, overlap=st.floats(0, 1, width=32))
def test_suppression_keeps_the_best_of_what_overlaps(seed: int, overlap: float) -> None:
    logits, presence, boxes = raw(seed, 2, 25)
    every = decode(logits, presence, boxes, np.zeros(2, np.float32))
    left = decode(logits, presence, boxes, np.zeros(2, np.float32), overlap)
    ious, kept = iou(every.boxes, every.boxes), list[int]()
    for n in range(len(every.scores)):
        if overlap == 1 or not (ious[n, kept] > overlap).any():
            kept.append(n)
    np.testing.assert_array_equal(left.boxes, every.boxes[kept])
    np.testing.assert_array_equal(left.queries, every.queries[kept])


# ------------------------------ box_iou ------------------------------


def iou(a: Floats, b: Floats) -> Floats:
    ious = np.full((len(a), len(b)), -1, np.float32)
    _kernels.box_iou(ious, a, b)
    return ious


def twin(a: Floats, b: Floats) -> NDArray[np.float64]:
    corners = a[:, None].astype(float), b[None].astype(float)
    low = np.maximum(corners[0][..., :2], corners[1][..., :2])
    high = np.minimum(corners[0][..., 2:], corners[1][..., 2:])
    both = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = [np.prod(box[..., 2:] - box[..., :2], axis=-1) for box in corners]
    union = areas[0] + areas[1] - both
    shares: NDArray[np.float64] = both / union
    return shares


@given(seed=SEEDS, n=st.integers(0, 9), m=st.integers(0, 9))
def test_iou_equals_numpy(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 100, (n + m, 2))
    boxes = np.concatenate((corners, corners + rng.uniform(1, 60, (n + m, 2))), 1).astype(
        np.float32
    )
    ious = iou(boxes[:n], boxes[n:])
    np.testing.assert_allclose(ious, twin(boxes[:n], boxes[n:]), rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(np.diag(iou(boxes, boxes)), np.ones(n + m))


def test_boxes_that_are_none_overlap_nothing() -> None:
    odd = [[5, 5, 5, 9], [9, 9, 1, 1], [np.nan, 0, 9, 9], [0, 0, np.inf, 9], [0, 0, 1e30, 1e30]]
    boxes = np.array([[0, 0, 10, 10], *odd], np.float32)
    ious = iou(boxes, boxes)
    assert ious[0, 0] == 1
    assert ious.sum() == 1


# ------------------------------ what is refused ------------------------------


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("scores", np.zeros(5, np.float32), "scores: expected 6 along axis 0, got 5"),
        ("scores", np.zeros(6), "scores: expected 1 dimensions of float32, got 1 of format 'd'"),
        ("scores", np.frombuffer(bytes(24), np.float32), "scores: expected an array to write"),
        ("out_boxes", np.zeros((6, 5), np.float32), "out_boxes: expected 4 along axis 1, got 5"),
        ("prompts", np.zeros(6, np.int32), "prompts: expected 1 dimensions of int64, got 1 of"),
        ("queries", np.zeros(7, np.int64), "queries: expected 6 along axis 0, got 7"),
        ("logits", np.zeros((3, 2), np.float32).T, "logits: expected a C-contiguous, aligned"),
        ("presence", np.zeros((2, 2), np.float32), "presence: expected 1 along axis 1, got 2"),
        ("boxes", np.zeros((2, 3, 5), np.float32), "boxes: expected 4 along axis 2, got 5"),
        ("thresholds", np.zeros(3, np.float32), "thresholds: expected 2 along axis 0, got 3"),
    ],
)
def test_other_arrays_are_refused(name: str, array: Floats, message: str) -> None:
    arrays: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {
        "scores": np.zeros(6, np.float32),
        "out_boxes": np.zeros((6, 4), np.float32),
        "prompts": np.zeros(6, np.int64),
        "queries": np.zeros(6, np.int64),
        "logits": np.zeros((2, 3), np.float32),
        "presence": np.zeros((2, 1), np.float32),
        "boxes": np.zeros((2, 3, 4), np.float32),
        "thresholds": np.zeros(2, np.float32),
    }
    _kernels.decode_outputs(*arrays.values(), *SIZE, 1)  # type: ignore[call-arg, arg-type]
    with pytest.raises(ValueError, match="frame: expected sides of 0 or more, got 3 x -1"):
        _kernels.decode_outputs(*arrays.values(), -1, 3, 1)  # type: ignore[call-arg, arg-type]
    arrays[name] = array
    with pytest.raises(ValueError, match=message):
        _kernels.decode_outputs(*arrays.values(), *SIZE, 1)  # type: ignore[call-arg, arg-type]


def test_other_boxes_are_refused() -> None:
    good = np.zeros((2, 4), np.float32)
    with pytest.raises(ValueError, match="a: expected 4 along axis 1, got 3"):
        _kernels.box_iou(np.zeros((2, 2), np.float32), np.zeros((2, 3), np.float32), good)
    with pytest.raises(ValueError, match="ious: expected 2 along axis 1, got 3"):
        _kernels.box_iou(np.zeros((2, 3), np.float32), good, good)
    with pytest.raises(ValueError, match="b: expected 2 dimensions of float32, got 2 of"):
        _kernels.box_iou(np.zeros((2, 2), np.float32), good, good.astype(float))

"""Masks computed only where they can be true are the masks computed everywhere."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sam3_edge.runtime.masks import logits_to_mask


def twin(logits: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    values: NDArray[np.float32] = F.interpolate(
        torch.from_numpy(logits)[None, None], size=size, mode="bilinear", align_corners=False
    )[0, 0].numpy()
    return values


def assert_same(bits: NDArray[np.bool_], values: NDArray[np.float32]) -> None:
    """Where rounding decides, either is right."""
    certain = np.abs(values) > 1e-5
    np.testing.assert_array_equal(bits[certain], (values > 0)[certain])
    assert certain.mean() > 0.99


@pytest.mark.parametrize(
    ("shape", "size"),
    [((8, 8), (48, 64)), ((64, 64), (480, 640)), ((32, 32), (20, 13)), ((1, 1), (5, 5)),
     ((8, 8), (1, 300)), ((5, 7), (333, 211))],
)  # fmt: skip
def test_the_whole_frame_equals_the_twin(shape: tuple[int, int], size: tuple[int, int]) -> None:
    logits = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    assert_same(logits_to_mask(logits, size).full(), twin(logits, size))


def test_a_small_blob_has_a_small_window() -> None:
    logits = np.full((32, 32), -5, dtype=np.float32)
    logits[10:12, 20:23] = 5
    mask = logits_to_mask(logits, (320, 640))
    assert mask.bits.size < 0.05 * 320 * 640
    assert_same(mask.full(), twin(logits, (320, 640)))


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(*[st.floats(-20, 110)] * 4),
)
def test_inside_its_box_a_mask_is_the_whole_mask(
    seed: int, size: tuple[int, int], edges: tuple[float, float, float, float]
) -> None:
    box = (min(edges[::2]), min(edges[1::2]), max(edges[::2]), max(edges[1::2]))
    logits = np.random.default_rng(seed).normal(size=(8, 8)).astype(np.float32)
    inside = np.zeros(size, dtype=np.bool_)
    x1, y1 = (max(0, int(np.floor(edge))) for edge in box[:2])
    x2, y2 = (max(0, int(np.ceil(edge))) for edge in box[2:])
    inside[y1:y2, x1:x2] = True
    cropped = logits_to_mask(logits, size, box).full()
    np.testing.assert_array_equal(cropped, logits_to_mask(logits, size).full() & inside)


def test_nothing_positive_is_an_empty_mask() -> None:
    mask = logits_to_mask(np.full((8, 8), -1, dtype=np.float32), (30, 40), (0, 0, 40, 30))
    assert mask.bits.size == 0
    assert not mask.full().any()
    assert mask.full().shape == (30, 40)

"""Numbers that are none, or have no end: where the kernels accept them, the result is right."""

import numpy as np
import pytest

from sam3_edge.runtime import _kernels

ODD = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-40, 0, 0.5, 1], np.float32)


@pytest.mark.parametrize("seed", range(200))
def test_odd_numbers_are_decoded_as_numpy_would(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = {"logits": (2, 9), "presence": (2, 1), "boxes": (2, 9, 4), "thresholds": (2,)}
    raw = {name: rng.choice(ODD, shape) for name, shape in shapes.items()}
    scores, boxes = np.zeros(18, np.float32), np.zeros((18, 4), np.float32)
    prompts, queries = np.zeros(18, np.int64), np.zeros(18, np.int64)
    count = _kernels.decode_outputs(
        scores, boxes, prompts, queries,
        raw["logits"], raw["presence"], raw["boxes"], raw["thresholds"], 50, 60, 1.0,
    )  # fmt: skip

    with np.errstate(over="ignore", invalid="ignore"):
        every = 0.5 + 0.5 * np.tanh(0.5 * raw["logits"])
        every = every * (0.5 + 0.5 * np.tanh(0.5 * raw["presence"]))
        centre, half = raw["boxes"][..., :2], raw["boxes"][..., 2:] / 2
        corners = np.clip(np.concatenate((centre - half, centre + half), axis=-1), 0, 1)
    finite = ~np.isnan(raw["boxes"]).any(axis=-1)
    # inf - inf: the kernel clips it to 0, and np.clip keeps the NaN
    corners = np.nan_to_num(corners, nan=0) * np.array([60, 50, 60, 50], np.float32)
    has_area = (corners[..., 2:] > corners[..., :2]).all(axis=-1) & finite
    with np.errstate(invalid="ignore"):
        chosen = (every >= raw["thresholds"][:, None]) & has_area
    found = sorted(zip(prompts[:count].tolist(), queries[:count].tolist(), strict=True))
    assert found == [(p, q) for p, q in np.argwhere(chosen).tolist()]
    np.testing.assert_allclose(scores[:count], every[prompts[:count], queries[:count]], rtol=1e-5)
    np.testing.assert_array_equal(boxes[:count], corners[prompts[:count], queries[:count]])
    assert (np.diff(scores[:count]) <= 0).all()


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((-np.inf, -np.inf, np.inf, np.inf), (0, 0, 6, 5)),
        ((-1e300, 2.0, 1e300, 1e300), (0, 2, 6, 3)),
        ((5.5, 4.5, 7.0, 9.0), (5, 4, 1, 1)),
        ((-3.0, -3.0, 0.5, 0.5), (0, 0, 1, 1)),
        ((np.nan, 0.0, 6.0, 5.0), (0, 0, 0, 0)),
        ((0.0, 0.0, 6.0, np.nan), (0, 0, 0, 0)),
        ((4.0, 0.0, 2.0, 5.0), (0, 0, 0, 0)),
        ((6.0, 0.0, 9.0, 5.0), (0, 0, 0, 0)),
        ((-9.0, 0.0, 0.0, 5.0), (0, 0, 0, 0)),
        ((np.inf, 0.0, np.inf, 5.0), (0, 0, 0, 0)),
        ((True, 1, 2**70, 2), (1, 1, 5, 1)),
    ],
)
def test_boxes_around_and_outside_the_frame(
    box: tuple[float, float, float, float], expected: tuple[int, int, int, int]
) -> None:
    ones = np.ones((4, 7), np.float32)
    assert _kernels.mask_window(ones, 5, 6, box) == expected
    x, y, width, height = expected
    inside = np.zeros((5, 6), np.bool_)
    inside[y : y + height, x : x + width] = True
    counts = _kernels.encode_rle(inside, 5, 6, 0, 0)
    for scalar in (False, True):
        assert _kernels.mask_to_rle(ones, 5, 6, box, scalar) == counts


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 3e38, -3e38])
def test_one_odd_logit(odd: float) -> None:
    """It is positive or it is not, around it: NaN and what has no end below set nothing."""
    logits = np.ones((4, 4), np.float32)
    logits[1, 2] = odd
    for scalar in (False, True):
        bits = np.zeros((4, 4), np.bool_)
        _kernels.mask_to_bits(bits, logits, 4, 4, 0, 0, scalar)
        expected = np.ones((4, 4), np.bool_)
        expected[1, 2] = odd > 0
        np.testing.assert_array_equal(bits, expected)
        counts = _kernels.mask_to_rle(logits, 4, 4, None, scalar)
        assert counts == _kernels.encode_rle(bits, 4, 4, 0, 0)

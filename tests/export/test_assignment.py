import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam3_edge.export.assignment import best_pairs


@given(
    rows=st.integers(1, 12),
    columns=st.integers(1, 12),
    levels=st.sampled_from([0, 3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_as_good_as_scipy(rows: int, columns: int, levels: int, seed: int) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    random = np.random.default_rng(seed)
    shape = (rows, columns)
    cost = random.integers(0, levels, shape).astype(float) if levels else random.normal(size=shape)
    mine, theirs = best_pairs(cost), optimize.linear_sum_assignment(cost)
    assert cost[mine].sum() == pytest.approx(cost[theirs].sum())
    assert mine[0].tolist() == sorted(set(mine[0].tolist()))
    assert len(set(mine[1].tolist())) == min(rows, columns)


def test_nothing_to_pair() -> None:
    rows, columns = best_pairs(np.zeros((0, 5)))
    assert len(rows) == len(columns) == 0

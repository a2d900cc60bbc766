"""Percentiles: measured values, in order."""

from hypothesis import given
from hypothesis import strategies as st

from sam3_edge.bench.figures import percentiles


@given(st.lists(st.integers(0, 10_000).map(lambda n: n / 8), min_size=1, max_size=300))
def test_they_are_values_that_were_measured_in_order(values: list[float]) -> None:
    found = percentiles(values)
    assert found is not None
    ranks = [found.p50, found.p90, found.p95, found.p99, found.max]
    assert ranks == sorted(ranks)
    assert set(ranks) <= set(values)
    assert found.max == max(values)
    assert found.jitter == found.p99 - found.p50


def test_the_rank_is_the_nearest_from_above() -> None:
    found = percentiles([float(n) for n in range(100, 0, -1)])
    assert found is not None
    assert (found.p50, found.p90, found.p95, found.p99, found.max) == (50, 90, 95, 99, 100)


def test_nothing_has_none() -> None:
    assert percentiles([]) is None

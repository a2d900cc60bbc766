from collections.abc import Callable

from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.tally import Tally


def test_it_counts_and_takes_medians(make_result: Callable[..., FrameResult]) -> None:
    now = 10.0
    tally = Tally(["fish", "crab", "ray"], clock=lambda: now)
    for index in range(4):
        now += 0.5
        tally.add(make_result(index))
    now += 100  # what comes after the last result does not count
    summary = tally.summary()
    assert summary.frames == 4
    assert summary.objects == {"fish": 4, "crab": 4, "ray": 0}
    assert summary.frames_per_s == 2.0
    assert summary.median is not None
    assert summary.median.total_ms == 10


def test_without_frames() -> None:
    summary = Tally(["fish"]).summary()
    assert (summary.frames, summary.frames_per_s, summary.median) == (0, 0.0, None)
    assert summary.objects == {"fish": 0}

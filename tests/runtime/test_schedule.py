"""A rate is kept in the mean, through jitter and after a pause."""

import pytest

from sam3_edge.runtime.schedule import Schedule

MS = 1_000_000
JITTER_MS = [0, 3, -4, 2, -1, 4, -3, 1, 0, -2]


def taken(max_fps: float | None, times_ms: list[float]) -> list[int]:
    schedule = Schedule(max_fps)
    numbers = []
    for number, time_ms in enumerate(times_ms):
        if schedule.is_due(int(time_ms * MS)):
            schedule.take(int(time_ms * MS))
            numbers.append(number)
    return numbers


@pytest.mark.parametrize("max_fps", [30, 15, 10, 5])
def test_a_camera_is_thinned_evenly(max_fps: int) -> None:
    times = [1000 + number * 1000 / 30 + JITTER_MS[number % 10] for number in range(60)]
    assert taken(max_fps, times) == list(range(0, 60, 30 // max_fps))


def test_a_rate_that_divides_nothing_is_not_exceeded() -> None:
    times = [1000 + number * 1000 / 30 for number in range(300)]
    assert len(taken(20, times)) == pytest.approx(200, abs=2)


def test_without_a_rate_all_are_due() -> None:
    assert taken(None, [0, 0, 1, 1.5]) == [0, 1, 2, 3]


def test_after_a_pause_it_does_not_catch_up() -> None:
    times = [1000.0, 1100, 5000, 5001, 5002, 5100]
    assert taken(10, times) == [0, 1, 2, 5]


def test_how_early_is_what_a_file_waits() -> None:
    schedule = Schedule(10)
    assert schedule.early_ns(1000 * MS) == 0
    schedule.take(1000 * MS)
    assert schedule.early_ns(1040 * MS) == 60 * MS
    schedule.take(1100 * MS)
    assert schedule.early_ns(1100 * MS) == 100 * MS

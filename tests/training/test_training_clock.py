"""Time that was trained is counted; time that was paused is not."""

import threading

import pytest

from sam3_edge.training.training_clock import BEAT_S, LONGEST_GAP_S, TrainingClock


class Time:
    """What the clock takes for the machine's."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_pause_counts_as_one_beat() -> None:
    time = Time()
    clock = TrainingClock(time)
    time.now += 5.0
    assert clock.read() == pytest.approx(5.0)
    time.now += 3600.0
    assert clock.read() == pytest.approx(5.0 + BEAT_S)
    time.now += 2.0
    assert clock.read() == pytest.approx(7.0 + BEAT_S)


def test_a_slow_machine_is_no_pause() -> None:
    time = Time()
    clock = TrainingClock(time)
    time.now += LONGEST_GAP_S
    assert clock.read() == pytest.approx(LONGEST_GAP_S)


def test_it_goes_on_from_what_earlier_parts_took() -> None:
    time = Time()
    clock = TrainingClock(time)
    time.now += 20.0  # preparing the run is not training
    clock.set(100.0)
    time.now += 1.0
    assert clock.read() == pytest.approx(101.0)


def test_its_thread_looks_by_itself_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or else an evaluation of minutes, in which nobody reads, would be taken for a pause."""
    monkeypatch.setattr("sam3_edge.training.training_clock.BEAT_S", 0.001)
    looked, threads = threading.Event(), set()

    def now() -> float:
        threads.add(threading.current_thread())
        if len(threads) > 1:
            looked.set()
        return 0.0

    with TrainingClock(now):
        assert looked.wait(60.0)
    assert not any(thread.is_alive() for thread in threads - {threading.main_thread()})

"""What counts begins after the warm-up, and ends with the last frame or the time."""

import pytest

from sam3_edge.bench.cpu import ThreadOwners
from sam3_edge.bench.plan import LIMIT_S
from sam3_edge.bench.window import PowerSensors, Window
from sam3_edge.errors import UsageError


class Clock:
    def __init__(self, step_s: float) -> None:
        self.now, self.step_s = 0.0, step_s

    def __call__(self) -> float:
        return self.now


def make_window(clock: Clock, frames: int = 5, power: PowerSensors | None = None) -> Window:
    return Window(
        warm_up=3,
        frames=frames,
        owners=ThreadOwners(),
        calls_ns=lambda: 0,
        power=power,
        clock=clock,
    )


def feed(window: Window, clock: Clock, count: int) -> list[bool]:
    counted = []
    for _ in range(count):
        clock.now += clock.step_s
        counted.append(window.add())
    return counted


def test_the_warm_up_is_in_no_figure() -> None:
    clock = Clock(10.0)
    window = make_window(clock)
    assert feed(window, clock, 3) == [False] * 3
    assert window.is_warm
    clock.step_s = 0.25
    assert feed(window, clock, 7) == [True] * 5 + [False] * 2
    window.close()
    assert (window.num_measured, window.elapsed_s, window.throughput_fps) == (5, 1.25, 4.0)


def test_it_ends_when_the_time_is_over() -> None:
    clock = Clock(LIMIT_S / 4)
    window = make_window(clock, frames=100)
    feed(window, clock, 6)
    assert window.is_over
    assert window.num_measured == 2


def test_a_source_that_ends_early_is_measured_as_far_as_it_goes() -> None:
    clock = Clock(0.5)
    window = make_window(clock)
    feed(window, clock, 5)
    assert not window.is_over
    window.close()
    assert (window.num_measured, window.throughput_fps) == (2, 2.0)


@pytest.mark.parametrize("count", [0, 2, 3])
def test_nothing_but_warm_up_is_refused(count: int) -> None:
    clock = Clock(0.5)
    window = make_window(clock)
    feed(window, clock, count)
    with pytest.raises(UsageError, match=f"more frames than the 3 .* got {count}; take a longer"):
        window.close()


def test_energy_is_of_the_measured_frames() -> None:
    clock = Clock(0.5)
    window = make_window(clock, power=PowerSensors(lambda: 8.0, ("VDD_IN",)))
    feed(window, clock, 8)
    energy = window.energy()
    assert energy is not None
    assert energy.watts == pytest.approx(8.0)
    assert energy.joules_per_frame == pytest.approx(8.0 * 0.5)
    assert energy.rails == ("VDD_IN",)


def test_without_sensors_or_readings_there_is_no_energy() -> None:
    for power in (None, PowerSensors(lambda: None, ("VDD_IN",))):
        clock = Clock(0.5)
        window = make_window(clock, power=power)
        feed(window, clock, 8)
        assert window.energy() is None

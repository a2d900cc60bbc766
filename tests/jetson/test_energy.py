from itertools import count, pairwise
from threading import Event, active_count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam3_edge.jetson.energy import Energy, EnergyIntegral, EnergyMeter

Sample = tuple[float, float | None]

times = st.lists(st.floats(0, 1e4, allow_nan=False), min_size=2, max_size=40).map(sorted)
watts = st.floats(0, 100, allow_nan=False)


def integrate(samples: list[Sample]) -> Energy:
    integral = EnergyIntegral()
    for time_s, value in samples:
        integral.add(time_s, value)
    return integral.result()


@given(times, watts)
def test_constant_power_gives_power_times_time(times_s: list[float], power: float) -> None:
    """However irregular the sampling."""
    energy = integrate([(time_s, power) for time_s in times_s])
    duration_s = times_s[-1] - times_s[0]
    assert energy.covered_s == energy.elapsed_s == duration_s
    if duration_s == 0:
        assert energy.joules is None
        assert energy.mean_watts is None
    else:
        assert energy.joules == pytest.approx(power * duration_s)
        assert energy.mean_watts == pytest.approx(power)


@given(times, watts, st.floats(-1e-3, 1e-3))
def test_a_ramp_is_exact(times_s: list[float], power: float, slope: float) -> None:
    """The trapezoidal rule is exact for straight lines."""
    energy = integrate([(time_s, power + slope * time_s) for time_s in times_s])
    first, last = times_s[0], times_s[-1]
    expected = power * (last - first) + slope * (last**2 - first**2) / 2
    assert (energy.joules or 0.0) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(st.lists(st.tuples(st.floats(1e-3, 10), watts), min_size=3, max_size=20), st.data())
def test_parts_add_up_to_the_whole(steps: list[tuple[float, float]], data: st.DataObject) -> None:
    samples: list[Sample] = []
    now = 0.0
    for step_s, power in steps:
        now += step_s
        samples.append((now, power))
    cut = data.draw(st.integers(1, len(samples) - 2))
    parts = [integrate(samples[: cut + 1]).joules, integrate(samples[cut:]).joules]
    assert sum(part or 0.0 for part in parts) == pytest.approx(integrate(samples).joules)


@given(st.lists(st.tuples(st.floats(1e-3, 10), st.none() | st.just(7.0)), max_size=30))
def test_failed_readings_are_counted_and_bridged(steps: list[tuple[float, float | None]]) -> None:
    samples: list[Sample] = []
    now = 0.0
    for step_s, power in steps:
        now += step_s
        samples.append((now, power))
    energy = integrate(samples)
    good = [time_s for time_s, power in samples if power is not None]
    assert energy.num_samples == len(good)
    assert energy.num_failed == len(samples) - len(good)
    gaps = [later - earlier for earlier, later in pairwise(good)]
    assert energy.longest_gap_s == max(gaps, default=0.0)
    if len(good) < 2:
        assert (energy.joules, energy.mean_watts, energy.covered_s) == (None, None, 0.0)
    else:
        assert energy.joules == pytest.approx(7.0 * (good[-1] - good[0]))
        assert energy.covered_s <= energy.elapsed_s


def test_time_does_not_go_backwards() -> None:
    integral = EnergyIntegral()
    integral.add(2.0, 1.0)
    integral.add(2.0, None)
    for wrong in (1.0, float("nan")):
        with pytest.raises(ValueError, match=r"expected samples in the order of time, got"):
            integral.add(wrong, 1.0)


class Sensor:
    """A clock that goes 1 s a reading, and power; tells when `enough` readings were taken."""

    def __init__(self, *, enough: int, values: dict[int, float | None] | None = None) -> None:
        self.enough = Event()
        self._num_enough = enough
        self._values = values or {}
        self._ticks = count()
        self.num_read = 0

    def expect(self, enough: int) -> None:
        self._num_enough = enough
        self.enough.clear()

    def clock(self) -> float:
        return float(next(self._ticks))

    def read(self) -> float | None:
        self.num_read += 1
        if self.num_read >= self._num_enough:
            self.enough.set()
        return self._values.get(self.num_read, 5.0)


def test_the_meter_samples_from_start_to_stop() -> None:
    sensor = Sensor(enough=10)
    threads = active_count()
    meter = EnergyMeter(sensor.read, period_s=1e-4, clock=sensor.clock)
    meter.start()
    assert sensor.enough.wait(30)
    energy = meter.stop()
    assert active_count() == threads
    assert energy.num_samples == sensor.num_read >= 10
    assert energy.covered_s == sensor.num_read - 1
    assert energy.joules == pytest.approx(5.0 * energy.covered_s)
    assert meter.energy == energy
    assert sensor.num_read == energy.num_samples  # nothing is read after the end


def test_a_stop_does_not_wait_for_the_period() -> None:
    """Both ends are sampled, so that even a short measurement has its energy."""
    sensor = Sensor(enough=1)
    with EnergyMeter(sensor.read, period_s=3600, clock=sensor.clock) as meter:
        pass
    assert meter.energy.num_samples == 2
    assert meter.energy.joules == pytest.approx(5.0)


def test_a_sensor_that_fails_now_and_then() -> None:
    sensor = Sensor(enough=8, values={1: None, 4: None, 5: None})
    with EnergyMeter(sensor.read, period_s=1e-4, clock=sensor.clock) as meter:
        assert sensor.enough.wait(30)
    energy = meter.energy
    assert energy.num_failed == 3
    assert energy.longest_gap_s == 3.0
    assert energy.covered_s == energy.elapsed_s - 1
    assert energy.mean_watts == pytest.approx(5.0)


def test_a_meter_starts_again_at_zero() -> None:
    """And its thread samples again."""
    sensor = Sensor(enough=5)
    meter = EnergyMeter(sensor.read, period_s=1e-4, clock=sensor.clock)
    with meter:
        assert sensor.enough.wait(30)
    before = sensor.num_read
    sensor.expect(before + 5)
    with meter:
        assert sensor.enough.wait(30)
    assert meter.energy.num_samples == sensor.num_read - before >= 5
    assert meter.energy.elapsed_s == meter.energy.num_samples - 1


def test_start_and_stop_alternate() -> None:
    sensor = Sensor(enough=1)
    meter = EnergyMeter(sensor.read, period_s=3600, clock=sensor.clock)
    with pytest.raises(RuntimeError, match="got one at rest"):
        meter.stop()
    with meter, pytest.raises(RuntimeError, match="got one that runs"):
        meter.start()


def test_what_a_reader_raises_is_not_lost() -> None:
    raised = Event()

    def read() -> float:
        if next(calls) == 1:  # once, in the thread
            raised.set()
            raise ZeroDivisionError("in the reader")
        return 1.0

    calls = count()
    meter = EnergyMeter(read, period_s=1e-4)
    meter.start()
    assert raised.wait(30)
    with pytest.raises(ZeroDivisionError, match="in the reader"):
        meter.stop()


@pytest.mark.parametrize("period_s", [0.0, -1.0, float("nan")])
def test_a_period_is_above_zero(period_s: float) -> None:
    with pytest.raises(ValueError, match="expected a period above 0 s"):
        EnergyMeter(lambda: 1.0, period_s=period_s)

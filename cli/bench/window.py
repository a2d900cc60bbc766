"""The measured part of a run: what counts begins after the warm-up and ends with the last frame."""

from collections.abc import Callable
from time import perf_counter

from sam3_edge.bench.cpu import CpuReading, ThreadOwners, cpu_per_frame, read_cpu
from sam3_edge.bench.figures import CpuMs, EnergyFigures
from sam3_edge.bench.plan import LIMIT_S
from sam3_edge.errors import UsageError
from sam3_edge.jetson.energy import Energy, EnergyMeter


class PowerSensors:
    """read_watts: of `jetson.power.watts_reader`. rails: the names of what it adds up."""

    def __init__(self, read_watts: Callable[[], float | None], rails: tuple[str, ...]) -> None:
        self.meter = EnergyMeter(read_watts)
        self.rails = rails


class Window:
    """`add` once a result, on one thread, right when it comes.

    calls_ns: of `MeasuredBackend`. power: None where the board has no sensors. is_over: all frames
    are measured, or LIMIT_S is over.
    """

    def __init__(
        self,
        *,
        warm_up: int,
        frames: int,
        owners: ThreadOwners,
        calls_ns: Callable[[], int],
        power: PowerSensors | None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        assert warm_up > 0
        assert frames > 0
        self.warm_up = warm_up
        self._frames = frames
        self._owners = owners
        self._calls_ns = calls_ns
        self._power = power
        self._clock = clock
        self._count = 0
        self.is_over = False
        self._opened_s = clock()
        self._begin_s = self._end_s = 0.0
        self._cpu_begin: CpuReading | None = None
        self._cpu_end: CpuReading | None = None
        self._energy: Energy | None = None

    @property
    def num_measured(self) -> int:
        return max(0, self._count - self.warm_up)

    @property
    def is_warm(self) -> bool:
        return self._count >= self.warm_up

    def add(self) -> bool:
        """Whether this result counts."""
        if self.is_over:
            return False
        self._count += 1
        if self._count == self.warm_up:
            self._begin()
        if self.num_measured == 0:
            return False
        self._end_s = self._clock()
        if self.num_measured == self._frames or self._end_s - self._opened_s > LIMIT_S:
            self._finish()
        return True

    def close(self) -> None:
        """After the last result, if the source ended early. Raises UsageError without frames."""
        if not self.is_over and self.is_warm:
            self._finish()
        if self.num_measured == 0:
            raise UsageError(
                f"expected more frames than the {self.warm_up} of the warm-up, got {self._count}; "
                "take a longer source or a lower --warm-up"
            )

    @property
    def elapsed_s(self) -> float:
        return self._end_s - self._begin_s

    @property
    def throughput_fps(self) -> float:
        return self.num_measured / self.elapsed_s

    def cpu(self) -> CpuMs:
        return cpu_per_frame(self._cpu_begin, self._cpu_end, self._owners, self.num_measured)

    def energy(self) -> EnergyFigures | None:
        """None without sensors, and where none of them could be read twice."""
        if self._power is None or self._energy is None or self._energy.mean_watts is None:
            return None
        watts = self._energy.mean_watts
        return EnergyFigures(
            joules_per_frame=watts * self.elapsed_s / self.num_measured,
            watts=watts,
            rails=self._power.rails,
            num_samples=self._energy.num_samples,
        )

    def _begin(self) -> None:
        if self._power is not None:
            self._power.meter.start()
        self._cpu_begin = read_cpu(self._calls_ns())
        self._begin_s = self._end_s = self._clock()

    def _finish(self) -> None:
        self.is_over = True
        self._cpu_end = read_cpu(self._calls_ns())
        if self._power is not None:
            self._energy = self._power.meter.stop()

"""Joules: power sampled in a thread and integrated between start and stop."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread
from time import monotonic
from types import TracebackType


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """joules, mean_watts: over covered_s; None with fewer than two readings at different times.

    covered_s: from the first reading that worked to the last. elapsed_s: from start to stop.
    longest_gap_s: between two readings that worked, bridged by a straight line like any other.
    """

    joules: float | None
    mean_watts: float | None
    covered_s: float
    elapsed_s: float
    longest_gap_s: float
    num_samples: int
    num_failed: int


class EnergyIntegral:
    """The trapezoidal rule over samples that need not be regular; failed ones leave a gap."""

    def __init__(self) -> None:
        self._times_s: tuple[float, float] | None = None  # of the first and the latest call
        self._first_s = self._last_s = self._last_watts = 0.0
        self._joules = self._longest_gap_s = 0.0
        self._num_samples = self._num_failed = 0

    def add(self, time_s: float, watts: float | None) -> None:
        """watts: None if the reading failed. Raises ValueError if time goes backwards."""
        first_s, latest_s = self._times_s or (time_s, time_s)
        if not time_s >= latest_s:
            raise ValueError(
                f"expected samples in the order of time, got {time_s} after {latest_s}"
            )
        self._times_s = first_s, time_s
        if watts is None:
            self._num_failed += 1
            return
        if self._num_samples == 0:
            self._first_s = time_s
        else:
            gap_s = time_s - self._last_s
            self._joules += gap_s * (watts + self._last_watts) / 2
            self._longest_gap_s = max(self._longest_gap_s, gap_s)
        self._last_s, self._last_watts = time_s, watts
        self._num_samples += 1

    def result(self) -> Energy:
        """Up to now; more may be added."""
        covered_s = self._last_s - self._first_s
        first_s, latest_s = self._times_s or (0.0, 0.0)
        return Energy(
            joules=self._joules if covered_s > 0 else None,
            mean_watts=self._joules / covered_s if covered_s > 0 else None,
            covered_s=covered_s,
            elapsed_s=latest_s - first_s,
            longest_gap_s=self._longest_gap_s,
            num_samples=self._num_samples,
            num_failed=self._num_failed,
        )


class EnergyMeter:
    """Samples from `start` to `stop`, both ends included.

    `with meter: ...` measures the block; `meter.energy` has the result. A meter may be started
    again and then begins at zero.
    """

    def __init__(
        self,
        read_watts: Callable[[], float | None],
        *,
        period_s: float = 0.1,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """read_watts: None for a reading that failed; `power.watts_reader` makes one.

        clock: in seconds, never going backwards.
        """
        if not period_s > 0:
            raise ValueError(f"expected a period above 0 s, got {period_s}")
        self._read_watts = read_watts
        self._period_s = period_s
        self._clock = clock
        self._thread: Thread | None = None
        self._stopping = Event()
        self._error: BaseException | None = None
        self._integral = EnergyIntegral()

    @property
    def energy(self) -> Energy:
        """Of the last measurement. While one runs, use what `stop` returns."""
        return self._integral.result()

    def start(self) -> None:
        if self._thread is not None:
            raise RuntimeError("expected a meter at rest, got one that runs; call stop() first")
        self._integral, self._error = EnergyIntegral(), None
        self._stopping.clear()
        self._sample()
        self._thread = Thread(target=self._run, name="energy-meter", daemon=True)
        self._thread.start()

    def stop(self) -> Energy:
        """Ends the thread, takes the last sample. Raises what `read_watts` raised, if it did."""
        if self._thread is None:
            raise RuntimeError("expected a meter that runs, got one at rest; call start() first")
        self._stopping.set()
        self._thread.join()
        self._thread = None
        if self._error is not None:
            raise self._error
        self._sample()
        return self.energy

    def __enter__(self) -> "EnergyMeter":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            while not self._stopping.wait(self._period_s):
                self._sample()
        except BaseException as error:  # nobody sees what a thread raises: stop() raises it
            self._error = error

    def _sample(self) -> None:
        self._integral.add(self._clock(), self._read_watts())

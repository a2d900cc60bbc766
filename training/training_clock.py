"""How long a run has trained, without the hours in which it was paused."""

import threading
import time
from collections.abc import Callable
from types import TracebackType

BEAT_S = 1.0
# A process at the lowest priority of a busy machine, or one in a slow library call, misses beats
# for seconds. One that misses them for so long was stopped, or given no processor: it did not train.
LONGEST_GAP_S = 30.0


class TrainingClock:
    """Seconds since it was entered, on top of those `set`. Open as a context.

    A thread looks at the time every BEAT_S. A gap above LONGEST_GAP_S between two looks is a pause
    (SIGSTOP, a suspended machine) and counts as one beat. `now` may be called by any thread.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._elapsed_s, self._looked = 0.0, now()
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._beat, name="training clock", daemon=True)

    def __enter__(self) -> "TrainingClock":
        self.set(0.0)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def read(self) -> float:
        """Seconds trained so far."""
        with self._lock:
            looked = self._now()
            gap = looked - self._looked
            self._looked = looked
            self._elapsed_s += gap if gap <= LONGEST_GAP_S else BEAT_S
            return self._elapsed_s

    def set(self, elapsed_s: float) -> None:
        """To go on from: what earlier parts of the run took."""
        with self._lock:
            self._elapsed_s, self._looked = elapsed_s, self._now()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_S):
            self.read()

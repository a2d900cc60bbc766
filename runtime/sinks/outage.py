"""What a sink says of a partner in the network that is away: once that it is, once that it is back."""

from collections.abc import Callable
from time import monotonic

# One that comes back and is gone again at once was not back.
STEADY_S = 1.0


class Outage:
    """Counts what is lost. All by the sink's own thread."""

    def __init__(
        self, name: str, warn: Callable[[str], None], clock: Callable[[], float] = monotonic
    ) -> None:
        """name: the partner, as messages call it, without passwords. clock: in seconds."""
        self._name = name
        self._warn = warn
        self._clock = clock
        self._is_on = self._told_refusal = False
        self._back_since_s: float | None = None
        self._num_lost_now = 0
        self.num_lost = 0

    def lose(self, reason: str, count: int = 1, *, refused: bool = False) -> None:
        """`count` results cannot be delivered. The first reason of an outage is the one told.

        refused: the partner itself says why, which is told also where it was only away before.
        """
        if not self._is_on or (refused and not self._told_refusal):
            self._told_refusal = refused
            self._warn(f"{self._name}: {reason}; results are dropped until it is back")
        self._is_on, self._back_since_s = True, None
        self._num_lost_now += count
        self.num_lost += count

    def delivered(self) -> bool:
        """A result got through. Whether all is well, for the last second at least."""
        if not self._is_on:
            return True
        if self._back_since_s is None:
            self._back_since_s = self._clock()
        if self._clock() - self._back_since_s < STEADY_S:
            return False
        self.end()
        return True

    def end(self) -> None:
        """The same without waiting that second, where a result got through at all."""
        if self._back_since_s is None:
            return
        self._warn(f"{self._name}: it is back; results lost: {self._num_lost_now}")
        self._is_on = self._told_refusal = False
        self._back_since_s, self._num_lost_now = None, 0

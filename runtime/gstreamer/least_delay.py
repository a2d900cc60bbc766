"""How late a picture is by a clock that began at a moment nobody knows."""

from collections import deque

_WINDOW_NS = 10_000_000_000


class LeastDelay:
    """A sender's time stamps say when pictures were taken relative to each other alone. The one that
    came soonest is taken as on time, and all others as late by what they took longer.

    What that one took itself, a millisecond or two in a local network, cannot be seen from here.
    Clocks drift, so only the last 10 s are looked at.
    """

    def __init__(self) -> None:
        # (when, delay): delays grow from left to right, so the first is the least.
        self._delays: deque[tuple[int, int]] = deque()

    def beyond(self, delay_ns: int, now_ns: int) -> int:
        """delay_ns: from the stamp to now, plus or minus anything. Returns nanoseconds, 0 or more."""
        while self._delays and self._delays[-1][1] >= delay_ns:
            self._delays.pop()
        self._delays.append((now_ns, delay_ns))
        while self._delays[0][0] < now_ns - _WINDOW_NS:
            self._delays.popleft()
        return delay_ns - self._delays[0][1]

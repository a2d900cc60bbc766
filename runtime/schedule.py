"""When the next frame is due at a given rate."""

# A camera's frames come early and late: what comes so little early is due.
_EARLY_NS, _EARLY_SHARE = 8e6, 0.25


class Schedule:
    """Due times a period apart, whatever the jitter, so that the mean rate is kept.

    After a pause it begins anew and does not catch up.
    """

    def __init__(self, max_fps: float | None) -> None:
        """None: whenever there is one."""
        self._period_ns = 1e9 / max_fps if max_fps else 0.0
        self._due_ns = 0.0

    def early_ns(self, now_ns: int) -> float:
        """How long before its time a frame of now is; 0 where it is due."""
        return max(0.0, self._due_ns - now_ns)

    def is_due(self, now_ns: int) -> bool:
        return self.early_ns(now_ns) <= min(_EARLY_NS, _EARLY_SHARE * self._period_ns)

    def take(self, now_ns: int) -> None:
        """A frame was taken: the next is due a period after this one was."""
        is_on_time = now_ns - self._due_ns < self._period_ns
        self._due_ns = (self._due_ns if is_on_time else now_ns) + self._period_ns

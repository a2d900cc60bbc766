"""Ctrl-C, SIGTERM and a terminal that goes away as a question that is asked between frames."""

import signal
import threading
from types import FrameType, TracebackType


class StopSignal:
    """While entered, the first signal only sets `is_set`: the frame in hand is completed and every
    file closed. A second one interrupts at once.

    SIGHUP comes when the network takes an ssh session away. Under nohup it is ignored, and stays so.
    """

    def __init__(self) -> None:
        self.is_set = False
        self._before: dict[signal.Signals, object] = {}

    def requested(self) -> bool:
        return self.is_set

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():  # others cannot be told
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._set)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal() gave

    def _set(self, number: int, _frame: FrameType | None) -> None:
        if self.is_set and number != signal.SIGHUP:  # which comes with others, and more than once
            raise KeyboardInterrupt
        self.is_set = True

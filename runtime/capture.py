"""A source read in a thread of its own, at the pace that was asked for."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Condition, Event, Thread
from time import monotonic_ns

from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.handover import Handover
from sam3_edge.runtime.schedule import Schedule
from sam3_edge.runtime.source_event import SourceEvent
from sam3_edge.runtime.sources import Source

# Of a file one frame waits while another is decoded; of a camera only the newest is wanted.
_FILE_CAPACITY, _LIVE_CAPACITY = 2, 1
_PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Which frames are looked at. Those that are not are not counted as dropped.

    every: each N-th frame of the source.
    max_fps: frames a second, at most. A camera's other frames are left out, a file is read slower.
    deadline_ms: of a live source, nothing older is handed on; what is late counts as dropped.
    """

    every: int = 1
    max_fps: float | None = None
    deadline_ms: float | None = None


class Capture:
    """Owns an opened source. The thread begins with the first `take`, and ends with `close`.

    A live source never waits: a frame that was not taken in time gives way to the next and is
    counted. Of any other source every frame is kept, and the reading waits.
    """

    def __init__(
        self,
        source: Source,
        pace: Pace = Pace(),
        *,
        limit: int | None = None,
        changed: Condition | None = None,
        clock_ns: Callable[[], int] = monotonic_ns,
    ) -> None:
        """limit: frames that `take` gives, at most. changed: see `Handover`."""
        self._source = source
        self._pace = pace
        self._left = math.inf if limit is None else limit
        self._clock_ns = clock_ns
        self._num_late = 0
        capacity = _LIVE_CAPACITY if source.live else _FILE_CAPACITY
        self._items: Handover[Frame | SourceEvent] = Handover(
            capacity, latest_wins=source.live, is_news=_is_event, changed=changed
        )
        self._stopping = Event()
        self._thread = Thread(target=self._read, name="sam3-edge capture", daemon=True)
        self._is_started = False

    @property
    def is_live(self) -> bool:
        return self._source.live

    @property
    def is_over(self) -> bool:
        """Nothing more will come; an error may still have to be taken."""
        return self._left <= 0 or self._items.is_over

    @property
    def is_done(self) -> bool:
        """It is over, and no error is left to be taken."""
        return self._left <= 0 or self._items.is_done

    def take(self, *, wait: bool = True) -> Frame | SourceEvent | None:
        """The next frame, of a live source the newest, or what happened to the source; None when
        there is none, or none yet.

        wait: until there is one or it is over. Raises what the source raised, after its last frame.
        """
        self.start()
        while self._left > 0:
            item = self._items.get(None if wait else 0)
            if not isinstance(item, Frame):
                return item
            if self.is_late(item):
                self.drop(item)
                continue
            self._left -= 1
            lost = self._items.num_dropped + self._num_late
            return replace(item, dropped=item.dropped + lost) if lost else item
        return None

    def is_late(self, frame: Frame) -> bool:
        deadline_ms = self._pace.deadline_ms
        if deadline_ms is None or not self._source.live:
            return False
        return self._clock_ns() - frame.captured_ns > deadline_ms * 1e6

    def drop(self, _frame: Frame) -> None:
        """Count a frame as lost that was taken and came to nothing."""
        self._num_late += 1

    def stop(self) -> None:
        """No more frames: `take` gives None from now on, also to who waits for it."""
        self._stopping.set()
        self._items.stop()
        self._source.stop()

    def close(self) -> None:
        """End the thread, then close the source. Safe to call twice.

        A source that hangs is left to the end of the process: closing it under its reader's feet
        crashes some drivers.
        """
        self.stop()
        if self._is_started:
            self._thread.join(_PATIENCE_S)
        if not self._thread.is_alive():
            self._source.close()

    def start(self) -> None:
        """Begin to read. Safe to call twice; `take` does it too."""
        if not self._is_started:
            self._is_started = True
            self._thread.start()

    def _read(self) -> None:
        try:
            self._hand_over()
        except BaseException as error:  # nobody sees what a thread raises: take raises it
            self._items.end(error)
        else:
            self._items.end()

    def _hand_over(self) -> None:
        schedule = Schedule(self._pace.max_fps)
        number = -1
        for item in self._source.frames():
            if self._stopping.is_set():
                return
            if isinstance(item, SourceEvent):
                self._items.put(item)
                continue
            number += 1
            now_ns = self._clock_ns()
            if number % self._pace.every or (self.is_live and not schedule.is_due(now_ns)):
                continue
            if not self.is_live:
                self._stopping.wait(schedule.early_ns(now_ns) / 1e9)
            schedule.take(now_ns)
            if not self._items.put(item):
                return


def _is_event(item: Frame | SourceEvent) -> bool:
    return isinstance(item, SourceEvent)

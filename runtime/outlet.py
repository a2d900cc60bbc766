"""A sink in a thread of its own, so that writing does not hold up looking."""

from collections.abc import Callable
from dataclasses import replace
from threading import Thread
from time import monotonic

from sam3_edge.errors import SinkError
from sam3_edge.runtime.handover import Handover
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.sinks import Sink
from sam3_edge.runtime.source_event import SourceEvent

_CAPACITY = 4  # results that may wait
_STUCK_S = 10.0
_LOOK_UP_S = 0.1


class Outlet:
    """Writes results in order, and closes the sink after the last or the first that failed.

    latest_wins: for a live source: a sink that is too slow loses results, which are counted, and
    neither holds up the others nor shows an old picture as new.
    """

    def __init__(self, sink: Sink, *, latest_wins: bool, stuck_s: float = _STUCK_S) -> None:
        """stuck_s: how long a sink may take over one result when the run should end."""
        self._sink = sink
        self._results: Handover[FrameResult | SourceEvent] = Handover(
            _CAPACITY,
            latest_wins=latest_wins,
            is_news=lambda result: isinstance(result, SourceEvent),
        )
        self._stuck_s = stuck_s
        self._error: BaseException | None = None
        self._busy_since_s: float | None = None
        self._thread = Thread(
            target=self._run, name=f"sam3-edge sink {type(sink).__name__}", daemon=True
        )
        self._thread.start()

    @property
    def num_dropped(self) -> int:
        return self._results.num_dropped

    def put(self, result: FrameResult | SourceEvent, should_stop: Callable[[], bool]) -> None:
        """Waits for room, but not for a stuck sink when the run should stop: `close` tells of it.

        Raises what the sink raised.
        """
        if isinstance(result, FrameResult) and not self._sink.draws:
            # A picture that nobody looks at would wait for nothing, and memory with it.
            result = replace(result, frame=replace(result.frame, planes=()))
        while not self._results.put(result, _LOOK_UP_S):
            self._raise_error()
            if should_stop() and self._is_stuck():
                return
        self._raise_error()

    def close(self) -> None:
        """Wait until all is written. Raises SinkError where the sink is stuck, and its own error."""
        self._results.end()
        while self._thread.is_alive():
            self._thread.join(_LOOK_UP_S)
            if self._is_stuck():
                raise SinkError(
                    f"{self._sink.name}: expected it to take the last results, got no answer in "
                    f"{self._stuck_s:g} s; check whoever reads it (what it had before is kept)"
                )
        self._raise_error()

    def _is_stuck(self) -> bool:
        since_s = self._busy_since_s
        return since_s is not None and monotonic() - since_s > self._stuck_s

    def _raise_error(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _run(self) -> None:
        try:
            while (result := self._results.get()) is not None:
                self._busy_since_s = monotonic()
                give(self._sink, result)
                self._busy_since_s = None
                del result  # it holds a picture, and the next may be long in coming
        except BaseException as error:  # nobody sees what a thread raises: put or close raises it
            self._error = error
            self._results.stop()
        self._busy_since_s = monotonic()
        try:
            self._sink.close()
        except BaseException as error:
            self._error = self._error or error  # the first is the one to tell
        self._busy_since_s = None


def give(sink: Sink, result: FrameResult | SourceEvent) -> None:
    if isinstance(result, SourceEvent):
        sink.tell(result)
    else:
        sink.write(result)

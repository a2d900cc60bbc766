"""A sink in a thread of its own, so that writing does not hold up looking."""

from collections.abc import Callable
from dataclasses import replace
from threading import Thread
from time import monotonic

from sam3_edge.errors import SinkError
from sam3_edge.runtime.handover import Handover
from sam3_edge.runtime.recovery import Recovery
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.sinks import Sink
from sam3_edge.runtime.source_event import SourceEvent

STUCK_S = 10.0
_CAPACITY = 4  # results that may wait
_LOOK_UP_S = 0.1
_MANY = 50  # lost results are worth a word; one that waits a second for its network loses fewer


class Outlet:
    """Writes results in order, and closes the sink after the last or the first that failed.

    latest_wins: for a live source: a sink that is too slow loses results, which are counted, and
    neither holds up the others nor shows an old picture as new.
    alone: no other sink waits for this one: a file's results wait for it however long it takes.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        latest_wins: bool,
        warn: Callable[[str], None] = lambda _: None,
        alone: bool = True,
        stuck_s: float = STUCK_S,
    ) -> None:
        """warn: told once that the sink is slow, and once that it is stuck.

        stuck_s: how long it may take over one result before the others go on without it, and
        before the run ends without it.
        """
        self._sink = sink
        self._results: Handover[FrameResult | SourceEvent] = Handover(
            _CAPACITY,
            latest_wins=latest_wins,
            is_news=lambda result: isinstance(result, SourceEvent),
        )
        self._warn = warn
        self._waits = alone and not latest_wins
        self._stuck_s = stuck_s
        self._num_refused = 0
        self._told_slow = self._told_stuck = False
        self._error: BaseException | None = None
        self._busy_since_s: float | None = None
        self._thread = Thread(
            target=self._run, name=f"sam3-edge sink {type(sink).__name__}", daemon=True
        )
        self._thread.start()

    @property
    def name(self) -> str:
        return self._sink.name

    @property
    def num_dropped(self) -> int:
        return self._results.num_dropped + self._num_refused

    def put(self, result: FrameResult | SourceEvent, should_stop: Callable[[], bool]) -> None:
        """Waits for room, but not for a stuck sink when the run should stop: `close` tells of it.

        Raises what the sink raised.
        """
        if isinstance(result, FrameResult) and not self._sink.draws:
            # A picture that nobody looks at would wait for nothing, and memory with it.
            result = replace(result, frame=replace(result.frame, planes=()))
        while not self._results.put(result, self._patience_s()):
            self._raise_error()
            self._tell()
            if self._is_stuck() and (should_stop() or not self._waits):
                self._num_refused += 1
                break
        self._raise_error()
        self._tell()

    def end(self) -> None:
        """There will be no more; does not wait."""
        self._results.end()

    def close(self) -> None:
        """Wait until all is written. Raises SinkError where the sink is stuck, and its own error."""
        self.end()
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

    def _patience_s(self) -> float:
        """Nobody waits again for one that is stuck."""
        return 0 if self._is_stuck() and not self._waits else _LOOK_UP_S

    def _tell(self) -> None:
        if self._is_stuck() and not self._told_stuck:
            self._told_stuck = True
            goes_on = "waiting for it" if self._waits else "the run goes on without it"
            self._warn(
                f"{self.name}: no result taken for {self._stuck_s:g} s; check whoever reads it; "
                f"{goes_on}"
            )
        elif self.num_dropped >= _MANY and not (self._told_slow or self._told_stuck):
            self._told_slow = True
            self._warn(f"{self.name}: slower than the source; what it has no time for is left out")

    def _raise_error(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _run(self) -> None:
        recovery = Recovery()
        try:
            while (result := self._results.get()) is not None:
                self._busy_since_s = monotonic()
                give(self._sink, recovery.mark(result))
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

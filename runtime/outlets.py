"""All sinks of a run side by side: one that fails is told of, and the others go on."""

from collections.abc import Callable, Sequence

from sam3_edge.errors import Sam3EdgeError, SinkError
from sam3_edge.runtime.outlet import STUCK_S, Outlet, give
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.sinks import Sink
from sam3_edge.runtime.source_event import SourceEvent


class Outlets:
    """A sink that failed is closed straight away; only the end waits for that."""

    def __init__(
        self,
        sinks: Sequence[Sink],
        *,
        live: bool,
        warn: Callable[[str], None],
        stuck_s: float = STUCK_S,
    ) -> None:
        """warn: one line for each sink that fails, is slow or is stuck while others go on."""
        self._places: list[Outlet | Sink] = [
            sink
            if sink.in_callers_thread
            else Outlet(sink, latest_wins=live, warn=warn, alone=len(sinks) == 1, stuck_s=stuck_s)
            for sink in sinks
        ]
        self._working = list(self._places)
        self._warn = warn

    @property
    def num_dropped(self) -> int:
        """Results that were too many for a slow or stuck sink."""
        return sum(place.num_dropped for place in self._places if isinstance(place, Outlet))

    def put(self, result: FrameResult | SourceEvent, should_stop: Callable[[], bool]) -> None:
        """Raises the error of the sink that was the last to work, and WindowClosed."""
        for place in list(self._working):
            try:
                if isinstance(place, Outlet):
                    place.put(result, should_stop)
                else:
                    give(place, result)
            except (Sam3EdgeError, OSError) as error:
                self._working.remove(place)
                if not self._working:
                    raise
                self._warn(f"{error}; the other outputs go on")

    def close(self) -> None:
        """Finish all of them. Raises SinkError where one did not last until now."""
        errors = self._close()
        for error in errors[1:]:
            self._warn(str(error))
        if errors:
            raise errors[0]
        failed = [place.name for place in self._places if place not in self._working]
        if self._working and failed:
            raise SinkError(
                f"expected every output to last until the end, got an early end of "
                f"{', '.join(failed)}; see the warning above"
            )

    def close_after_error(self) -> None:
        """The same where something else ended the run, and is told after what is told here."""
        for error in self._close():
            self._warn(str(error))

    def _close(self) -> list[Exception]:
        """The errors of those that worked till now; what the others have to say was told.

        A bug in one of them is no reason to leave the next unfinished.
        """
        for place in self._places:
            if isinstance(place, Outlet):
                place.end()  # all at once: none is unfinished because another is waited for
        errors: list[Exception] = []
        for place in self._places:
            try:
                place.close()
            except Exception as error:
                if place in self._working:
                    errors.append(error)
        return errors

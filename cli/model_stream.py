"""The stream that has a model's engine, and how it ends: by itself, by its reader, by the model."""

from collections.abc import Callable, Generator
from contextlib import closing
from threading import Event, get_ident
from typing import cast
from weakref import ReferenceType, ref

from sam3_edge.engines.backend import Backend
from sam3_edge.runtime.captures import Captures
from sam3_edge.runtime.one_frame import Request
from sam3_edge.runtime.pipeline import detect
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.self_check import SelfCheck
from sam3_edge.runtime.source_event import SourceEvent

_LOOK_UP_S = 0.02  # how often `end` tries while another thread is inside

Results = Generator[FrameResult, None, None]


class ModelStream:
    """Refers to its results weakly: they end when whoever reads them has let them go."""

    def __init__(
        self,
        capture: Captures,
        *,
        on_event: Callable[[SourceEvent], None],
        on_end: Callable[[], None],
    ) -> None:
        """capture: closed at the end. on_end: called once, when its threads have ended."""
        self._capture = capture
        self._on_event = on_event
        self._on_end = on_end
        self._ended = Event()
        self._thread = 0  # who asked for the last result
        self._results: ReferenceType[Results] | None = None

    def start(
        self, backend: Backend, current: Callable[[], Request], self_check: SelfCheck | None
    ) -> Results:
        found = detect(self._capture, backend, current, self_check)
        results = self._read(found)
        next(results)  # from here on it ends as it should, even if nobody takes anything
        started = cast(Results, results)  # its None has been taken
        self._results = ref(started)
        return started

    def end(self) -> None:
        """From any thread. Inside `on_event` it is only told, and ends afterwards."""
        self._capture.stop()
        results = None if self._results is None else self._results()
        while not self._ended.is_set():
            try:
                if results is not None:
                    results.close()
            except ValueError:  # a thread is inside, with the last result or on its way out
                if self._thread == get_ident():
                    return
            self._ended.wait(_LOOK_UP_S)

    def _read(
        self, found: Generator[FrameResult | SourceEvent, None, None]
    ) -> Generator[FrameResult | None, None, None]:
        try:
            with closing(self._capture), closing(found):
                yield None
                self._thread = get_ident()
                for item in found:
                    if isinstance(item, SourceEvent):
                        self._on_event(item)
                    else:
                        yield item
                        self._thread = get_ident()
                    del item  # it holds a picture, and the next may be long in coming
        finally:
            self._on_end()
            self._ended.set()

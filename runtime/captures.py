"""Several sources served in turn, so that none of them starves."""

import time
from collections.abc import Sequence
from threading import Condition

from sam3_edge.runtime.capture import Capture, Pace
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.source_event import SourceEvent
from sam3_edge.runtime.sources import Source


class Captures:
    """As one `Capture`. A source that breaks off for good leaves the others running: that is told
    as an event, and its error raised when all are over. Where nobody is left to go on, the error of
    the last is raised at once."""

    def __init__(self, sources: Sequence[Source], pace: Pace, *, limit: int | None = None) -> None:
        """sources: of different names. limit: frames of each of them."""
        self._changed = Condition()
        self._captures = {
            source.name: Capture(source, pace, limit=limit, changed=self._changed)
            for source in sources
        }
        self._names = list(self._captures)  # whose turn it is, first
        self._error: BaseException | None = None

    @property
    def is_live(self) -> bool:
        return any(capture.is_live for capture in self._captures.values())

    def take(self, *, wait: bool = True) -> Frame | SourceEvent | None:
        for capture in self._captures.values():
            capture.start()
        with self._changed:
            while (item := self._in_turn()) is None and wait and not self._is_over():
                self._changed.wait()
            if item is None and self._error is not None and self._is_over():
                error, self._error = self._error, None
                raise error
            return item

    def is_late(self, frame: Frame) -> bool:
        owner = self._captures.get(frame.source)  # pictures of a folder have names of their own
        return owner is not None and owner.is_late(frame)

    def drop(self, frame: Frame) -> None:
        self._captures[frame.source].drop(frame)

    def stop(self) -> None:
        for capture in self._captures.values():
            capture.stop()

    def close(self) -> None:
        self.stop()
        for capture in self._captures.values():
            capture.close()

    def _in_turn(self) -> Frame | SourceEvent | None:
        for name in self._names:
            item = self._take_from(name)
            if item is not None:
                self._names.remove(name)
                self._names.append(name)
                return item
        return None

    def _take_from(self, name: str) -> Frame | SourceEvent | None:
        try:
            return self._captures[name].take(wait=False)
        except Exception as error:
            if all(capture.is_done for capture in self._captures.values()):
                raise
            self._error = self._error or error
            return SourceEvent(
                source=name,
                state="lost",
                reason=str(error),
                attempt=0,
                utc_ns=time.time_ns(),
                final=True,
            )

    def _is_over(self) -> bool:
        return all(capture.is_over for capture in self._captures.values())

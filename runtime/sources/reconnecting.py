"""A live source that is opened again when it breaks off."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Event

from sam3_edge.errors import Sam3EdgeError, SourceError
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.source_event import SourceEvent
from sam3_edge.runtime.sources import Source

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 10.0


class ReconnectingSource:
    """Frames are counted on over every break, and time runs on; the picture's size may change.

    Between attempts it waits twice as long each time, up to ten seconds; a frame that comes ends
    their count, and ten seconds of frames make the next wait short again. A source that must not be
    opened again and again says so by `may_reopen`.
    """

    live = True
    may_reopen = False  # it does that itself
    num_frames: int | None = None

    def __init__(
        self,
        opened: Source,
        reopen: Callable[[], Source],
        *,
        retries: int | None = None,
        first_wait_s: float = FIRST_WAIT_S,
    ) -> None:
        """opened: what it begins with, closed here. retries: attempts before it gives up; None:
        for ever."""
        self.name = opened.name
        self.fps = opened.fps
        self._source: Source | None = opened
        self._reopen = reopen
        self._retries = retries
        self._attempt = 0  # since the last frame
        self._first_wait_s = self._wait_s = first_wait_s
        self._stopping = Event()
        self._dropped = 0

    def frames(self) -> Iterator[Frame | SourceEvent]:
        """Raises SourceError where the attempts are used up."""
        index, start_ns, is_new = 0, 0, False
        while True:
            reason = f"{self.name}: the stream ended"
            dropped, opened_ns = self._dropped, 0
            try:
                for frame in self._read():
                    start_ns = start_ns or frame.captured_ns
                    opened_ns = opened_ns or frame.captured_ns
                    if frame.captured_ns - opened_ns >= LONGEST_WAIT_S * 1e9:
                        self._wait_s = self._first_wait_s
                    self._dropped = dropped + frame.dropped
                    yield replace(
                        frame,
                        index=index,
                        time_s=(frame.captured_ns - start_ns) / 1e9,
                        dropped=self._dropped,
                        state="recovered" if is_new else "ok",
                    )
                    index, is_new, self._attempt = index + 1, False, 0
                    del frame  # its memory is used again when nobody refers to it
            except SourceError as error:
                reason = str(error)
            if self._stopping.is_set():
                return
            if not is_new:  # else it was opened and gave nothing: one more attempt in vain
                yield self._event("lost", reason, 0)
            self._close()
            yield from self._attempts(reason)
            if self._stopping.is_set():
                return
            is_new = True

    def stop(self) -> None:
        self._stopping.set()
        source = self._source
        if source is not None:
            source.stop()

    def close(self) -> None:
        self._stopping.set()
        self._close()

    def _read(self) -> Iterator[Frame]:
        assert self._source is not None
        for item in self._source.frames():
            assert isinstance(item, Frame)
            yield item
            del item

    def _attempts(self, reason: str) -> Iterator[SourceEvent]:
        """Until one opens. Raises the last SourceError."""
        while self._source is None:
            if self._attempt == self._retries:
                attempts = "1 attempt" if self._attempt == 1 else f"{self._attempt} attempts"
                raise SourceError(f"{reason} (given up after {attempts} to connect again)")
            if self._stopping.wait(self._wait_s):
                return
            self._attempt += 1
            self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
            yield self._event("reconnecting", reason, self._attempt)
            try:
                self._source = self._reopen()
            except Sam3EdgeError as error:
                reason = str(error)
        if self._stopping.is_set():  # whoever stopped it had nothing to close
            self._close()

    def _event(self, state: str, reason: str, attempt: int) -> SourceEvent:
        return SourceEvent(
            source=self.name,
            state="lost" if state == "lost" else "reconnecting",
            reason=reason,
            attempt=attempt,
            utc_ns=time.time_ns(),
        )

    def _close(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.close()

"""Is the engine still the one that was verified? One reference picture at the start and per hour."""

from collections.abc import Callable
from time import monotonic
from typing import Literal

from sam3_edge.engines.backend import Backend
from sam3_edge.engines.drift import check_drift, replay, replay_text
from sam3_edge.engines.references import References

INTERVAL_S = 3600.0


class SelfCheck:
    """Remembers when it last ran, and takes another picture each time."""

    def __init__(
        self,
        references: References,
        precision: Literal["fp32", "fp16", "int8"],
        *,
        interval_s: float = INTERVAL_S,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """clock: seconds."""
        self._references = references
        self._precision = precision
        self._interval_s = interval_s
        self._clock = clock
        self._last_s: float | None = None
        self._text_is_proven = False
        self._count = 0

    def is_due(self) -> bool:
        return self._last_s is None or self._clock() - self._last_s >= self._interval_s

    def run(self, backend: Backend, *, encode_text: bool = False) -> None:
        """Replay one picture; nothing may be in flight. Raises EngineError on drift.

        encode_text: the text graph too, which is loaded for it.
        """
        index = self._count % len(self._references)
        drift = replay(backend, self._references, index, encode_text=encode_text)
        check_drift(drift, self._precision)
        self._count += 1
        self._last_s = self._clock()

    def run_text(self, backend: Backend) -> None:
        """The text graph alone, once, which is loaded for it; beside frames too.

        Raises EngineError on drift.
        """
        if not self._text_is_proven:
            check_drift(replay_text(backend, self._references), self._precision)
            self._text_is_proven = True

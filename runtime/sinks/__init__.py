"""Where results go, one file per kind."""

from typing import Protocol

from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.source_event import SourceEvent


class Sink(Protocol):
    """Checks where it writes when it is made, opens at the first result.

    name: what messages call it. draws: it needs the picture, and masks as bits; others get frames without planes.
    in_callers_thread: it belongs to the thread that runs the command, as windows do.
    written: what it has written so far, in words, for the summary; None for nothing.
    """

    name: str
    draws: bool
    in_callers_thread: bool

    @property
    def written(self) -> str | None: ...

    def write(self, result: FrameResult) -> None:
        """Raises SinkError if it cannot be written; what came before stays readable."""

    def tell(self, event: SourceEvent) -> None:
        """What happened to a source. Nothing, for those that write pictures."""

    def close(self) -> None:
        """Finish the file. Safe to call twice. Raises SinkError."""


class WindowClosed(Exception):  # noqa: N818 -- it is no error
    """The person looking has seen enough: the run ends well."""

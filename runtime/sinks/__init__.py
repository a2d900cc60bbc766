"""Where results go, one file per kind."""

from typing import Protocol

from sam3_edge.runtime.results import FrameResult


class Sink(Protocol):
    """Checks where it writes when it is made, opens at the first result.

    written: what it has written so far, in words, for the summary; None for nothing.
    """

    @property
    def written(self) -> str | None: ...

    def write(self, result: FrameResult) -> None:
        """Raises SinkError if it cannot be written; what came before stays readable."""

    def close(self) -> None:
        """Finish the file. Safe to call twice. Raises SinkError."""


class WindowClosed(Exception):  # noqa: N818 -- it is no error
    """The person looking has seen enough: the run ends well."""

"""What happens to a source besides frames."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEvent:
    """A change of a source's state, in the order of its frames.

    source: as its frames call it.
    state: "lost": no more frames for now, or, where `final`, for good. "reconnecting": another
        attempt begins. The first frame afterwards has the state "recovered".
    reason: one line: what was wrong. attempt: 0 for the loss itself, then counted from 1.
    utc_ns: wall clock, nanoseconds since 1970.
    """

    source: str
    state: Literal["lost", "reconnecting"]
    reason: str
    attempt: int
    utc_ns: int
    final: bool = False

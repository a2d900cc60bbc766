"""A live source that comes back: counted on, told of, and given up only when told."""

from collections.abc import Callable
from dataclasses import replace
from threading import Thread

import pytest

from sam3_edge.errors import SourceError
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.source_event import SourceEvent
from sam3_edge.runtime.sources import Source
from sam3_edge.runtime.sources.reconnecting import ReconnectingSource
from tests.runtime.sources_to_test import ListedSource

MS = 1_000_000
Frames = Callable[[list[int]], list[Frame]]


@pytest.fixture
def frames(make_frame: Callable[..., Frame]) -> Frames:
    """frames([10, 20]): captured at 10 and 20 ms, numbered from 0 as every source does."""
    return lambda times: [
        replace(make_frame(index), captured_ns=ms * MS) for index, ms in enumerate(times)
    ]


def reopening(*outcomes: Source | Exception) -> Callable[[], Source]:
    queue = list(outcomes)

    def reopen() -> Source:
        outcome = queue.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return reopen


def test_it_comes_back_and_counts_on(frames: Frames) -> None:
    first = ListedSource(frames([10, 20]), live=True, error=SourceError("cable"))
    second = ListedSource([replace(frame, dropped=3) for frame in frames([500, 600])], live=True)
    source = ReconnectingSource(
        first,
        reopening(SourceError("not yet"), second),
        retries=3,
        first_wait_s=0.001,
    )
    seen: list[Frame | SourceEvent] = []
    with pytest.raises(SourceError, match="given up by the test"):
        _collect(source, seen, stop_after=8)
    kinds = [item.state for item in seen]
    assert kinds == ["ok", "ok", "lost", "reconnecting", "reconnecting", "recovered", "ok", "lost"]
    got = [item for item in seen if isinstance(item, Frame)]
    assert [frame.index for frame in got] == [0, 1, 2, 3]
    assert [frame.time_s for frame in got] == [0, 0.01, 0.49, 0.59]
    assert [frame.dropped for frame in got] == [0, 0, 3, 3]
    events = [item for item in seen if isinstance(item, SourceEvent)]
    assert [event.attempt for event in events] == [0, 1, 2, 0]
    assert [event.reason for event in events[:3]] == ["cable", "cable", "not yet"]
    assert "the stream ended" in events[3].reason
    assert first.closed == 1


def _collect(source: ReconnectingSource, seen: list[Frame | SourceEvent], stop_after: int) -> None:
    for item in source.frames():
        seen.append(item)
        if len(seen) == stop_after:
            source.close()
            raise SourceError("given up by the test")


def test_given_up_after_so_many_attempts(frames: Frames) -> None:
    first = ListedSource(frames([10]), live=True, error=SourceError("cable"))
    source = ReconnectingSource(
        first, reopening(*[SourceError("nobody there")] * 9), retries=2, first_wait_s=0.001
    )
    seen: list[Frame | SourceEvent] = []
    with pytest.raises(SourceError, match="given up after 2 attempts"):
        seen.extend(source.frames())
    source.close()


@pytest.mark.parametrize("how", ["stop", "close"])
def test_an_end_does_not_wait_for_the_next_attempt(frames: Frames, how: str) -> None:
    first = ListedSource(frames([10]), live=True, error=SourceError("cable"))
    source = ReconnectingSource(first, reopening(), first_wait_s=3600)
    items = source.frames()
    assert [next(items).state, next(items).state] == ["ok", "lost"]
    rest: list[object] = []
    thread = Thread(target=lambda: rest.extend(items), daemon=True)
    thread.start()
    getattr(source, how)()
    thread.join(20)
    assert not thread.is_alive()
    assert rest == []


def test_what_is_no_source_error_is_not_hidden(frames: Frames) -> None:
    first = ListedSource(frames([10]), live=True, error=ZeroDivisionError())
    items = ReconnectingSource(first, reopening()).frames()
    next(items)
    with pytest.raises(ZeroDivisionError):
        next(items)

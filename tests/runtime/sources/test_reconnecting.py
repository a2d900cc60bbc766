"""A live source that comes back: counted on, told of, and given up only when told."""

from collections.abc import Callable
from dataclasses import replace
from threading import Event, Thread

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


def test_one_that_opens_and_gives_nothing_is_given_up_like_one_that_does_not_open(
    frames: Frames,
) -> None:
    """As a camera that accepts, and is then silent."""
    first = ListedSource(frames([10]), live=True, error=SourceError("cable"))
    mute = [ListedSource([], live=True, error=SourceError(f"silence {n}")) for n in (1, 2)]
    source = ReconnectingSource(first, reopening(*mute), retries=2, first_wait_s=0.001)
    states, items = [], source.frames()
    for _ in range(4):
        states.append(next(items).state)
    with pytest.raises(SourceError, match=r"silence 2 \(given up after 2 attempts"):
        next(items)
    assert states == ["ok", "lost", "reconnecting", "reconnecting"]
    assert [each.closed for each in (first, *mute)] == [1, 1, 1]


class Waits(Event):
    """Nobody sleeps, and all that was asked for is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.asked.append(timeout)
        return False


def test_waits_double_to_ten_seconds_until_it_has_held_for_as_long(frames: Frames) -> None:
    nobody = [SourceError("nobody there")] * 6
    flaps, holds = (
        ListedSource(frames(times), live=True, error=SourceError("cable"))
        for times in ([50_000, 50_040], [60_000, 70_000])
    )
    source = ReconnectingSource(
        ListedSource(frames([10]), live=True, error=SourceError("cable")),
        reopening(*nobody, flaps, holds, SourceError("nobody again")),
        retries=8,
    )
    source._stopping = waits = Waits()
    seen: list[Frame | SourceEvent] = []
    with pytest.raises(SourceError, match="given up by the test"):
        _collect(source, seen, stop_after=18)
    attempts = [item.attempt for item in seen if isinstance(item, SourceEvent)]
    assert waits.asked == [0.5, 1, 2, 4, 8, 10, 10, 10, 0.5, 1]
    assert attempts == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 0, 1, 2]


def test_one_that_opens_after_the_end_is_closed(frames: Frames) -> None:
    """Opening a camera takes seconds, and nothing wakes who does it."""
    late = ListedSource(frames([20]), live=True)

    def reopen() -> Source:
        source.close()
        return late

    source = ReconnectingSource(
        ListedSource(frames([10]), live=True, error=SourceError("cable")),
        reopen,
        first_wait_s=0.001,
    )
    assert [item.state for item in source.frames()] == ["ok", "lost", "reconnecting"]
    assert late.closed == 1

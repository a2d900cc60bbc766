"""Several sources share one engine: each in its turn, and one that breaks leaves the others."""

from collections.abc import Callable
from dataclasses import replace
from threading import Thread
from time import sleep

import pytest

from sam3_edge.errors import SourceError
from sam3_edge.runtime.capture import Pace
from sam3_edge.runtime.captures import Captures
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.source_event import SourceEvent
from tests.runtime.sources_to_test import BlockedSource, ListedSource

PATIENCE_S = 20.0


class Named(ListedSource):
    def __init__(self, name: str, frames: list[Frame], **how: object) -> None:
        super().__init__([replace(frame, source=name) for frame in frames], **how)  # type: ignore[arg-type]
        self.name = name


@pytest.fixture
def frames(make_frame: Callable[..., Frame]) -> Callable[[int], list[Frame]]:
    return lambda count: [make_frame(index) for index in range(count)]


Seen = list[tuple[str, int | str]]


def taken(captures: Captures, seen: Seen | None = None) -> Seen:
    """seen: is added to."""
    seen = [] if seen is None else seen
    while (item := captures.take()) is not None:
        seen.append((item.source, item.state if isinstance(item, SourceEvent) else item.index))
    return seen


def test_all_of_each_in_order_and_none_starves(frames: Callable[[int], list[Frame]]) -> None:
    counts = {"a": 40, "b": 40, "c": 5}
    captures = Captures([Named(name, frames(count)) for name, count in counts.items()], Pace())
    seen = taken(captures)
    captures.close()
    for name, count in counts.items():
        assert [index for source, index in seen if source == name] == list(range(count))
    assert captures.take() is None


def test_turns_are_taken_where_all_have_frames(frames: Callable[[int], list[Frame]]) -> None:
    captures = Captures([Named(name, frames(9)) for name in ("a", "b", "c")], Pace())
    for capture in captures._captures.values():
        capture.start()

    def all_have_one() -> bool:
        return all(capture._items._items for capture in captures._captures.values())

    order = []
    for _ in range(9):
        for _ in range(int(PATIENCE_S / 0.001)):
            if all_have_one():
                break
            sleep(0.001)
        item = captures.take()
        assert item is not None
        order.append(item.source)
    assert order == ["a", "b", "c"] * 3
    captures.close()


def test_one_that_breaks_leaves_the_others_and_is_told_of(
    frames: Callable[[int], list[Frame]],
) -> None:
    broken = Named("broken", frames(2), error=SourceError("cable"))
    captures = Captures([broken, Named("whole", frames(20))], Pace())
    seen: Seen = []
    with pytest.raises(SourceError, match="cable"):
        taken(captures, seen)
    assert [index for source, index in seen if source == "whole"] == list(range(20))
    assert [index for source, index in seen if source == "broken"] == [0, 1, "lost"]
    captures.close()


def test_a_limit_is_of_each(frames: Callable[[int], list[Frame]]) -> None:
    captures = Captures([Named(name, frames(9)) for name in ("a", "b")], Pace(), limit=3)
    assert len(taken(captures)) == 6
    captures.close()


def test_a_stop_frees_who_waits(
    frames: Callable[[int], list[Frame]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sam3_edge.runtime.capture._PATIENCE_S", 0.05)
    source = BlockedSource(frames(0))
    captures = Captures([source], Pace())
    got: list[object] = []
    thread = Thread(target=lambda: got.append(captures.take()), daemon=True)
    thread.start()
    captures.stop()
    thread.join(PATIENCE_S)
    assert got == [None]
    assert source.stopped >= 1
    captures.close()
    source.release.set()


def test_late_and_lost_are_the_sources_own(frames: Callable[[int], list[Frame]]) -> None:
    captures = Captures([Named("a", frames(1), live=True)], Pace(deadline_ms=1e9))
    frame = captures.take()
    assert isinstance(frame, Frame)
    assert not captures.is_late(frame)
    captures.drop(frame)
    assert captures.take() is None
    captures.close()


def test_the_error_of_the_only_source_is_no_event(frames: Callable[[int], list[Frame]]) -> None:
    captures = Captures([Named("a", frames(2), error=SourceError("cable"))], Pace())
    seen: Seen = []
    with pytest.raises(SourceError, match="cable"):
        taken(captures, seen)
    assert seen == [("a", 0), ("a", 1)]
    captures.close()


def test_the_last_to_break_is_the_error_and_not_told_as_if_others_went_on(
    frames: Callable[[int], list[Frame]],
) -> None:
    first = Named("first", frames(1), error=SourceError("cable"))
    second = Named("second", frames(9), error=SourceError("power"))
    captures = Captures([first, second, Named("whole", frames(1))], Pace())
    seen: Seen = []
    with pytest.raises(SourceError, match="power"):
        taken(captures, seen)
    assert [name for name, what in seen if what == "lost"] == ["first"]
    captures.close()


def test_where_the_others_have_ended_nobody_goes_on(frames: Callable[[int], list[Frame]]) -> None:
    """The one that breaks is asked before it is known that the other has come to its end."""
    captures = Captures(
        [Named("broken", frames(1), error=SourceError("cable")), Named("whole", frames(1))], Pace()
    )
    for capture in captures._captures.values():
        capture.start()
        capture._thread.join(PATIENCE_S)  # both have given all they have
    seen: Seen = []
    with pytest.raises(SourceError, match="cable"):
        taken(captures, seen)
    assert seen == [("broken", 0), ("whole", 0)]
    captures.close()

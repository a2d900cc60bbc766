"""Which frames reach the engine: all of a file, the newest of a camera, at the pace asked for."""

from collections.abc import Callable
from dataclasses import replace
from threading import Event, Thread

import pytest

from sam3_edge.errors import SourceError
from sam3_edge.runtime.capture import Capture as WithEvents
from sam3_edge.runtime.capture import Pace
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.source_event import SourceEvent
from tests.runtime.sources_to_test import BlockedSource, ListedSource

PATIENCE_S = 20.0
MS = 1_000_000


@pytest.fixture
def frames(make_frame: Callable[..., Frame]) -> Callable[[int], list[Frame]]:
    return lambda count: [make_frame(index) for index in range(count)]


class Capture(WithEvents):
    """Of sources to which nothing happens."""

    def take(self, *, wait: bool = True) -> Frame | None:
        item = super().take(wait=wait)
        assert not isinstance(item, SourceEvent)
        return item


def taken(capture: Capture) -> list[int]:
    indices = []
    while (frame := capture.take()) is not None:
        indices.append(frame.index)
    return indices


def test_a_file_loses_nothing_and_is_not_read_ahead(
    frames: Callable[[int], list[Frame]],
) -> None:
    source = ListedSource(frames(50))
    capture = Capture(source)
    assert source.asked == 0
    for expected in range(50):
        frame = capture.take()
        assert frame is not None
        assert (frame.index, frame.dropped) == (expected, 0)
        assert source.asked <= expected + 4  # two wait, one is at the door, one was just taken
    assert capture.take() is None
    capture.close()
    capture.close()
    assert source.closed >= 1


def test_of_a_camera_the_newest_is_taken_and_the_lost_are_counted(
    frames: Callable[[int], list[Frame]],
) -> None:
    steps = {3: Event(), 9: Event()}
    reached = {3: Event(), 9: Event()}

    def gate(number: int) -> None:
        if number in steps:
            reached[number].set()
            assert steps[number].wait(PATIENCE_S)

    capture = Capture(ListedSource(frames(10), live=True, gate=gate))
    capture.start()
    assert reached[3].wait(PATIENCE_S)
    first = capture.take()
    assert first is not None
    assert first.index == 2
    steps[3].set()
    assert reached[9].wait(PATIENCE_S)
    second = capture.take()
    assert second is not None
    assert second.index == 8
    assert (first.dropped, second.dropped) == (2, 7)
    steps[9].set()
    assert taken(capture) == [9]
    capture.close()


def test_what_the_source_itself_lost_is_added(frames: Callable[[int], list[Frame]]) -> None:
    listed = [replace(frame, dropped=5) for frame in frames(1)]
    capture = Capture(ListedSource(listed))
    frame = capture.take()
    assert frame is not None
    assert frame.dropped == 5
    capture.close()


@pytest.mark.parametrize(("every", "expected"), [(1, list(range(7))), (3, [0, 3, 6]), (9, [0])])
def test_every_nth(frames: Callable[[int], list[Frame]], every: int, expected: list[int]) -> None:
    capture = Capture(ListedSource(frames(7)), Pace(every=every))
    assert taken(capture) == expected
    capture.close()


def test_a_limit_counts_what_is_taken(frames: Callable[[int], list[Frame]]) -> None:
    capture = Capture(
        ListedSource(frames(9), error=SourceError("never reached")), Pace(every=2), limit=3
    )
    assert taken(capture) == [0, 2, 4]
    capture.close()


def test_a_file_above_the_rate_is_read_slower_and_whole(
    frames: Callable[[int], list[Frame]],
) -> None:
    source = ListedSource(frames(6))
    capture = Capture(source, Pace(max_fps=100))
    started = capture._clock_ns()
    assert taken(capture) == list(range(6))
    assert capture._clock_ns() - started >= 49 * MS
    capture.close()


def test_what_is_late_is_left_out_and_counted(frames: Callable[[int], list[Frame]]) -> None:
    """On a clock that stands still, at 100 ms."""
    taken_up = [Event(), Event()]

    def gate(number: int) -> None:  # one frame at a time, so that none is lost to the next
        assert number == 0 or taken_up[number - 1].wait(PATIENCE_S)

    aged = zip(frames(2), (95, 90), strict=True)
    listed = [replace(frame, captured_ns=ms * MS) for frame, ms in aged]
    capture = Capture(
        ListedSource(listed, live=True, gate=gate),
        Pace(deadline_ms=7),
        clock_ns=lambda: 100 * MS,
    )
    first = capture.take()
    assert first is not None
    assert (first.index, first.dropped, capture.is_late(first)) == (0, 0, False)
    capture.drop(first)  # it was late when it was known
    taken_up[0].set()
    assert capture.take() is None  # frame 1 was 10 ms old
    assert capture._num_late == 2
    capture.close()


def test_a_file_is_never_late(frames: Callable[[int], list[Frame]]) -> None:
    capture = Capture(ListedSource(frames(3)), Pace(deadline_ms=1e-3))
    assert taken(capture) == [0, 1, 2]
    capture.close()


@pytest.mark.parametrize("error", [SourceError("cable"), RuntimeError("driver"), OSError(5)])
def test_an_error_comes_after_the_frames_before_it(
    frames: Callable[[int], list[Frame]], error: Exception
) -> None:
    capture = Capture(ListedSource(frames(2), error=error))
    assert [capture.take() is not None for _ in range(2)] == [True, True]
    with pytest.raises(type(error)) as caught:
        capture.take()
    assert caught.value is error
    capture.close()


def test_a_source_that_hangs_does_not_hang_us(
    frames: Callable[[int], list[Frame]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sam3_edge.runtime.capture._PATIENCE_S", 0.05)
    source = BlockedSource(frames(1))
    capture = Capture(source)
    assert capture.take() is not None
    got: list[Frame | None] = []
    waiting = Thread(target=lambda: got.append(capture.take()), daemon=True)
    waiting.start()
    capture.stop()
    waiting.join(PATIENCE_S)
    assert got == [None]
    capture.close()
    assert source.closed == 0  # its reader is still inside
    source.release.set()


def test_closed_before_it_began(frames: Callable[[int], list[Frame]]) -> None:
    source = ListedSource(frames(1))
    Capture(source).close()
    assert (source.asked, source.closed) == (0, 1)

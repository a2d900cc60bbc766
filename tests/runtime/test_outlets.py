"""One sink fails or hangs: the others get everything, and the cause is said once."""

import time
from collections.abc import Callable
from threading import Event

import pytest

from sam3_edge.errors import SinkError
from sam3_edge.runtime.outlet import Outlet
from sam3_edge.runtime.outlets import Outlets
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.sinks import WindowClosed
from sam3_edge.runtime.source_event import SourceEvent

MakeResult = Callable[..., FrameResult]
PATIENCE_S = 20.0


class ListSink:
    """Fails at the frame `fails_at`, and at its end where `end` is given."""

    draws = False
    written = None

    def __init__(
        self, name: str, *, fails_at: int = -1, here: bool = False, end: Exception | None = None
    ) -> None:
        self.name = name
        self.in_callers_thread = here
        self.indices: list[int] = []
        self.closed = 0
        self._fails_at = fails_at
        self._end = end

    def write(self, result: FrameResult) -> None:
        if 0 <= self._fails_at <= result.frame.index:
            raise SinkError(f"cannot write {self.name}")
        self.indices.append(result.frame.index)

    def tell(self, event: SourceEvent) -> None:
        pass

    def close(self) -> None:
        self.closed += 1
        if self._end is not None:
            raise self._end


class HungSink(ListSink):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.gate = Event()

    def write(self, result: FrameResult) -> None:
        assert self.gate.wait(PATIENCE_S)
        super().write(result)


def never() -> bool:
    return False


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("here", [False, True])
def test_one_that_fails_is_told_once_and_the_others_go_on(
    make_result: MakeResult, live: bool, here: bool
) -> None:
    told: list[str] = []
    broken, good = ListSink("full.mp4", fails_at=3, here=here), ListSink("good.jsonl", here=True)
    outlets = Outlets([broken, good], live=live, warn=told.append)
    count = 0
    while not (failures := [line for line in told if "slower" not in line]) or count < 20:
        outlets.put(make_result(count), never)
        count += 1
    with pytest.raises(SinkError, match=r"an early end of full\.mp4; see the warning above"):
        outlets.close()
    assert good.indices == list(range(count))
    assert failures == ["cannot write full.mp4; the other outputs go on"]
    assert live or told == failures  # of a camera it may be slow before it fails
    assert set(broken.indices) <= {0, 1, 2}
    assert (broken.closed >= 1, good.closed) == (True, 1)


@pytest.mark.parametrize("here", [False, True])
def test_the_last_one_that_fails_ends_the_run(make_result: MakeResult, here: bool) -> None:
    told: list[str] = []
    sinks = [ListSink("a", fails_at=1, here=here), ListSink("b", fails_at=4, here=True)]
    outlets = Outlets(sinks, live=False, warn=told.append)

    def put_more() -> None:
        for index in range(50):
            outlets.put(make_result(index), never)

    with pytest.raises(SinkError, match=r"^cannot write"):
        put_more()
    outlets.close_after_error()
    assert len(told) == 1
    assert all(sink.closed for sink in sinks)


def test_one_that_hangs_does_not_hold_up_the_others(make_result: MakeResult) -> None:
    told: list[str] = []
    hung, good = HungSink("pipe"), ListSink("good.jsonl")
    outlets = Outlets([hung, good], live=False, warn=told.append, stuck_s=0.05)
    for index in range(100):
        outlets.put(make_result(index), never)
    with pytest.raises(SinkError, match="pipe: expected it to take the last results"):
        outlets.close()
    assert good.indices == list(range(100))
    assert good.closed == 1
    assert outlets.num_dropped == 100 - 5
    assert told == [
        "pipe: no result taken for 0.05 s; check whoever reads it; the run goes on without it"
    ]
    hung.gate.set()


def test_one_that_is_awake_again_gets_the_rest_in_order(make_result: MakeResult) -> None:
    hung, good = HungSink("pipe"), ListSink("good.jsonl")
    outlets = Outlets([hung, good], live=False, warn=lambda _: None, stuck_s=0.05)
    for index in range(20):
        outlets.put(make_result(index), never)
    lost = outlets.num_dropped
    assert lost == 15
    hung.gate.set()
    while len(hung.indices) < 5:
        time.sleep(0.01)
    for index in range(20, 60):
        outlets.put(make_result(index), never)
    outlets.close()
    assert hung.indices == [*range(5), *range(20, 60)]
    assert good.indices == list(range(60))


@pytest.mark.parametrize("kind", [SinkError, RuntimeError])
def test_every_error_at_the_end_is_told(make_result: MakeResult, kind: type[Exception]) -> None:
    told: list[str] = []
    sinks = [ListSink(name, end=kind(f"{name} is not whole")) for name in ("a", "b")]
    outlets = Outlets(sinks, live=False, warn=told.append)
    outlets.put(make_result(), never)
    with pytest.raises(kind, match="a is not whole"):
        outlets.close()
    assert told == ["b is not whole"]
    assert all(sink.closed for sink in sinks)


def test_an_impatient_end_leaves_no_other_unfinished(
    make_result: MakeResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C once more, while the first is waited for."""

    def interrupt(_: Outlet) -> None:
        raise KeyboardInterrupt

    sinks = [ListSink("a"), ListSink("b")]
    outlets = Outlets(sinks, live=False, warn=print)
    outlets.put(make_result(), never)
    monkeypatch.setattr(Outlet, "close", interrupt)
    with pytest.raises(KeyboardInterrupt):
        outlets.close()
    until_s = time.monotonic() + PATIENCE_S
    while not all(sink.closed for sink in sinks):
        assert time.monotonic() < until_s
        time.sleep(0.01)
    assert [sink.indices for sink in sinks] == [[0], [0]]


def test_a_closed_window_is_no_failure(make_result: MakeResult) -> None:
    class Window(ListSink):
        def write(self, _: FrameResult) -> None:
            raise WindowClosed

    told: list[str] = []
    outlets = Outlets([Window("window", here=True)], live=True, warn=told.append)
    with pytest.raises(WindowClosed):
        outlets.put(make_result(), never)
    outlets.close()
    assert told == []


def test_without_sinks() -> None:
    outlets = Outlets([], live=True, warn=print)
    outlets.close()
    assert outlets.num_dropped == 0

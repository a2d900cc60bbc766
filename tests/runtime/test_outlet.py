"""A sink may be slow, broken or stuck: its results come in order, and nobody waits for ever."""

from collections.abc import Callable
from threading import Event

import pytest

from sam3_edge.errors import SinkError
from sam3_edge.runtime.outlet import Outlet
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.source_event import SourceEvent

PATIENCE_S = 20.0
MakeResult = Callable[..., FrameResult]


class GatedSink:
    """Writes when the gate is open. entered: that it has begun to write."""

    name = "slow.jsonl"
    draws = False
    in_callers_thread = False
    written = None

    def __init__(self) -> None:
        self.indices: list[int] = []
        self.states: list[str] = []
        self.closed = 0
        self.events: list[SourceEvent] = []
        self.gate, self.entered = Event(), Event()

    def write(self, result: FrameResult) -> None:
        self.entered.set()
        assert self.gate.wait(PATIENCE_S)
        self.indices.append(result.frame.index)
        self.states.append(result.frame.state)

    def tell(self, event: SourceEvent) -> None:
        self.events.append(event)

    def close(self) -> None:
        self.closed += 1


def never() -> bool:
    return False


def test_a_slow_sink_of_a_camera_gets_the_newest(make_result: MakeResult) -> None:
    sink = GatedSink()
    outlet = Outlet(sink, latest_wins=True)
    outlet.put(make_result(0), never)
    assert sink.entered.wait(PATIENCE_S)
    for index in range(1, 30):
        outlet.put(make_result(index), never)
    sink.gate.set()
    outlet.close()
    assert sink.indices == [0, 26, 27, 28, 29]
    assert outlet.num_dropped == 25
    assert sink.closed == 1


def test_what_happened_to_a_source_is_never_dropped(make_result: MakeResult) -> None:
    lost = SourceEvent(
        source=make_result(0).frame.source, state="lost", reason="cable", attempt=0, utc_ns=1
    )
    sink = GatedSink()
    outlet = Outlet(sink, latest_wins=True)
    outlet.put(make_result(0), never)
    assert sink.entered.wait(PATIENCE_S)
    outlet.put(lost, never)
    for index in range(1, 30):
        outlet.put(make_result(index), never)
    sink.gate.set()
    outlet.close()
    assert sink.events == [lost]
    assert sink.states == ["ok", "recovered", "ok", "ok", "ok"]  # the first there was room for


def test_who_draws_nothing_gets_no_picture(make_result: MakeResult) -> None:
    class Watching(GatedSink):
        def write(self, result: FrameResult) -> None:
            self.planes = result.frame.planes

    for draws in (False, True):
        sink = Watching()
        sink.draws = draws
        outlet = Outlet(sink, latest_wins=False)
        outlet.put(make_result(0), never)
        outlet.close()
        assert bool(sink.planes) is draws


def test_a_stuck_sink_is_named_and_not_waited_for(make_result: MakeResult) -> None:
    sink = GatedSink()
    outlet = Outlet(sink, latest_wins=False, stuck_s=0.05)
    stop = Event()
    outlet.put(make_result(0), stop.is_set)
    assert sink.entered.wait(PATIENCE_S)
    stop.set()
    for index in range(1, 7):  # more than there is room for
        outlet.put(make_result(index), stop.is_set)
    with pytest.raises(SinkError, match=r"slow\.jsonl: expected it to take the last results"):
        outlet.close()
    sink.gate.set()


def test_a_file_waits_for_a_slow_sink(make_result: MakeResult) -> None:
    sink = GatedSink()
    outlet = Outlet(sink, latest_wins=False, stuck_s=0.01)
    sink.gate.set()
    for index in range(40):
        outlet.put(make_result(index), never)
    outlet.close()
    assert sink.indices == list(range(40))
    assert outlet.num_dropped == 0


@pytest.mark.parametrize("error", [SinkError("disk full"), RuntimeError("a bug")])
def test_an_error_is_raised_once_and_the_sink_closed(
    make_result: MakeResult, error: Exception
) -> None:
    class Broken(GatedSink):
        def write(self, result: FrameResult) -> None:
            self.indices.append(result.frame.index)
            raise error

    sink = Broken()
    outlet = Outlet(sink, latest_wins=False)

    def put_more_than_fits() -> None:
        for index in range(40):
            outlet.put(make_result(index), never)

    with pytest.raises(type(error)) as caught:
        put_more_than_fits()
    assert caught.value is error
    outlet.close()
    assert (sink.indices, sink.closed) == ([0], 1)


def test_nothing_to_write_still_closes() -> None:
    sink = GatedSink()
    Outlet(sink, latest_wins=False).close()
    assert sink.closed == 1


def test_one_that_hangs_at_its_end_is_named(make_result: MakeResult) -> None:
    class HangsAtTheEnd(GatedSink):
        def close(self) -> None:
            assert self.gate.wait(PATIENCE_S)

    class Writing(HangsAtTheEnd):
        def write(self, result: FrameResult) -> None:
            self.indices.append(result.frame.index)

    sink = Writing()
    outlet = Outlet(sink, latest_wins=True, stuck_s=0.05)
    outlet.put(make_result(0), never)
    with pytest.raises(SinkError, match=r"slow\.jsonl: expected it to take the last results"):
        outlet.close()
    assert sink.indices == [0]
    sink.gate.set()


def test_one_that_is_slow_is_told_once(make_result: MakeResult) -> None:
    told: list[str] = []
    sink = GatedSink()
    outlet = Outlet(sink, latest_wins=True, warn=told.append)
    for index in range(300):
        outlet.put(make_result(index), never)
        assert len(told) == (outlet.num_dropped >= 50)
    sink.gate.set()
    outlet.close()
    assert told == ["slow.jsonl: slower than the source; what it has no time for is left out"]


def test_one_that_is_stuck_is_told_once_and_waited_for_when_alone(make_result: MakeResult) -> None:
    told: list[str] = []
    sink = GatedSink()

    def warn(message: str) -> None:
        told.append(message)
        sink.gate.set()

    outlet = Outlet(sink, latest_wins=False, warn=warn, stuck_s=0.05)
    for index in range(20):
        outlet.put(make_result(index), never)
    outlet.close()
    assert sink.indices == list(range(20))
    assert told == [
        "slow.jsonl: no result taken for 0.05 s; check whoever reads it; waiting for it"
    ]

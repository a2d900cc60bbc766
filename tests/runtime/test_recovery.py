"""Whatever was left out in between: the first result after a loss says that its source is back."""

from collections.abc import Callable

from sam3_edge.runtime.recovery import Recovery
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.source_event import SourceEvent


def event(source: str) -> SourceEvent:
    return SourceEvent(source=source, state="lost", reason="cable", attempt=0, utc_ns=1)


def test_the_first_of_the_source_that_was_lost_is_marked(
    make_result: Callable[..., FrameResult],
) -> None:
    recovery = Recovery()
    results = [make_result(index) for index in range(3)]
    lost = event(results[0].frame.source)
    given: list[FrameResult | SourceEvent] = [
        results[0],
        lost,
        lost,
        event("another"),
        results[1],
        results[2],
        lost,
        results[0],
    ]
    marked = [recovery.mark(item) for item in given]
    states = [item.frame.state for item in marked if isinstance(item, FrameResult)]
    assert states == ["ok", "recovered", "ok", "recovered"]
    assert [item for item in marked if isinstance(item, SourceEvent)] == [
        lost, lost, event("another"), lost,
    ]  # fmt: skip

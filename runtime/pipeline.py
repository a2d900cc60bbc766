"""frame -> preprocess -> vision -> decoder -> postprocess -> sinks, each step beside the others.

    source ── capture thread ──► inference thread ──► caller's thread ──► one thread for each sink

While a picture is in the engine the next one is taken, and that of a file prepared in the other
slot; the one before is with the sinks. Every hand-over is bounded. A file's wait for each other and
lose nothing. Of a live source the newest frame wins: it is taken when the engine is free for it, so
that it does not grow old in a queue.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from threading import Thread

from sam3_edge.engines.backend import Backend
from sam3_edge.errors import SourceError
from sam3_edge.runtime.capture import Capture
from sam3_edge.runtime.captures import Captures
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.handover import Handover
from sam3_edge.runtime.one_frame import InFlight, Request, finish, submit
from sam3_edge.runtime.outlets import Outlets
from sam3_edge.runtime.recovery import Recovery
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.self_check import SelfCheck
from sam3_edge.runtime.sinks import Sink, WindowClosed
from sam3_edge.runtime.source_event import SourceEvent

_LOOK_UP_S = 0.2  # how often a thread that waits asks whether it should go on


def never() -> bool:
    return False


def detect(
    capture: Capture | Captures,
    backend: Backend,
    request: Request | Callable[[], Request],
    self_check: SelfCheck | None = None,
    should_stop: Callable[[], bool] = never,
) -> Generator[FrameResult | SourceEvent, None, None]:
    """The results of the captured frames, and what happened to the sources, in order. Closing it
    ends its thread.

    request: a callable is asked for every frame, so that the prompts may change.
    self_check: runs between frames when it is due. should_stop: asked a few times a second; then
    what is in the engine is completed and nothing more is taken.
    Raises EngineError, and what the source raised, after the results of the frames before.
    """
    results: Handover[FrameResult | SourceEvent] = Handover(1, latest_wins=False)
    current = request if callable(request) else lambda: request

    def infer() -> None:
        try:
            recovery = Recovery()
            for result in _inferred(capture, backend, current, self_check):
                if not results.put(recovery.mark(result)):
                    break
        except BaseException as error:  # nobody sees what a thread raises: the caller raises it
            results.end(error)
        else:
            results.end()

    thread = Thread(target=infer, name="sam3-edge inference", daemon=True)
    thread.start()
    try:
        while not results.is_over:
            if should_stop():
                capture.stop()
            if (result := results.get(_LOOK_UP_S)) is not None:
                yield result
        results.get()  # an error that came after the last result
    finally:
        capture.stop()
        results.stop()
        thread.join()


def deliver(
    results: Iterable[FrameResult | SourceEvent],
    sinks: Sequence[Sink],
    on_result: Callable[[FrameResult], None],
    *,
    on_event: Callable[[SourceEvent], None] = lambda _: None,
    on_end: Callable[[int], None] = lambda _: None,
    warn: Callable[[str], None] = lambda _: None,
    live: bool = False,
    should_stop: Callable[[], bool] = never,
) -> None:
    """Give every result to every sink and to `on_result`, every event to every sink and `on_event`;
    those two run here. Close the sinks whatever happens.

    on_end: told, when the results have ended well and the sinks are closed, how many results slow
    sinks have lost. warn: told of a sink that fails while others go on.

    Ctrl-C and a closed window end it as the last frame does. Raises SinkError where a sink failed,
    after the last frame if another went on, and what `results` raises.
    """
    outlets = Outlets(sinks, live=live, warn=warn)
    try:
        for result in results:
            outlets.put(result, should_stop)
            if isinstance(result, SourceEvent):
                on_event(result)
            else:
                on_result(result)
    except (KeyboardInterrupt, WindowClosed):
        pass
    except BaseException:
        outlets.close_after_error()
        raise
    try:
        outlets.close()
    finally:
        on_end(outlets.num_dropped)


def _inferred(
    capture: Capture | Captures,
    backend: Backend,
    current: Callable[[], Request],
    self_check: SelfCheck | None,
) -> Iterator[FrameResult | SourceEvent]:
    """All on one thread: some engines answer only the one that called them first."""
    in_flight: InFlight | None = None
    slot = 0
    try:
        while (item := _next_item(capture, in_flight)) is not None or in_flight is not None:
            if isinstance(item, SourceEvent):
                yield from _finished(in_flight, capture)
                in_flight = None
                yield item
                continue
            if item is not None and self_check is not None and self_check.is_due():
                yield from _finished(in_flight, capture)
                in_flight = None
                self_check.run(backend)
            submitted = None if item is None else submit(item, backend, slot, current())
            slot = (slot + 1) % backend.num_slots
            yield from _finished(in_flight, capture)
            in_flight = submitted
    except SourceError:
        yield from _finished(in_flight, capture)
        raise


def _next_item(
    capture: Capture | Captures, in_flight: InFlight | None
) -> Frame | SourceEvent | None:
    """None: nothing to prepare now; with nothing in flight, nothing at all."""
    if in_flight is None:
        return capture.take()
    if not capture.is_live and (item := capture.take(wait=False)) is not None:
        return item
    in_flight.pending.result()
    return capture.take(wait=False)


def _finished(in_flight: InFlight | None, capture: Capture | Captures) -> Iterator[FrameResult]:
    """One result; none where nothing was in flight, or it came too late."""
    if in_flight is None:
        return
    result = finish(in_flight)
    if capture.is_late(result.frame):
        capture.drop(result.frame)
        return
    yield result

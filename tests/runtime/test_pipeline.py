"""Order, slots, what runs beside what, and who is closed when something breaks."""

import dataclasses
from collections.abc import Callable, Generator
from contextlib import closing
from threading import Event, Thread, get_ident
from threading import enumerate as enumerate_threads
from time import sleep
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sam3_edge.engines.backend import PromptBatch, RawOutput
from sam3_edge.engines.recorded_backend import RecordedBackend
from sam3_edge.errors import EngineError, SinkError, SourceError
from sam3_edge.runtime.capture import Capture, Pace
from sam3_edge.runtime.decoder import prompt_batch
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.one_frame import Request
from sam3_edge.runtime.pipeline import deliver
from sam3_edge.runtime.pipeline import detect as detect_and_tell
from sam3_edge.runtime.preprocess import preprocess
from sam3_edge.runtime.prompts import Prompt
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.sinks import WindowClosed
from sam3_edge.runtime.source_event import SourceEvent
from sam3_edge.runtime.text_cache import TextCache
from sam3_edge.runtime.tokenizer import Tokenizer
from tests.runtime.sources_to_test import BlockedSource, ListedSource

Frames = Callable[..., Capture]
PATIENCE_S = 20.0


def detect(*arguments: Any) -> Generator[FrameResult, None, None]:
    """Of sources to which nothing happens."""
    with closing(detect_and_tell(*arguments)) as results:
        for result in results:
            assert isinstance(result, FrameResult)
            yield result


def raw_output(number: int) -> RawOutput:
    """Two prompts. Query `number` of the first is the only one found."""
    logits = np.full((2, 9), -9, np.float32)
    logits[0, number] = 5
    return RawOutput(
        logits=logits,
        presence=np.full((2, 1), 9, np.float32),
        boxes=np.full((2, 9, 4), 0.5, np.float32),
        masks=np.ones((2, 9, 8, 8), np.float32),
        vision_ms=number,
        decoder_ms=1,
    )


@pytest.fixture
def request_of_two(tmp_path: Any) -> Request:
    prompts = (Prompt(text="fish", threshold=0.5), Prompt(text="crab", threshold=0.5))
    cache = TextCache(tmp_path, graph_sha256="0", shape=(32, 4), warn=pytest.fail)
    backend = RecordedBackend([], image_size=28, d_model=4)
    batch = prompt_batch(
        prompts, backend=backend, tokenizer=Tokenizer(), text_cache=cache, num_exemplars=3
    )
    return Request(prompts=prompts, batch=batch)


@pytest.fixture
def frames(make_frame: Callable[..., Frame]) -> Frames:
    """frames(3): a capture of three; the other arguments are ListedSource's."""

    def make(count: int, error: Exception | None = None, **how: Any) -> Capture:
        listed = [make_frame(index) for index in range(count)]
        return Capture(ListedSource(listed, error=error, **how))

    return make


def test_results_in_order_and_each_picture_in_its_slot(
    frames: Frames, request_of_two: Request
) -> None:
    backend = RecordedBackend([raw_output(i) for i in range(5)], image_size=28, d_model=4)
    results = list(detect(frames(5), backend, request_of_two))
    assert [result.frame.index for result in results] == [0, 1, 2, 3, 4]
    assert [result.timing.vision_ms for result in results] == [0, 1, 2, 3, 4]
    for result, (image, batch) in zip(results, backend.submitted, strict=True):
        expected = np.empty((28, 28, 3), np.uint8)
        preprocess(result.frame.bgr(), expected)
        np.testing.assert_array_equal(image, expected)
        assert batch is request_of_two.batch  # both prompts, one pass
    assert results[0].prompts == ("fish", "crab")
    assert all(len(result.detections) == 1 for result in results)
    assert all(result.age_ms > 0 for result in results)


class Engine(RecordedBackend):
    """Finishes a picture when it is told to. events: what was asked of it, in order."""

    def __init__(self, count: int) -> None:
        super().__init__([raw_output(i) for i in range(count)], image_size=28, d_model=4)
        self.events: list[str] = []
        self.done = [Event() for _ in range(count)]

    def submit(self, slot: int, prompts: PromptBatch) -> Any:
        number = len(self.submitted)
        pending = super().submit(slot, prompts)
        self.events.append(f"submit {number}")

        def result() -> RawOutput:
            assert self.done[number].wait(PATIENCE_S)
            self.events.append(f"result {number}")
            return pending.result()

        return SimpleNamespace(result=result)


def until(condition: Callable[[], bool]) -> None:
    for _ in range(int(PATIENCE_S / 0.005)):
        if condition():
            return
        sleep(0.005)
    raise AssertionError("expected it to happen, it did not")


def test_the_next_of_a_file_is_prepared_while_one_is_in_the_engine(
    frames: Frames, request_of_two: Request
) -> None:
    engine = Engine(3)
    seen: list[FrameResult] = []
    thread = Thread(
        target=lambda: seen.extend(detect(frames(3), engine, request_of_two)), daemon=True
    )
    thread.start()
    until(lambda: engine.events == ["submit 0", "submit 1"])  # with nothing done yet
    for event in engine.done:
        event.set()
    thread.join(PATIENCE_S)
    assert [result.frame.index for result in seen] == [0, 1, 2]


def test_of_a_camera_the_newest_is_taken_when_the_engine_is_free(
    make_frame: Callable[..., Frame], request_of_two: Request
) -> None:
    more, over = Event(), Event()

    def gate(number: int) -> None:
        if number == 1:
            assert more.wait(PATIENCE_S)

    class Watched(ListedSource):
        def frames(self) -> Any:
            yield from super().frames()
            over.set()
            assert engine.done[1].wait(PATIENCE_S)

    engine = Engine(2)
    source = Watched([make_frame(index) for index in range(6)], live=True, gate=gate)
    seen: list[FrameResult] = []
    capture = Capture(source)
    thread = Thread(
        target=lambda: seen.extend(detect(capture, engine, request_of_two)), daemon=True
    )
    thread.start()
    until(lambda: engine.events == ["submit 0"])
    more.set()
    assert over.wait(PATIENCE_S)  # five more have come by
    engine.done[0].set()
    until(lambda: "submit 1" in engine.events)
    engine.done[1].set()
    thread.join(PATIENCE_S)
    assert [(result.frame.index, result.frame.dropped) for result in seen] == [(0, 0), (5, 4)]


def test_a_camera_that_pauses_holds_no_result_back(
    make_frame: Callable[..., Frame], request_of_two: Request
) -> None:
    source = BlockedSource([make_frame(0)])
    backend = RecordedBackend([raw_output(0)], image_size=28, d_model=4)
    capture = Capture(source)
    results = detect(capture, backend, request_of_two)
    assert next(results).frame.index == 0
    results.close()
    source.release.set()
    capture.close()


def test_a_result_that_comes_too_late_is_dropped(
    make_frame: Callable[..., Frame], request_of_two: Request
) -> None:
    now_ns = [0]

    class Slow(RecordedBackend):
        """Takes 30 ms for the first picture, on the test's clock."""

        def submit(self, slot: int, prompts: PromptBatch) -> Any:
            pending, first = super().submit(slot, prompts), not self.submitted[1:]

            def result() -> RawOutput:
                now_ns[0] = 30_000_000 if first else now_ns[0]
                return pending.result()

            return SimpleNamespace(result=result)

    listed = [
        dataclasses.replace(make_frame(i), captured_ns=at) for i, at in enumerate((0, 29_000_000))
    ]
    backend = Slow([raw_output(i) for i in range(2)], image_size=28, d_model=4)
    source = ListedSource(listed, live=True, gate=lambda n: until(lambda: n == 0 or now_ns[0] > 0))
    capture = Capture(source, Pace(deadline_ms=20), clock_ns=lambda: now_ns[0])
    (result,) = detect(capture, backend, request_of_two)
    assert (result.frame.index, result.frame.dropped) == (1, 1)


def test_the_picture_in_the_engine_is_left_alone(frames: Frames, request_of_two: Request) -> None:
    """An engine may read its slot until `result`: the next picture goes elsewhere."""

    class Reading(RecordedBackend):
        def submit(self, slot: int, prompts: PromptBatch) -> Any:
            pending, before = super().submit(slot, prompts), self.image_slot(slot).copy()

            def result() -> RawOutput:
                np.testing.assert_array_equal(self.image_slot(slot), before)
                return pending.result()

            return SimpleNamespace(result=result)

    backend = Reading([raw_output(i) for i in range(5)], image_size=28, d_model=4)
    assert len(list(detect(frames(5), backend, request_of_two))) == 5


@pytest.mark.parametrize("count", [0, 1])
def test_few_frames(frames: Frames, request_of_two: Request, count: int) -> None:
    backend = RecordedBackend([raw_output(0)], image_size=28, d_model=4)
    assert len(list(detect(frames(count), backend, request_of_two))) == count


def test_a_broken_source_loses_no_result(frames: Frames, request_of_two: Request) -> None:
    backend = RecordedBackend([raw_output(i) for i in range(3)], image_size=28, d_model=4)
    results = detect(frames(3, SourceError("unplugged")), backend, request_of_two)
    assert [next(results).frame.index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(SourceError, match="unplugged"):
        next(results)


def test_a_picture_that_cannot_be_resized_loses_no_result(
    make_frame: Callable[..., Frame], request_of_two: Request
) -> None:
    listed = [make_frame(0), make_frame(1), make_frame(2, size=(1, 40_000)), make_frame(3)]
    backend = RecordedBackend([raw_output(i) for i in range(3)], image_size=28, d_model=4)
    seen: list[FrameResult] = []
    with pytest.raises(SourceError, match=r"test: frame 2 cannot be looked at: .* got 40000 to 28"):
        seen.extend(detect(Capture(ListedSource(listed)), backend, request_of_two))
    assert [result.frame.index for result in seen] == [0, 1]


def test_an_engine_error_comes_through(frames: Frames, request_of_two: Request) -> None:
    outcomes: list[RawOutput | EngineError] = [raw_output(0), EngineError("out of memory")]
    backend = RecordedBackend(outcomes, image_size=28, d_model=4)
    results = detect(frames(2), backend, request_of_two)
    assert next(results).frame.index == 0
    with pytest.raises(EngineError, match="out of memory"):
        next(results)


def test_the_self_check_runs_with_nothing_in_flight(
    frames: Frames, request_of_two: Request
) -> None:
    engine = Engine(4)
    for event in engine.done:
        event.set()
    due = iter([False, False, True, False])
    at_check: list[set[str]] = []
    check: Any = SimpleNamespace(
        is_due=lambda: next(due), run=lambda _backend: at_check.append(set(engine.events))
    )
    assert len(list(detect(frames(4), engine, request_of_two, check))) == 4
    assert at_check == [{"submit 0", "submit 1", "result 0", "result 1"}]


def test_closing_the_results_ends_the_threads(frames: Frames, request_of_two: Request) -> None:
    backend = RecordedBackend([raw_output(i % 9) for i in range(500)], image_size=28, d_model=4)
    capture = frames(500)
    results = detect(capture, backend, request_of_two)
    next(results)
    results.close()
    capture.close()
    assert not [thread for thread in enumerate_threads() if thread.name.startswith("sam3-edge")]


def test_a_stop_completes_what_is_in_the_engine(frames: Frames, request_of_two: Request) -> None:
    engine = Engine(9)
    for event in engine.done:
        event.set()
    stop = Event()
    indices = []
    for result in detect(frames(9), engine, request_of_two, None, stop.is_set):
        indices.append(result.frame.index)
        stop.set()
    assert indices == list(range(len(engine.submitted)))
    assert len(indices) < 9


def test_a_stop_reaches_a_camera_that_hangs(
    make_frame: Callable[..., Frame], request_of_two: Request
) -> None:
    source = BlockedSource([make_frame(0)])
    backend = RecordedBackend([raw_output(0)], image_size=28, d_model=4)
    stop = Event()
    seen = []
    for result in detect(Capture(source), backend, request_of_two, None, stop.is_set):
        seen.append(result)
        stop.set()
    assert len(seen) == 1
    source.release.set()


class Sink:
    """fail_at: the frame whose writing fails; -2: the closing does."""

    name = "the sink"
    draws = False
    written = None

    def __init__(
        self, fail_at: int = -1, error: BaseException | None = None, *, here: bool = False
    ) -> None:
        self.indices: list[int] = []
        self.closed = 0
        self.in_callers_thread = here
        self.threads: set[int] = set()
        self.events: list[SourceEvent] = []
        self._fail_at, self._error = fail_at, error

    def write(self, result: FrameResult) -> None:
        self.threads.add(get_ident())
        if result.frame.index == self._fail_at and self._error is not None:
            raise self._error
        self.indices.append(result.frame.index)

    def tell(self, event: SourceEvent) -> None:
        self.events.append(event)

    def close(self) -> None:
        self.closed += 1
        if self._fail_at == -2 and self._error is not None:
            raise self._error


@pytest.fixture
def results(make_result: Callable[..., FrameResult]) -> list[FrameResult]:
    return [make_result(index) for index in range(4)]


def test_every_result_goes_to_every_sink(results: list[FrameResult]) -> None:
    sinks, seen = [Sink(), Sink()], list[FrameResult]()
    deliver(results, sinks, seen.append)
    assert [sink.indices for sink in sinks] == [[0, 1, 2, 3]] * 2
    assert [sink.closed for sink in sinks] == [1, 1]
    assert seen == results


def test_sinks_have_threads_of_their_own_but_for_windows(results: list[FrameResult]) -> None:
    window, files = Sink(here=True), [Sink(), Sink()]
    deliver(results, [window, *files], lambda _: None)
    assert window.threads == {get_ident()}
    assert all(get_ident() not in sink.threads for sink in files)
    assert window.indices == [0, 1, 2, 3]


def test_what_happened_to_a_source_comes_between_its_results(
    make_frame: Callable[..., Frame], request_of_two: Request
) -> None:
    lost = SourceEvent(source="test", state="lost", reason="cable", attempt=0, utc_ns=1)

    class Breaking(ListedSource):
        def frames(self) -> Any:
            yield make_frame(0)
            yield make_frame(1)
            yield lost
            yield make_frame(2)

    backend = RecordedBackend([raw_output(i) for i in range(3)], image_size=28, d_model=4)
    order: list[int | str] = []
    sinks = [Sink(), Sink(here=True)]
    deliver(
        detect_and_tell(Capture(Breaking([])), backend, request_of_two),
        sinks,
        lambda result: order.extend((result.frame.index, result.frame.state)),
        on_event=lambda event: order.append(event.state),
    )
    assert order == [0, "ok", 1, "ok", "lost", 2, "recovered"]
    assert [sink.events for sink in sinks] == [[lost], [lost]]
    assert [sink.indices for sink in sinks] == [[0, 1, 2]] * 2


@pytest.mark.parametrize("error", [KeyboardInterrupt(), WindowClosed()])
def test_a_wanted_end_is_no_error(results: list[FrameResult], error: BaseException) -> None:
    sinks, seen = [Sink(), Sink(2, error, here=True)], list[FrameResult]()
    deliver(results, sinks, seen.append)
    assert [sink.closed for sink in sinks] == [1, 1]
    assert len(seen) == 2
    assert sinks[0].indices == [0, 1, 2]  # what was given before is written


def test_a_full_disk_closes_all_and_the_first_error_is_told(results: list[FrameResult]) -> None:
    sinks = [Sink(2, SinkError("disk full")), Sink(-2, SinkError("not whole")), Sink()]
    with pytest.raises(SinkError, match="disk full"):
        deliver(results, sinks, lambda _: None)
    assert [sink.closed for sink in sinks] == [1, 1, 1]


def test_an_error_while_closing_is_told_after_all_are_closed(results: list[FrameResult]) -> None:
    sinks = [Sink(-2, SinkError("not whole")), Sink()]
    with pytest.raises(SinkError, match="not whole"):
        deliver(results, sinks, lambda _: None)
    assert [sink.closed for sink in sinks] == [1, 1]


def test_a_broken_source_closes_the_sinks(frames: Frames, request_of_two: Request) -> None:
    backend = RecordedBackend([raw_output(i) for i in range(3)], image_size=28, d_model=4)
    sink = Sink()
    with pytest.raises(SourceError):
        deliver(
            detect(frames(3, SourceError("cut off")), backend, request_of_two),
            [sink],
            lambda _: None,
        )
    assert (sink.indices, sink.closed) == ([0, 1, 2], 1)


def test_prompt_texts_reach_the_decoder_as_one_batch(request_of_two: Request) -> None:
    assert len(request_of_two.batch) == 2
    again = dataclasses.replace(request_of_two, crop_masks=False)
    assert again.texts == ("fish", "crab")

"""Order, slots, and who is closed when something breaks."""

import dataclasses
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sam3_edge.engines.backend import PromptBatch, RawOutput
from sam3_edge.engines.recorded_backend import RecordedBackend
from sam3_edge.errors import EngineError, SinkError, SourceError
from sam3_edge.runtime.decoder import prompt_batch
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.pipeline import Request, deliver, detect
from sam3_edge.runtime.preprocess import preprocess
from sam3_edge.runtime.prompts import Prompt
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.sinks import WindowClosed
from sam3_edge.runtime.text_cache import TextCache
from sam3_edge.runtime.tokenizer import Tokenizer

Frames = Callable[..., Iterator[Frame]]


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
    def make(count: int, error: Exception | None = None) -> Iterator[Frame]:
        for index in range(count):
            yield make_frame(index)
        if error is not None:
            raise error

    return make


def test_results_in_order_and_each_picture_in_its_slot(
    frames: Frames, request_of_two: Request
) -> None:
    backend = RecordedBackend([raw_output(i) for i in range(5)], image_size=28, d_model=4)
    results = list(detect(frames(5), backend, request_of_two))
    assert [result.frame.index for result in results] == [0, 1, 2, 3, 4]
    assert [result.timing.vision_ms for result in results] == [0, 1, 2, 3, 4]
    for frame, (image, batch) in zip(frames(5), backend.submitted, strict=True):
        expected = np.empty((28, 28, 3), np.uint8)
        preprocess(frame.image, expected)
        np.testing.assert_array_equal(image, expected)
        assert batch is request_of_two.batch  # both prompts, one pass
    assert results[0].prompts == ("fish", "crab")
    assert all(len(result.detections) == 1 for result in results)
    assert all(result.age_ms > 0 for result in results)


def test_a_frame_is_finished_when_the_next_is_on_its_way(
    frames: Frames, request_of_two: Request
) -> None:
    backend = RecordedBackend([raw_output(i) for i in range(3)], image_size=28, d_model=4)
    submitted = [len(backend.submitted) for _ in detect(frames(3), backend, request_of_two)]
    assert submitted == [2, 3, 3]


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


def test_an_engine_error_comes_through(frames: Frames, request_of_two: Request) -> None:
    outcomes: list[RawOutput | EngineError] = [raw_output(0), EngineError("out of memory")]
    backend = RecordedBackend(outcomes, image_size=28, d_model=4)
    results = detect(frames(2), backend, request_of_two)
    next(results)
    with pytest.raises(EngineError, match="out of memory"):
        next(results)


def test_the_self_check_runs_with_nothing_in_flight(
    frames: Frames, request_of_two: Request
) -> None:
    events: list[str] = []

    class Watched(RecordedBackend):
        def submit(self, slot: int, prompts: Any) -> Any:
            events.append("submit")
            pending = super().submit(slot, prompts)

            def result() -> RawOutput:
                events.append("result")
                return pending.result()

            return SimpleNamespace(result=result)

    due = iter([False, False, True, False])
    check: Any = SimpleNamespace(
        is_due=lambda: next(due), run=lambda _backend: events.append("check")
    )
    backend = Watched([raw_output(i) for i in range(4)], image_size=28, d_model=4)
    assert len(list(detect(frames(4), backend, request_of_two, check))) == 4
    pairs = ["submit", "submit", "result", "result"]
    assert events == [*pairs, "check", *pairs]


class Sink:
    written = None

    def __init__(self, fail_at: int = -1, error: BaseException | None = None) -> None:
        self.indices: list[int] = []
        self.closed = 0
        self._fail_at, self._error = fail_at, error

    def write(self, result: FrameResult) -> None:
        if result.frame.index == self._fail_at and self._error is not None:
            raise self._error
        self.indices.append(result.frame.index)

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


@pytest.mark.parametrize("error", [KeyboardInterrupt(), WindowClosed()])
def test_a_wanted_end_is_no_error(results: list[FrameResult], error: BaseException) -> None:
    sinks, seen = [Sink(), Sink(2, error)], list[FrameResult]()
    deliver(results, sinks, seen.append)
    assert [sink.closed for sink in sinks] == [1, 1]
    assert len(seen) == 2


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

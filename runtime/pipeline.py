"""frame -> preprocess -> vision -> decoder -> postprocess -> sinks.

One thread and the engine's own: a picture is prepared in one slot while the engine works on the
other, and the frame before is finished as soon as the next one is on its way.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic_ns, perf_counter

import numpy as np
from numpy.typing import NDArray

from sam3_edge.engines.backend import Backend, Pending, PromptBatch
from sam3_edge.errors import Sam3EdgeError, SourceError
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.postprocess import postprocess
from sam3_edge.runtime.preprocess import preprocess
from sam3_edge.runtime.prompts import Prompt
from sam3_edge.runtime.results import FrameResult, Timing
from sam3_edge.runtime.self_check import SelfCheck
from sam3_edge.runtime.sinks import Sink, WindowClosed


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of every frame.

    prompts: P. batch: the same P, as the decoder takes them. crop_masks: only inside the box.
    """

    prompts: tuple[Prompt, ...]
    batch: PromptBatch
    crop_masks: bool = True

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(prompt.text for prompt in self.prompts)

    @property
    def thresholds(self) -> NDArray[np.float32]:
        return np.array([prompt.threshold for prompt in self.prompts], dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class _InFlight:
    frame: Frame
    pending: Pending
    preprocess_ms: float


def detect(
    frames: Iterable[Frame],
    backend: Backend,
    request: Request,
    self_check: SelfCheck | None = None,
) -> Iterator[FrameResult]:
    """The results of `frames`, in order, each when the next frame is with the engine.

    self_check: runs between frames when it is due.
    Raises EngineError; SourceError from `frames`, after the result of the frame before it.
    """
    in_flight: _InFlight | None = None
    slot = 0
    try:
        for frame in frames:
            if self_check is not None and self_check.is_due():
                if in_flight is not None:
                    yield _finish(in_flight, request)
                    in_flight = None
                self_check.run(backend)
            submitted = _submit(frame, backend, slot, request)
            slot = (slot + 1) % backend.num_slots
            if in_flight is not None:
                yield _finish(in_flight, request)
            in_flight = submitted
    except SourceError:
        if in_flight is not None:
            yield _finish(in_flight, request)
        raise
    if in_flight is not None:
        yield _finish(in_flight, request)


def deliver(
    results: Iterable[FrameResult],
    sinks: Sequence[Sink],
    on_result: Callable[[FrameResult], None],
) -> None:
    """Give every result to every sink, then to `on_result`; close the sinks whatever happens.

    Ctrl-C and a closed window end it as the last frame does. Raises SinkError, and what `results`
    raises; of several errors the first.
    """
    try:
        for result in results:
            for sink in sinks:
                sink.write(result)
            on_result(result)
    except (KeyboardInterrupt, WindowClosed):
        pass
    except BaseException:
        _close(sinks)  # the first error is the one to tell
        raise
    errors = _close(sinks)
    if errors:
        raise errors[0]


def _submit(frame: Frame, backend: Backend, slot: int, request: Request) -> _InFlight:
    started = perf_counter()
    preprocess(frame.image, backend.image_slot(slot))
    preprocess_ms = (perf_counter() - started) * 1e3
    pending = backend.submit(slot, request.batch)
    return _InFlight(frame=frame, pending=pending, preprocess_ms=preprocess_ms)


def _finish(in_flight: _InFlight, request: Request) -> FrameResult:
    frame = in_flight.frame
    output = in_flight.pending.result()
    started = perf_counter()
    height, width = frame.image.shape[:2]
    detections = postprocess(
        output, request.thresholds, (height, width), crop_masks=request.crop_masks
    )
    timing = Timing(
        preprocess_ms=in_flight.preprocess_ms,
        vision_ms=output.vision_ms,
        decoder_ms=output.decoder_ms,
        postprocess_ms=(perf_counter() - started) * 1e3,
    )
    return FrameResult(
        frame=frame,
        prompts=request.texts,
        detections=detections,
        timing=timing,
        age_ms=(monotonic_ns() - frame.captured_ns) / 1e6,
    )


def _close(sinks: Sequence[Sink]) -> list[Sam3EdgeError]:
    errors = []
    for sink in sinks:
        try:
            sink.close()
        except Sam3EdgeError as error:
            errors.append(error)
    return errors

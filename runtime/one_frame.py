"""One frame's way through the engine: preprocess -> vision and decoder -> postprocess."""

from dataclasses import dataclass
from time import monotonic_ns, perf_counter

import numpy as np
from numpy.typing import NDArray

from sam3_edge.engines.backend import Backend, Pending, PromptBatch, RawOutput
from sam3_edge.errors import SourceError
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.postprocess import Suppression, postprocess
from sam3_edge.runtime.preprocess import preprocess_planes
from sam3_edge.runtime.prompts import Prompt
from sam3_edge.runtime.results import FrameResult, Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of every frame.

    prompts: P. batch: the same P, as the decoder takes them. The others: as `postprocess` has them.
    """

    prompts: tuple[Prompt, ...]
    batch: PromptBatch
    crop_masks: bool = True
    mask_bits: bool = False
    suppression: Suppression | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(prompt.text for prompt in self.prompts)

    @property
    def thresholds(self) -> NDArray[np.float32]:
        return np.array([prompt.threshold for prompt in self.prompts], dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """A frame the engine has. preprocess_ms: what preparing it took."""

    frame: Frame
    request: Request
    pending: Pending
    preprocess_ms: float


def submit(frame: Frame, backend: Backend, slot: int, request: Request) -> InFlight:
    """slot: a free one of the backend's. Raises EngineError; SourceError for a picture that cannot
    be resized."""
    started = perf_counter()
    try:
        preprocess_planes(frame.planes, frame.format, frame.size, backend.image_slot(slot))
    except ValueError as error:
        raise SourceError(
            f"{frame.source}: frame {frame.index} cannot be looked at: {error}; give another picture"
        ) from error
    preprocess_ms = (perf_counter() - started) * 1e3
    pending = backend.submit(slot, request.batch)
    return InFlight(frame=frame, request=request, pending=pending, preprocess_ms=preprocess_ms)


def finish(in_flight: InFlight) -> FrameResult:
    """Waits for the engine. Raises EngineError."""
    output = in_flight.pending.result()
    return result_of(output, in_flight.frame, in_flight.request, in_flight.preprocess_ms)


def result_of(
    output: RawOutput, frame: Frame, request: Request, preprocess_ms: float
) -> FrameResult:
    """What `output` says of the frame, whose planes are not looked at. Raises EngineError."""
    started = perf_counter()
    detections = postprocess(
        output,
        request.thresholds,
        frame.size,
        crop_masks=request.crop_masks,
        mask_bits=request.mask_bits,
        suppression=request.suppression,
    )
    timing = Timing(
        preprocess_ms=preprocess_ms,
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

"""One picture through the engine, while nothing else is in it."""

import time

from sam3_edge.engines.backend import Backend
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.pipeline import Request
from sam3_edge.runtime.postprocess import postprocess
from sam3_edge.runtime.preprocess import preprocess_planes
from sam3_edge.runtime.results import FrameResult, Timing


def detect_one(frame: Frame, backend: Backend, request: Request) -> FrameResult:
    """As `detect` has it for a stream, on this thread. Raises EngineError."""
    started = time.perf_counter()
    preprocess_planes(frame.planes, frame.format, frame.size, backend.image_slot(0))
    preprocess_ms = (time.perf_counter() - started) * 1e3
    output = backend.submit(0, request.batch).result()
    started = time.perf_counter()
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
        postprocess_ms=(time.perf_counter() - started) * 1e3,
    )
    return FrameResult(
        frame=frame,
        prompts=request.texts,
        detections=detections,
        timing=timing,
        age_ms=(time.monotonic_ns() - frame.captured_ns) / 1e6,
    )

"""Frames, detections and results of a chosen size, so that tests need no engine."""

from collections.abc import Callable

import numpy as np
import pytest

from sam3_edge.runtime.detections import Detections, Mask
from sam3_edge.runtime.frame import Frame, bgr_frame
from sam3_edge.runtime.results import FrameResult, Timing


@pytest.fixture
def make_frame() -> Callable[..., Frame]:
    """make_frame(index=0, size=(48, 64)): a frame of noise, another for every index."""

    def make(index: int = 0, size: tuple[int, int] = (48, 64)) -> Frame:
        image = np.random.default_rng(index).integers(0, 256, (*size, 3)).astype(np.uint8)
        return bgr_frame(
            image, source="test", index=index, time_s=index / 30, captured_ns=1, utc_ns=2
        )

    return make


@pytest.fixture
def make_result(make_frame: Callable[..., Frame]) -> Callable[..., FrameResult]:
    """make_result(index=0, size=(48, 64)): a frame with one fish and one crab in it."""

    def make(index: int = 0, size: tuple[int, int] = (48, 64)) -> FrameResult:
        bits = np.ones((6, 10), dtype=np.bool_)
        bits[:2, :3] = False
        masks = tuple(Mask(size=size, origin=origin, bits=bits) for origin in ((20, 12), (0, 0)))
        detections = Detections(
            boxes=np.array([[20.25, 12, 30, 18], [0, 0, 10, 6.5]], dtype=np.float32),
            scores=np.array([0.9, 0.4], dtype=np.float32),
            prompt_index=np.array([1, 0]),
            masks=masks,
            presence=np.array([0.5, 0.75], dtype=np.float32),
        )
        return FrameResult(
            frame=make_frame(index, size),
            prompts=("fish", "crab"),
            detections=detections,
            timing=Timing(preprocess_ms=1, vision_ms=2, decoder_ms=3, postprocess_ms=4),
            age_ms=12.3456,
        )

    return make

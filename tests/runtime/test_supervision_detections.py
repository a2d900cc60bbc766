"""Results as `supervision.Detections`: against a stand-in with the arguments its page documents."""

import sys
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_edge.runtime.detections import Detections, Mask
from sam3_edge.runtime.frame import bgr_frame
from sam3_edge.runtime.results import FrameResult, Timing
from sam3_edge.runtime.supervision_detections import to_supervision


@dataclass
class StandIn:
    """supervision.Detections, https://supervision.roboflow.com/0.30.0/detection/core/."""

    xyxy: NDArray[np.float32]
    mask: NDArray[np.bool_] | None = None
    confidence: NDArray[np.float32] | None = None
    class_id: NDArray[np.int64] | None = None
    tracker_id: NDArray[np.int64] | None = None
    data: dict[str, NDArray[np.str_]] = field(default_factory=dict)


@pytest.fixture
def _supervision(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("supervision")
    module.Detections = StandIn  # type: ignore[attr-defined]  # as the package has it
    monkeypatch.setitem(sys.modules, "supervision", module)


def result(count: int, track_ids: NDArray[np.int64] | None = None) -> FrameResult:
    """`count` objects, each one pixel of its own, of the prompts in turn, in a frame of 5 x 7."""
    bits = np.ones((1, 1), np.bool_)
    found = Detections(
        boxes=np.arange(4 * count, dtype=np.float32).reshape(count, 4),
        scores=np.linspace(0.9, 0.1, count, dtype=np.float32),
        prompt_index=np.arange(count, dtype=np.int64) % 2,
        masks=tuple(Mask(size=(5, 7), origin=(k, k), bits=bits) for k in range(count)),
        presence=np.ones(2, np.float32),
        track_ids=track_ids,
    )
    image = np.zeros((5, 7, 3), np.uint8)
    return FrameResult(
        frame=bgr_frame(image, source="a", index=0, time_s=0.0, captured_ns=0, utc_ns=0),
        prompts=("fish", "sea star"),
        detections=found,
        timing=Timing(preprocess_ms=0.0, vision_ms=0.0, decoder_ms=0.0, postprocess_ms=0.0),
        age_ms=0.0,
    )


@pytest.mark.usefixtures("_supervision")
def test_every_field() -> None:
    ids = np.array([4, 5, 6])
    given = result(3, ids)
    got = given.to_supervision()
    assert isinstance(got, StandIn)
    np.testing.assert_array_equal(got.xyxy, given.detections.boxes)
    assert got.mask is not None
    assert got.mask.dtype == np.bool_
    assert got.mask.shape == (3, 5, 7)
    assert [tuple(place) for place in np.argwhere(got.mask)] == [(0, 0, 0), (1, 1, 1), (2, 2, 2)]
    np.testing.assert_array_equal(got.confidence, given.detections.scores)
    assert got.class_id is not None
    assert got.class_id.tolist() == [0, 1, 0]
    assert got.data["class_name"].tolist() == ["fish", "sea star", "fish"]
    np.testing.assert_array_equal(got.tracker_id, ids)
    for theirs in (got.xyxy, got.confidence, got.class_id, got.tracker_id):
        assert theirs is not None
        theirs += 1  # as trackers do
    np.testing.assert_array_equal(given.detections.boxes, result(3).detections.boxes)
    np.testing.assert_array_equal(given.detections.scores, result(3).detections.scores)
    assert given.detections.prompt_index.tolist() == [0, 1, 0]
    assert ids.tolist() == [4, 5, 6]


@pytest.mark.usefixtures("_supervision")
def test_nothing_found() -> None:
    got = to_supervision(result(0))
    assert got.xyxy.shape == (0, 4)
    assert got.mask.shape == (0, 5, 7)
    assert got.tracker_id is None
    assert got.data["class_name"].shape == (0,)


def test_the_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match="install it: python -m pip install supervision"):
        to_supervision(result(1))

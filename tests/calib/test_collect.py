"""Ranges are those of the pictures, and of the tensors that quantising needs."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from sam3_edge.calib.calibration import Calibration, Method, check_calibration
from sam3_edge.calib.collect import GraphFeeds, calibrate, phrases_for
from sam3_edge.calib.images import open_images
from sam3_edge.calib.quantise import ranged_tensors
from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.manifest import Manifest
from sam3_edge.errors import CalibrationError

METHODS: tuple[Method, ...] = ("minmax", "entropy", "percentile")


@pytest.fixture(scope="module")
def measured(toy: Bundle, pictures: Path) -> dict[Method, Calibration]:
    images = open_images(pictures)
    phrases = phrases_for(toy, ())
    return {m: calibrate(toy, images, phrases, method=m, percentile=95) for m in METHODS}


NAMES = ("planes", "features_4x", "features_2x", "features_1x")


@pytest.fixture(scope="module")
def seen(toy: Bundle, pictures: Path) -> dict[str, NDArray[np.float32]]:
    """By tensor: its values on all pictures."""
    model = onnx.load(toy.graph_path("vision"))
    model.graph.output.append(
        onnx.helper.make_tensor_value_info("planes", onnx.TensorProto.FLOAT, None)
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    images = open_images(pictures).pictures(28)
    runs = [session.run(list(NAMES), {"image": image[None]}) for image in images]
    return {
        name: np.stack(values) for name, values in zip(NAMES, zip(*runs, strict=True), strict=True)
    }


def test_minmax_is_the_extremes_over_all_pictures(
    seen: dict[str, NDArray[np.float32]], measured: dict[Method, Calibration]
) -> None:
    for name, values in seen.items():
        expected = (values.min(), values.max())
        np.testing.assert_allclose(measured["minmax"].ranges["vision"][name], expected, rtol=1e-6)


def test_a_percentile_cuts_both_sides_alike(
    seen: dict[str, NDArray[np.float32]], measured: dict[Method, Calibration]
) -> None:
    low, high = measured["percentile"].ranges["vision"]["features_2x"]
    values = seen["features_2x"]
    assert abs(np.mean(values < low) - 0.025) < 0.006
    assert abs(np.mean(values > high) - 0.025) < 0.006
    assert abs(low + high) > 0.05 * (high - low), "the values are not symmetric"


def test_only_what_is_needed_has_a_range(toy: Bundle, measured: dict[Method, Calibration]) -> None:
    for calibration in measured.values():
        for graph, ranges in calibration.ranges.items():
            assert tuple(ranges) == ranged_tensors(onnx.load(toy.graph_path(graph)))
        assert set(calibration.ranges["decoder"]) == {"words"}


@pytest.mark.parametrize("method", ["entropy", "percentile"])
def test_no_method_goes_beyond_the_extremes(
    measured: dict[Method, Calibration], method: Method
) -> None:
    narrower = 0
    for graph, ranges in measured["minmax"].ranges.items():
        for tensor, (low, high) in ranges.items():
            got = measured[method].ranges[graph][tensor]
            assert low - 1e-6 <= got[0] <= got[1] <= high + 1e-6
            narrower += got[1] - got[0] < 0.98 * (high - low)
    assert narrower > 0 or method == "entropy"


def test_it_says_what_it_was_made_from(
    toy: Bundle, pictures: Path, measured: dict[Method, Calibration]
) -> None:
    calibration, images = measured["percentile"], open_images(pictures)
    check_calibration(calibration, toy)
    assert [(i.name, i.sha256) for i in calibration.images] == list(
        zip(images.names, images.sha256, strict=True)
    )
    assert (calibration.method, calibration.percentile) == ("percentile", 95)
    assert measured["minmax"].percentile is None
    assert calibration.phrases == tuple(phrase.text for phrase in toy.manifest.vocabulary)


def test_prompts_are_decoded_in_the_runtimes_chunks(toy: Bundle) -> None:
    feeds = GraphFeeds(toy, ["fish", "crab", "shark"]).of(np.zeros((28, 28, 3), np.uint8))
    assert [len(feed["prompt_mask"]) for feed in feeds["decoder"]] == [2, 1]
    assert [list(feed["image"].shape) for feed in feeds["vision"]] == [[1, 28, 28, 3]]
    mask = feeds["decoder"][0]["prompt_mask"][0]
    assert not mask[32]
    assert mask[33:].all()


def _changed(toy: Bundle, **changes: object) -> Bundle:
    manifest: Manifest = dataclasses.replace(toy.manifest, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(toy, manifest=manifest)


def test_what_cannot_be_calibrated_is_refused(toy: Bundle, pictures: Path) -> None:
    images = open_images(pictures)
    with pytest.raises(CalibrationError, match="expected an FP32 bundle"):
        calibrate(_changed(toy, precision="fp16"), images)
    with pytest.raises(CalibrationError, match="expected phrases"):
        phrases_for(_changed(toy, vocabulary=()), ())
    assert phrases_for(_changed(toy, vocabulary=()), ["fish"]) == ("fish",)


def test_without_phrases_only_vision_is_looked_at(toy: Bundle, pictures: Path) -> None:
    calibration = calibrate(toy, open_images(pictures))
    assert tuple(calibration.ranges) == ("vision",)
    assert calibration.phrases == ()


@pytest.mark.parametrize("method", METHODS)
def test_values_that_are_not_finite_are_refused(
    toy: Bundle, pictures: Path, tmp_path: Path, method: Method
) -> None:
    for spec in toy.manifest.graphs.values():
        model = onnx.load(toy.path / spec.file)
        for weight in model.graph.initializer:
            if weight.name == "w1":
                weight.CopyFrom(
                    onnx.numpy_helper.from_array(np.full((4, 4, 2, 2), np.inf, np.float32), "w1")
                )
        onnx.save(model, tmp_path / spec.file)
    with pytest.raises(CalibrationError, match="expected finite values"):
        calibrate(dataclasses.replace(toy, path=tmp_path), open_images(pictures), method=method)

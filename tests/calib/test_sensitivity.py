"""Which layers lose most is measured, and the worst are kept."""

import dataclasses
import itertools
import math
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper

from sam3_edge.calib.calibration import Range
from sam3_edge.calib.collect import calibrate
from sam3_edge.calib.images import open_images
from sam3_edge.calib.quantise import Scheme, float_weights, quantisable_layers, quantise
from sam3_edge.calib.sensitivity import (
    TARGETS,
    ladder,
    layer_errors,
    layers_to_keep,
    measure_sensitivity,
    predicted_error,
    relative_error,
    worst_layers,
)
from sam3_edge.calib.sensitivity_report import layer_rows, write_report
from sam3_edge.calib.switched_graph import SwitchedGraph
from sam3_edge.engines.bundle import Bundle

SCHEMES: tuple[Scheme, ...] = ("symmetric_int8", "asymmetric_uint8")
GRAPH = """
    <ir_version: 9, opset_import: ["" : 20]>
    toy (float[1,4,6,6] x) => (float[1,4,6,6] y)
    <float zero = {0.0}, float six = {6.0}> {
        a = Conv<pads = [1,1,1,1]>(x, w0)
        b = Clip(a, zero, six)
        c = Conv(b, w1)
        y = Conv(c, w2)
    }"""


def toy_model() -> ModelProto:
    model = onnx.parser.parse_model(GRAPH)
    generator = np.random.default_rng(1)
    for name, shape in {"w0": (4, 4, 3, 3), "w1": (4, 4, 1, 1), "w2": (4, 4, 1, 1)}.items():
        values = generator.normal(size=shape).astype(np.float32) * 0.3
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    return model


def feeds() -> list[dict[str, NDArray[np.float32]]]:
    generator = np.random.default_rng(2)
    return [{"x": generator.normal(size=(1, 4, 6, 6)).astype(np.float32)} for _ in range(3)]


RANGES: dict[str, Range] = {
    "x": (-4.0, 4.0),
    "a": (-6.0, 6.0),
    "b": (0.0, 6.0),
    "c": (-5.0, 5.0),
    "y": (-5.0, 5.0),
}


def plain(model: ModelProto) -> list[list[NDArray[np.float32]]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return [session.run(None, feed) for feed in feeds()]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_switched_graph_is_every_quantised_graph(scheme: Scheme) -> None:
    graph = SwitchedGraph(toy_model(), RANGES, scheme)
    layers = quantisable_layers(toy_model(), scheme)
    assert graph.layers == layers
    for chosen in ((), layers[:1], layers[1:2], layers[2:], layers[:2], layers):
        keep = [layer for layer in layers if layer not in chosen]
        expected = plain(quantise(toy_model(), RANGES, scheme, keep))
        got = [graph.run(feed, chosen) for feed in feeds()]
        for a, b in zip(expected, got, strict=True):
            # One step of the coarsest rounding, where integer sums fall on the other side.
            np.testing.assert_allclose(b[0], a[0], atol=10 / 255 * 1.01, rtol=0)
        assert relative_error(expected, got) < (1e-6 if not chosen else 0.01)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_layer_with_an_outlier_is_the_worst(scheme: Scheme) -> None:
    ranges = {**RANGES, "x": (-4.0, 400.0)}
    before = layer_errors(SwitchedGraph(toy_model(), RANGES, scheme), feeds())
    after = layer_errors(SwitchedGraph(toy_model(), ranges, scheme), feeds())
    assert worst_layers(after, 1) == ("Conv_a",)
    assert after["Conv_a"] > 5 * before["Conv_a"] > 0
    assert before["Conv_y"] == after["Conv_y"]


def test_a_relative_error_is_over_all_runs() -> None:
    ones, other = np.ones(4), np.array([1.0, 1.0, 1.0, 3.0])
    assert relative_error([[ones]], [[ones]]) == 0.0
    assert relative_error([[ones]], [[other]]) == 1.0
    assert relative_error([[ones], [ones]], [[other], [ones]]) == pytest.approx(math.sqrt(0.5))
    assert relative_error([[ones, ones]], [[other, ones]]) == pytest.approx(math.sqrt(0.5))
    assert relative_error([[np.zeros(4)]], [[ones]]) == 1.0


ERRORS = {"a": 0.03, "b": 0.4, "c": 0.04, "d": 0.0}


def test_the_fewest_worst_layers_are_kept() -> None:
    assert worst_layers(ERRORS, 2) == ("b", "c")
    assert predicted_error(ERRORS, ["b"]) == pytest.approx(0.05)
    assert layers_to_keep(ERRORS, 1.0) == ()
    assert layers_to_keep(ERRORS, 0.051) == ("b",)
    assert layers_to_keep(ERRORS, 0.035) == ("b", "c")
    assert layers_to_keep(ERRORS, 0.0) == ("b", "c", "a")


def test_a_ladder_keeps_more_at_each_step() -> None:
    steps = ladder(ERRORS)
    assert steps[0] == ()
    assert all(len(a) < len(b) < len(ERRORS) for a, b in itertools.pairwise(steps))
    assert predicted_error(ERRORS, steps[-1]) <= TARGETS[-1]
    assert ladder({"a": 1.0}) == ((),)
    assert ladder({"a": 0.0, "b": 1e-9}) == ((),)


def test_every_layer_is_measured_and_shown(toy: Bundle, pictures: Path, tmp_path: Path) -> None:
    images = open_images(pictures)
    told: list[tuple[str, int, int]] = []
    calibration = calibrate(toy, images, ["fish"], method="minmax")
    errors = measure_sensitivity(
        toy,
        calibration,
        images,
        count=2,
        progress=lambda *step: told.append(step),
    )
    for scheme in SCHEMES:
        for graph in ("vision", "decoder"):
            model = onnx.load(toy.graph_path(graph))
            assert tuple(errors[scheme][graph]) == quantisable_layers(model, scheme)
            assert all(0 < error < 0.1 for error in errors[scheme][graph].values())
    assert ("vision layers, symmetric_int8", 3, 3) in told
    rows = layer_rows(toy, dataclasses.replace(calibration, sensitivity=errors))
    assert len(rows) == 8
    first = [row.error for row in rows if (row.scheme, row.graph) == (SCHEMES[0], "vision")]
    assert first == sorted(first, reverse=True)
    written = write_report(tmp_path / "report", rows)
    assert len(written) == 5
    assert written[0].read_text().count("\n") == 9
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written[1:])


def test_names_follow_from_outputs() -> None:
    """What is measured by name can be kept by name."""
    model = toy_model()
    for node in model.graph.node:
        node.name = ""
    named = float_weights(model)
    assert quantisable_layers(model, "symmetric_int8") == ("Conv_a", "Conv_c", "Conv_y")
    assert [n.name for n in named.graph.node] == ["Conv_a", "Clip_b", "Conv_c", "Conv_y"]
    assert {w.data_type for w in named.graph.initializer} == {TensorProto.FLOAT}

"""Q/DQ stand where each engine wants them, and leave alone what is to be kept."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from sam3_edge.calib.calibration import Range
from sam3_edge.calib.quantise import (
    Scheme,
    float_weights,
    quantisable_layers,
    quantise,
    ranged_tensors,
)
from sam3_edge.errors import CalibrationError

SCHEMES: tuple[Scheme, ...] = ("symmetric_int8", "asymmetric_uint8")
# Two convolutions, one with its activation; a product that a residual sum goes around; one more
# with the same weights; attention's product of two activations; a deconvolution.
GRAPH = """
    <ir_version: 9, opset_import: ["" : 20]>
    toy (float[1,3,8,8] x) => (float[1,16,8] y, float[1,4,16,16] z, float[1,16,16] p)
    <float zero = {0.0}, float six = {6.0}, int64[3] rows = {1,16,16}> {
        c0 = Conv<pads = [1,1,1,1]>(x, w0, b0)
        a0 = Clip(c0, zero, six)
        c1 = Conv(a0, w1, b1)
        t = Reshape(a0, rows)
        g0 = MatMul(t, v0)
        g1 = MatMul(t, v0)
        s = Add(t, g0)
        k = Transpose<perm = [0,2,1]>(g1)
        p = MatMul(s, k)
        y = MatMul(p, v1)
        z = ConvTranspose<strides = [2,2]>(c1, w2)
    }"""
SHAPES = {
    "w0": (4, 3, 3, 3),
    "b0": (4,),
    "w1": (4, 4, 1, 1),
    "b1": (4,),
    "v0": (16, 16),
    "v1": (16, 8),
    "w2": (4, 4, 2, 2),
}
LAYERS = ("Conv_c0", "Conv_c1", "MatMul_g0", "MatMul_g1", "MatMul_y", "ConvTranspose_z")


def toy_model(half: bool = False) -> ModelProto:
    """half: one weight is stored as FP16 behind a Cast."""
    model = onnx.parser.parse_model(GRAPH)
    generator = np.random.default_rng(0)
    for name, shape in SHAPES.items():
        values = (generator.normal(size=shape) * 0.2).astype(np.float16).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    if half:
        stored = numpy_helper.to_array(model.graph.initializer[-2]).astype(np.float16)
        assert model.graph.initializer[-2].name == "v1"
        model.graph.initializer[-2].CopyFrom(numpy_helper.from_array(stored, "v1.fp16"))
        cast = onnx.helper.make_node("Cast", ["v1.fp16"], ["v1"], to=TensorProto.FLOAT)
        model.graph.node.insert(0, cast)
    return model


def example(seed: int = 0) -> dict[str, NDArray[np.float32]]:
    values = np.random.default_rng(seed).uniform(-1, 1, (1, 3, 8, 8))
    return {"x": values.astype(np.float32)}


def run(
    model: ModelProto, names: list[str] | None = None, *, fused: bool = True
) -> list[NDArray[np.float32]]:
    """fused: Q/DQ and a layer become one integer kernel; else each is computed as it is written."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not fused:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    outputs: list[NDArray[np.float32]] = session.run(names, example())
    return outputs


@pytest.fixture(scope="module")
def ranges() -> dict[str, Range]:
    model = toy_model()
    names = list(ranged_tensors(model))
    inner = [name for name in names if name != "x"]
    for name in (name for name in inner if name != "p"):
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    values = dict(zip(inner, run(model, inner), strict=True))
    return {"x": (-1.0, 1.0), **{n: (float(v.min()), float(v.max())) for n, v in values.items()}}


class Facts:
    """What a test asks of a quantised graph."""

    def __init__(self, model: ModelProto) -> None:
        onnx.checker.check_model(model, full_check=True)
        self.nodes = {node.name: node for node in model.graph.node}
        self.makers = {output: node for node in model.graph.node for output in node.output}
        self.weights = {w.name: numpy_helper.to_array(w) for w in model.graph.initializer}
        self.count = Counter(node.op_type for node in model.graph.node)

    def before(self, node: NodeProto, index: int) -> str:
        """What makes an input: an operator, or "" for the graph's inputs and weights."""
        maker = self.makers.get(node.input[index])
        return "" if maker is None else maker.op_type

    def scale_and_zero(self, node: NodeProto, index: int) -> tuple[NDArray, NDArray]:  # type: ignore[type-arg]
        back = self.makers[node.input[index]]
        return self.weights[back.input[1]], self.weights[back.input[2]]


def test_layers_are_the_ones_with_weights() -> None:
    assert quantisable_layers(toy_model(), "symmetric_int8") == LAYERS
    assert quantisable_layers(toy_model(half=True), "symmetric_int8") == LAYERS
    assert quantisable_layers(toy_model(), "asymmetric_uint8") == LAYERS[:-1]


def test_names_are_unique() -> None:
    model = toy_model()
    for node in model.graph.node:
        node.name = "same"
    names = quantisable_layers(model, "symmetric_int8")
    assert len(set(names)) == len(LAYERS)
    assert names == quantisable_layers(float_weights(model), "symmetric_int8")


def test_halved_weights_are_whole_again() -> None:
    whole = float_weights(toy_model(half=True))
    assert not any(w.data_type == TensorProto.FLOAT16 for w in whole.graph.initializer)
    for expected, got in zip(run(toy_model()), run(whole), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_symmetric_is_what_tensorrt_takes(ranges: dict[str, Range]) -> None:
    facts = Facts(quantise(toy_model(half=True), ranges, "symmetric_int8"))
    axes = {"Conv_c0": 0, "Conv_c1": 0, "ConvTranspose_z": 1}
    for name in LAYERS:
        node = facts.nodes[name]
        for index in (0, 1):
            assert facts.before(node, index) == "DequantizeLinear", name
            scale, zero = facts.scale_and_zero(node, index)
            assert [scale.dtype, zero.dtype] == [np.dtype(np.float32), np.dtype(np.int8)]
            assert not zero.any()
            axis = [a.i for a in facts.makers[node.input[index]].attribute if a.name == "axis"]
            assert (scale.size > 1) == (index == 1), "weights by channel, activations not"
            assert index == 0 or axis == [axes.get(name, 1)]
        assert all(facts.before(node, i) == "" for i in range(2, len(node.input))), "bias"
    rounded = {n.input[0] for n in facts.nodes.values() if n.op_type == "QuantizeLinear"}
    assert rounded == {"x", "a0", "t", "p", "c1"}, "what layers read, and nothing else"
    assert facts.count["Clip"] == 1


def test_asymmetric_is_what_onnx_runtime_fuses(ranges: dict[str, Range], tmp_path: Path) -> None:
    model = quantise(toy_model(), ranges, "asymmetric_uint8")
    facts = Facts(model)
    for name in LAYERS[:-1]:
        scale, zero = facts.scale_and_zero(facts.nodes[name], 0)
        assert scale.size == 1
        assert zero.dtype == np.dtype(np.uint8)
        scale, zero = facts.scale_and_zero(facts.nodes[name], 1)
        assert scale.size > 1
        assert zero.dtype == np.dtype(np.int8)
        assert not zero.any()
    assert facts.count["Clip"] == 0, "the activation is part of the range"
    assert facts.before(facts.nodes["ConvTranspose_z"], 1) == ""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model.SerializeToString(), options)
    fused = Counter(node.op_type for node in onnx.load(tmp_path / "fused.onnx").graph.node)
    assert (fused["QLinearConv"], fused["MatMulIntegerToFloat"]) == (2, 3)
    assert (fused["Conv"], fused["MatMul"] + fused["FusedMatMul"]) == (0, 1)


def relative_errors(model: ModelProto, *, fused: bool) -> list[float]:
    """Of each output, against the graph that is not quantised."""
    pairs = zip(run(toy_model()), run(model, fused=fused), strict=True)
    return [float(np.linalg.norm(got - exact) / np.linalg.norm(exact)) for exact, got in pairs]


@pytest.mark.parametrize("bits", [7, 8])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_computes_nearly_the_same(
    monkeypatch: pytest.MonkeyPatch, ranges: dict[str, Range], scheme: Scheme, bits: int
) -> None:
    monkeypatch.setattr("sam3_edge.calib.quantise.saturates", lambda: bits == 7)
    quantised = quantise(toy_model(), ranges, scheme)
    assert all(0 < error < 0.05 for error in relative_errors(quantised, fused=False))
    weights = [numpy_helper.to_array(w) for w in quantised.graph.initializer]
    largest = max(np.abs(w.astype(int)).max() for w in weights if w.dtype == np.int8 and w.ndim)
    assert largest == (64 if bits == 7 and scheme == "asymmetric_uint8" else 127)


def test_integer_kernels_of_this_processor_lose_no_sums(ranges: dict[str, Range]) -> None:
    quantised = quantise(toy_model(), ranges, "asymmetric_uint8")
    assert all(0 < error < 0.05 for error in relative_errors(quantised, fused=True))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_residual_sum_reads_exact_values(ranges: dict[str, Range], scheme: Scheme) -> None:
    facts = Facts(quantise(toy_model(), ranges, scheme))
    assert facts.makers["p"].op_type == "MatMul", "an output that a layer reads too"
    residual = facts.nodes["Add_s"]
    assert residual.input[0] == "t"
    assert [facts.before(residual, i) for i in (0, 1)] == ["Reshape", "MatMul"]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kept", LAYERS[:-1])
def test_a_kept_layer_is_untouched(ranges: dict[str, Range], scheme: Scheme, kept: str) -> None:
    facts = Facts(quantise(toy_model(), ranges, scheme, keep=[kept]))
    node = facts.nodes[kept]
    original = next(n for n in float_weights(toy_model()).graph.node if n.name == kept)
    weights = {w.name: numpy_helper.to_array(w) for w in toy_model().graph.initializer}
    for index in range(1, len(node.input)):
        np.testing.assert_array_equal(
            facts.weights[node.input[index]], weights[original.input[index]]
        )
    others = [n for n in quantisable_layers(toy_model(), scheme) if n != kept]
    for name in others:
        assert facts.before(facts.nodes[name], 1) == "DequantizeLinear", name


@pytest.mark.parametrize("scheme", SCHEMES)
def test_keeping_everything_changes_nothing(ranges: dict[str, Range], scheme: Scheme) -> None:
    model = toy_model(half=True)
    kept = quantise(model, ranges, scheme, keep=quantisable_layers(model, scheme))
    assert kept == float_weights(model)


def test_wrong_names_and_missing_ranges_are_refused(ranges: dict[str, Range]) -> None:
    with pytest.raises(CalibrationError, match="got Conv_c9"):
        quantise(toy_model(), ranges, "symmetric_int8", keep=["Conv_c9"])
    short = {name: limits for name, limits in ranges.items() if name != "t"}
    with pytest.raises(CalibrationError, match="expected a range for t, got none"):
        quantise(toy_model(), short, "symmetric_int8")


def test_the_model_given_is_not_changed(ranges: dict[str, Range]) -> None:
    model = toy_model(half=True)
    before = model.SerializeToString(deterministic=True)
    quantise(model, ranges, "asymmetric_uint8", keep=["Conv_c1"])
    assert model.SerializeToString(deterministic=True) == before


def test_symmetric_compiles_in_tensorrt_rtx(ranges: dict[str, Range]) -> None:
    trt = pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed")

    class Log(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[str] = []

        def log(self, severity: object, message: str) -> None:
            self.lines.append(f"{severity}: {message}")

    log = Log()
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    model = quantise(toy_model(), ranges, "symmetric_int8", keep=["MatMul_g1"])
    assert trt.OnnxParser(network, log).parse(model.SerializeToString()), "\n".join(log.lines)
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    assert builder.build_serialized_network(network, config) is not None, "\n".join(log.lines)

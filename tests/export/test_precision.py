"""An FP16 graph is FP16 where nothing is lost by it, and FP32 where something would be."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from sam3_edge.engines.bundle import Bundle, default_bundle_path
from sam3_edge.errors import ExportError
from sam3_edge.export.fp32_islands import fp32_islands
from sam3_edge.export.precision import name_nodes, to_fp16
from sam3_edge.export.stored_weights import widen_weights

GRAPHS = ("vision", "text", "exemplar", "decoder")
Graph = Callable[..., onnx.ModelProto]


def make_graph(
    nodes: list[onnx.NodeProto],
    weights: dict[str, NDArray[Any]],
    output: str = "out",
    shape: tuple[int, ...] = (2, 4),
) -> onnx.ModelProto:
    """One float input "x" and one float output of the same shape."""
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def run(model: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return np.asarray(session.run(None, {"x": x})[0])


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {weight.name: weight.data_type for weight in graph.initializer}


@pytest.fixture(scope="module")
def default() -> dict[str, onnx.ModelProto]:
    bundle = Bundle.open(default_bundle_path())
    return {name: onnx.load(bundle.graph_path(name)) for name in GRAPHS}


@pytest.mark.parametrize("name", GRAPHS)
def test_every_node_has_one_type_and_outsiders_see_none_of_it(
    default: dict[str, onnx.ModelProto], name: str
) -> None:
    model, precision = to_fp16(default[name])
    onnx.checker.check_model(model, full_check=True)
    for side in ("input", "output"):
        before, after = getattr(default[name].graph, side), getattr(model.graph, side)
        assert [v.SerializeToString() for v in before] == [v.SerializeToString() for v in after]
    types = element_types(model)
    for node in model.graph.node:
        if node.op_type in ("Cast", "Resize"):
            continue
        floats = {types[n] for n in (*node.input, *node.output) if n} & {
            TensorProto.FLOAT,
            TensorProto.FLOAT16,
        }
        assert len(floats) <= 1, f"{node.name}: {floats}"
    assert precision.arithmetic == "fp16"
    assert precision.fp32_islands["softmax"] > 0
    assert precision.fp32_islands["layer_norm"] > 0


def test_matrix_products_are_fp16_but_for_the_last_ones(
    default: dict[str, onnx.ModelProto],
) -> None:
    for name in GRAPHS:
        model, _ = to_fp16(default[name])
        types = element_types(model)
        products = [node for node in model.graph.node if node.op_type in ("MatMul", "Gemm", "Conv")]
        wide = [node for node in products if types[node.output[0]] == TensorProto.FLOAT]
        assert len(wide) <= len(products) / 10, [node.name for node in wide]


def test_what_the_decoder_keeps_in_fp32(default: dict[str, onnx.ModelProto]) -> None:
    model, _ = to_fp16(default["decoder"])
    types = element_types(model)
    delicate = ("Softmax", "LayerNormalization", "Log", "Sigmoid", "Sin", "Cos", "TopK")
    for node in model.graph.node:
        if node.op_type in delicate:
            assert types[node.output[0]] == TensorProto.FLOAT, node.name
    made_by = {name: node for node in model.graph.node for name in node.output}
    for output in ("logits", "presence", "boxes"):
        # No rounding on the way out: the tensor is not a Cast of an FP16 one.
        assert made_by[output].op_type != "Cast", output


def test_neighbours_in_an_island_hand_over_fp32() -> None:
    # log(x * 1e5 / 3e4): FP16 has nothing above 65504, and ten bits.
    nodes = [
        helper.make_node("Mul", ["x", "many"], ["large"]),
        helper.make_node("Div", ["large", "less"], ["ratio"]),
        helper.make_node("Log", ["ratio"], ["out"]),
    ]
    weights = {"many": np.array(1e5, np.float32), "less": np.array(3e4, np.float32)}
    model, precision = to_fp16(make_graph(nodes, weights))
    x = np.linspace(1, 3, 8, dtype=np.float32).reshape(2, 4)
    assert precision.fp32_islands == {"box_refinement": 3}
    assert [node.op_type for node in model.graph.node] == ["Mul", "Div", "Log"]
    np.testing.assert_allclose(run(model, x), np.log(x * (1e5 / 3e4)), rtol=1e-6)


def test_a_tensor_read_in_both_types_is_cast_once() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Softmax", ["a"], ["b"], axis=-1),
        helper.make_node("LayerNormalization", ["a", "scale"], ["c"], axis=-1),
        helper.make_node("MatMul", ["b", "w"], ["d"]),
        helper.make_node("MatMul", ["c", "w"], ["e"]),
        helper.make_node("Add", ["d", "e"], ["out"]),
    ]
    weights = {
        "w": np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32),
        "scale": np.ones(4, np.float32),
    }
    plain = make_graph(nodes, weights)
    model, _ = to_fp16(plain)
    onnx.checker.check_model(model, full_check=True)
    casts = Counter((node.input[0], node.attribute[0].i) for node in model.graph.node
                    if node.op_type == "Cast")  # fmt: skip
    assert max(casts.values()) == 1
    assert casts["a", TensorProto.FLOAT] == 1
    x = np.random.default_rng(1).normal(size=(2, 4)).astype(np.float32)
    np.testing.assert_allclose(run(model, x), run(plain, x), atol=2e-2)
    names = {weight.name for weight in model.graph.initializer}
    assert names == {"w.fp16", "scale"}  # each weight once, in the type that is read


def test_masks_too_large_for_fp16_stay_finite() -> None:
    nodes = [
        helper.make_node("Add", ["x", "mask"], ["masked"]),
        helper.make_node("Relu", ["masked"], ["out"]),
    ]
    model, _ = to_fp16(make_graph(nodes, {"mask": np.array([-1e9, 0, 0, 0], np.float32)}))
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(run(model, x), [[0, 1, 1, 1]] * 2)


def test_attention_on_request(default: dict[str, onnx.ModelProto]) -> None:
    plain, _ = to_fp16(default["vision"])
    safe, precision = to_fp16(default["vision"], attention_in_fp32=True)
    softmaxes = sum(node.op_type == "Softmax" for node in plain.graph.node)
    assert precision.fp32_islands["attention"] >= 2 * softmaxes
    types = element_types(safe)
    weights = {weight.name for weight in safe.graph.initializer}
    for node in safe.graph.node:
        if node.op_type == "MatMul" and not set(node.input) & weights:
            assert types[node.output[0]] == TensorProto.FLOAT, node.name


def test_quantised_graphs_become_int8_over_fp16() -> None:
    scales = {"fine": np.array(0.05, np.float32), "small": np.array(2e-5, np.float32)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "fine", "zero"], ["q"], name="q"),
        helper.make_node("DequantizeLinear", ["q", "fine", "zero"], ["dq"], name="dq"),
        helper.make_node("DequantizeLinear", ["w", "small", "zero"], ["dw"], name="dw"),
        helper.make_node("MatMul", ["dq", "dw"], ["out"], name="product"),
    ]
    weights: dict[str, NDArray[Any]] = {
        **scales,
        "zero": np.array(0, np.int8),
        "w": np.random.default_rng(0).integers(-127, 128, (4, 4)).astype(np.int8),
    }
    plain = make_graph(nodes, weights)
    model, precision = to_fp16(plain)
    types = element_types(model)
    assert precision.fp32_islands == {"small_scale": 1}
    assert types["dq"] == TensorProto.FLOAT16
    assert types["dw"] == TensorProto.FLOAT
    assert types["q"] == types["w"] == TensorProto.INT8
    x = np.random.default_rng(1).normal(size=(2, 4)).astype(np.float32)
    np.testing.assert_allclose(run(model, x), run(plain, x), rtol=2e-2, atol=1e-5)


def test_stored_halves_are_widened_without_loss(default: dict[str, onnx.ModelProto]) -> None:
    before = default["text"]
    after = widen_weights(before)
    stored = {w.name: numpy_helper.to_array(w) for w in before.graph.initializer}
    casts = {n.output[0]: n.input[0] for n in before.graph.node if n.op_type == "Cast"}
    widened = {w.name: numpy_helper.to_array(w) for w in after.graph.initializer}
    halves = {out: name for out, name in casts.items() if name in stored}
    assert halves
    for out, name in halves.items():
        np.testing.assert_array_equal(widened[out], stored[name].astype(np.float32))
    assert all(values.dtype != np.float16 for values in widened.values())


def test_names_are_given_where_there_are_none() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"], name="same"),
        helper.make_node("Relu", ["b"], ["out"], name="same"),
    ]
    model = make_graph(nodes, {})
    name_nodes(model)
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == 3
    assert all(names)


def test_an_fp16_graph_is_refused(default: dict[str, onnx.ModelProto]) -> None:
    model, _ = to_fp16(default["text"])
    with pytest.raises(ExportError, match="expected an FP32 graph, got FP16"):
        to_fp16(model)


def test_islands_need_no_names(default: dict[str, onnx.ModelProto]) -> None:
    """The rules read what nodes compute: renaming everything changes nothing."""
    model = widen_weights(default["decoder"])
    name_nodes(model)
    before = fp32_islands(model, attention=False)
    renamed = {node.name: f"n{index}" for index, node in enumerate(model.graph.node)}
    for node in model.graph.node:
        node.name = renamed[node.name]
    assert fp32_islands(model, attention=False) == {renamed[n]: r for n, r in before.items()}

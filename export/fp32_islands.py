"""Which nodes of an FP16 graph compute in FP32, and by which rule.

Chosen by what a node computes, never by its name: the rules hold for every preset. They are those
places where FP16's ten bits or its largest value, 65504, are known not to do:

softmax           sums of exponentials
layer_norm        means of squares; group_norm likewise
box_refinement    logarithms and sigmoids, back to and with the last matrix product, and what is
                  pointwise around them: near 0 and 1 a box's inverse sigmoid needs more digits
                  than FP16 has
box_positions     sines and cosines of box coordinates, likewise
box_coordinates   what follows from an input of boxes, up to the next matrix product
query_selection   TopK and the scores it ranks: rounding would exchange proposals
output            logits, presence and boxes, back to and with the last matrix product
small_scale       Q/DQ whose scale is below FP16's smallest normal number
attention         on request: Q·Kᵀ and P·V, for engines that get them wrong in FP16
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

# They move values and do not change them, so they take the type of what they are given.
_MOVING = (
    "Reshape Transpose Unsqueeze Squeeze Slice Concat Split Expand Gather GatherElements GatherND "
    "Identity Tile Flatten Where MaxPool Pad"
)
_CHANGING = (
    "Add Sub Mul Div Abs Sign Neg Clip Min Max Log Exp Sigmoid Tanh Sin Cos Sqrt Pow Less Greater "
    "Equal Not Relu"
)
FOLLOWS = frozenset(_MOVING.split())
_POINTWISE = frozenset(_CHANGING.split())
_MATRIX_PRODUCTS = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose"})
_BY_OP = {
    "Softmax": "softmax",
    "LayerNormalization": "layer_norm",
    "InstanceNormalization": "group_norm",
    "GroupNormalization": "group_norm",
}
_SEEDS = {
    "Log": "box_refinement",
    "Sigmoid": "box_refinement",
    "Sin": "box_positions",
    "Cos": "box_positions",
}
_EXACT_OUTPUTS = ("logits", "presence", "boxes")
_SMALLEST_NORMAL_FP16 = float(np.finfo(np.float16).tiny)


def fp32_islands(model: onnx.ModelProto, *, attention: bool) -> dict[str, str]:
    """The rule by name of each node that stays FP32; the first rule that says so counts."""
    graph = _Graph(model)
    found: dict[str, str] = {}

    def add(nodes: list[onnx.NodeProto], rule: str) -> None:
        for node in nodes:
            found.setdefault(node.name, rule)

    for node in model.graph.node:
        if node.op_type in _BY_OP:
            add([node], _BY_OP[node.op_type])
    for name in _EXACT_OUTPUTS:
        add(graph.back_to_product(name), "output")
    for tensor in model.graph.input:
        if tensor.name == "boxes":
            add(graph.on_to_product(tensor.name), "box_coordinates")
    for node in model.graph.node:
        if node.op_type in _SEEDS:
            around = [*graph.back_to_product(node.input[0]), *graph.pointwise_around(node)]
            add(around, _SEEDS[node.op_type])
        if node.op_type == "TopK":
            add([node, *graph.back_to_product(node.input[0])], "query_selection")
        if graph.has_small_scale(node):
            add([node], "small_scale")
        if attention and node.op_type == "Softmax":
            add(graph.attention_around(node), "attention")
    return found


def count_by_rule(islands: Mapping[str, str]) -> dict[str, int]:
    return dict(sorted(Counter(islands.values()).items()))


class _Graph:
    """Who makes and who reads each tensor."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._weights = {weight.name: weight for weight in model.graph.initializer}
        self._maker = {name: node for node in model.graph.node for name in node.output}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def back_to_product(self, name: str) -> list[onnx.NodeProto]:
        """What makes the tensor `name`, up to and with the nearest matrix products."""
        found: dict[str, onnx.NodeProto] = {}
        pending = [name]
        while pending:
            node = self._maker.get(pending.pop())
            if node is None or node.name in found:
                continue
            if node.op_type in _MATRIX_PRODUCTS:
                found[node.name] = node
            elif node.op_type in _POINTWISE or node.op_type in FOLLOWS:
                found[node.name] = node
                pending.extend(node.input)
        return list(found.values())

    def on_to_product(self, name: str) -> list[onnx.NodeProto]:
        """What is computed from the tensor `name` before any matrix product."""
        found: dict[str, onnx.NodeProto] = {}
        pending = [name]
        while pending:
            for node in self._readers.get(pending.pop(), []):
                if node.name not in found and (
                    node.op_type in _POINTWISE or node.op_type in FOLLOWS
                ):
                    found[node.name] = node
                    pending.extend(node.output)
        return list(found.values())

    def pointwise_around(self, seed: onnx.NodeProto) -> list[onnx.NodeProto]:
        """The seed and what is joined to it through pointwise nodes alone, both ways."""
        found = {seed.name: seed}
        pending = [seed]
        while pending:
            node = pending.pop()
            makers = [self._maker[name] for name in node.input if name in self._maker]
            readers = [r for name in node.output for r in self._readers.get(name, [])]
            for other in (*makers, *readers):
                if other.op_type in _POINTWISE and other.name not in found:
                    found[other.name] = other
                    pending.append(other)
        return list(found.values())

    def attention_around(self, softmax: onnx.NodeProto) -> list[onnx.NodeProto]:
        """The two matrix products without weights beside a softmax, and what lies between."""
        found = [softmax]
        for start, steps in ((softmax.input[0], self._before), (softmax.output[0], self._after)):
            name = start
            while (node := steps(name)) is not None:
                found.append(node)
                if node.op_type == "MatMul":
                    break
                name = node.input[0] if steps == self._before else node.output[0]
        return found

    def has_small_scale(self, node: onnx.NodeProto) -> bool:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            return False
        scale = self._weights.get(node.input[1])
        return scale is not None and bool(
            numpy_helper.to_array(scale).min() < _SMALLEST_NORMAL_FP16
        )

    def _before(self, name: str) -> onnx.NodeProto | None:
        node = self._maker.get(name)
        return node if node is not None and _is_between(node) else None

    def _after(self, name: str) -> onnx.NodeProto | None:
        readers = self._readers.get(name, [])
        return readers[0] if len(readers) == 1 and _is_between(readers[0]) else None


def _is_between(node: onnx.NodeProto) -> bool:
    return node.op_type in FOLLOWS or node.op_type in ("Add", "Mul", "Div", "MatMul")

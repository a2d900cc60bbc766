"""FP32 graph in, FP16 graph out: typed tensor by tensor, with islands of FP32.

Precision is written into the graph because that is the one place every engine reads alike: a
strongly typed TensorRT network has no flag for it, and ONNX Runtime never had one. The usual
converters cast around each protected node by itself, which rounds what two FP32 neighbours hand to
each other; here each tensor has one type, and a Cast stands only where the type changes.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sam3_edge.engines.manifest import GraphPrecision
from sam3_edge.errors import ExportError
from sam3_edge.export.fp32_islands import FOLLOWS, count_by_rule, fp32_islands
from sam3_edge.export.stored_weights import widen_weights

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)
_SUFFIX: dict[int, str] = {TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16"}
# Inputs that ONNX types as FP32 whatever the others are: the scales of Resize.
_ALWAYS_FP32 = {"Resize": (2,)}
# Their values stand in an attribute, which keeps its type.
_CONSTANTS = ("Constant", "ConstantOfShape", "Range", "RandomNormal", "RandomUniform", "EyeLike")
_LARGEST_FP16 = float(np.finfo(np.float16).max)


def to_fp16(
    model: onnx.ModelProto, *, attention_in_fp32: bool = False
) -> tuple[onnx.ModelProto, GraphPrecision]:
    """A copy of an FP32 graph, Q/DQ nodes allowed, that computes in FP16 but for its islands.

    Inputs and outputs keep their types. attention_in_fp32: Q·Kᵀ and P·V too, for the TensorRT
    versions whose FP16 attention is wrong.
    Raises ExportError for a graph with control flow, or one that is FP16 already.
    """
    graph = widen_weights(model)
    name_nodes(graph)
    islands = fp32_islands(graph, attention=attention_in_fp32)
    typed = _Typed(graph, islands)
    typed.convert()
    precision = GraphPrecision(
        arithmetic="fp16", around="fp16", fp32_islands=count_by_rule(islands), quantised=(), kept=()
    )
    return typed.model, precision


def name_nodes(model: onnx.ModelProto) -> None:
    """Give nodes without a name, or with one that is taken, one of their own, in place."""
    taken: set[str] = set()
    for node in model.graph.node:
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{node.output[0]}"
        taken.add(node.name)


class _Typed:
    """One pass over the nodes in order; remembers each tensor's type and the casts made."""

    def __init__(self, model: onnx.ModelProto, islands: Mapping[str, str]) -> None:
        self.model = model
        self._islands = islands
        self._weights = {weight.name: weight for weight in model.graph.initializer}
        self._types = _element_types(model)
        self._made: dict[tuple[str, int], str] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._new_weights: list[onnx.TensorProto] = []

    def convert(self) -> None:
        graph = self.model.graph
        declared = {output.name: output.type.tensor_type.elem_type for output in graph.output}
        for node in graph.node:
            self._type(node)
            self._nodes.append(node)
        for name, elem_type in declared.items():
            self._give_back(name, elem_type)
        read = {name for node in self._nodes for name in node.input}
        weights = [w for w in [*graph.initializer, *self._new_weights] if w.name in read]
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(self._nodes)
        graph.initializer.extend(weights)

    def _type(self, node: onnx.NodeProto) -> None:
        """Choose the node's type, cast its inputs to it, and note what its outputs are."""
        if node.op_type in _CONSTANTS:
            return
        wanted = self._wanted(node)
        exceptions = _ALWAYS_FP32.get(node.op_type, ())
        for index, name in enumerate(node.input):
            if self._types.get(name) in _FLOATS:
                elem_type = TensorProto.FLOAT if index in exceptions else wanted
                node.input[index] = self._as(name, elem_type)
        if node.op_type == "Cast":
            _retarget(node, wanted)
        for name in node.output:
            if self._types.get(name) in _FLOATS:
                self._types[name] = wanted

    def _wanted(self, node: onnx.NodeProto) -> int:
        if node.name in self._islands:
            return TensorProto.FLOAT
        if node.op_type in FOLLOWS:
            data = [name for name in node.input if name and name not in self._weights]
            types = {self._types[name] for name in data if self._types.get(name) in _FLOATS}
            if types == {TensorProto.FLOAT}:
                return TensorProto.FLOAT
        return TensorProto.FLOAT16

    def _as(self, name: str, elem_type: int) -> str:
        """The tensor `name` in this type: itself, a rounded weight, or a Cast made once."""
        if self._types[name] == elem_type:
            return name
        key = name, elem_type
        if key not in self._made:
            self._made[key] = f"{name}.{_SUFFIX[elem_type]}"
            if name in self._weights:
                self._new_weights.append(_rounded(self._weights[name], self._made[key]))
            else:
                self._nodes.append(_cast(name, self._made[key], elem_type))
        return self._made[key]

    def _give_back(self, name: str, elem_type: int) -> None:
        """An output that became FP16 is cast to what outsiders expect under its own name."""
        if elem_type not in _FLOATS or self._types[name] == elem_type:
            return
        inside = f"{name}.inside"
        for node in self._nodes:
            for names in (node.input, node.output):
                for index, other in enumerate(names):
                    if other == name:
                        names[index] = inside
        self._nodes.append(_cast(inside, name, elem_type))


def _element_types(model: onnx.ModelProto) -> dict[str, int]:
    if any(attribute.HasField("g") for node in model.graph.node for attribute in node.attribute):
        raise ExportError("expected a graph without control flow, got one with; export it again")
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*inferred.input, *inferred.value_info, *inferred.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    types.update({weight.name: weight.data_type for weight in model.graph.initializer})
    half = [name for name, elem_type in types.items() if elem_type == TensorProto.FLOAT16]
    if half:
        raise ExportError(
            f"expected an FP32 graph, got FP16 in {half[0]}; start from the FP32 bundle"
        )
    return types


def _rounded(weight: onnx.TensorProto, name: str) -> onnx.TensorProto:
    """To FP16; what is too large for it, as masks of -1e9 are, becomes the largest there is."""
    values = numpy_helper.to_array(weight)
    finite = np.isfinite(values)
    clipped = np.where(finite, values.clip(-_LARGEST_FP16, _LARGEST_FP16), values)
    return numpy_helper.from_array(clipped.astype(np.float16), name)


def _cast(name: str, output: str, elem_type: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [name], [output], name=f"Cast_{output}", to=elem_type)


def _retarget(node: onnx.NodeProto, wanted: int) -> None:
    for attribute in node.attribute:
        if attribute.name == "to" and attribute.i in _FLOATS:
            attribute.i = wanted

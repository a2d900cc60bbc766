"""One graph in which every layer can be switched between FP32 and INT8 at each run.

Building and loading a graph for each layer would copy all weights each time. Here every layer is an
`If` on its own flag: one branch has the layer as it was, the other has it with its Q/DQ.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper

from sam3_edge.calib.calibration import Range
from sam3_edge.calib.quantise import (
    FOLDED,
    Scheme,
    float_weights,
    quantisable_layers,
    quantise,
)
from sam3_edge.engines.onnxruntime_session import available_processors

_FLAGS = "quantised_layers"


class SwitchedGraph:
    """layers: names of the quantisable layers, in the order they run."""

    def __init__(self, model: onnx.ModelProto, ranges: Mapping[str, Range], scheme: Scheme) -> None:
        self.layers = quantisable_layers(model, scheme)
        self.outputs = tuple(tensor.name for tensor in model.graph.output)
        self._session = _session(_switched(model, ranges, scheme, self.layers))

    def run(
        self, feed: Mapping[str, NDArray[Any]], quantised: Collection[str]
    ) -> list[NDArray[Any]]:
        """The graph's outputs with the layers named in `quantised` in INT8, all others in FP32."""
        flags = np.array([name in quantised for name in self.layers], dtype=np.bool_)
        outputs: list[NDArray[Any]] = self._session.run(list(self.outputs), {**feed, _FLAGS: flags})
        return outputs


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_processors()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Rounded in floating point: the answer is the same on processors whose integer sums saturate.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _switched(
    model: onnx.ModelProto, ranges: Mapping[str, Range], scheme: Scheme, layers: Sequence[str]
) -> onnx.ModelProto:
    exact, quantised = float_weights(model), _Quantised(quantise(model, ranges, scheme))
    nodes: list[NodeProto] = []
    folded: set[str] = set()
    for node in exact.graph.node:
        if node.name in folded:
            continue
        if node.name not in layers:
            nodes.append(node)
            continue
        activation = quantised.folded_activation(node, exact)
        folded |= {activation.name} if activation else set()
        chain = [node, activation] if activation else [node]
        nodes += _switch(chain, quantised.layer(node.name, scheme), layers.index(node.name))
    del exact.graph.node[:]
    exact.graph.node.extend(nodes)
    exact.graph.input.append(helper.make_tensor_value_info(_FLAGS, TensorProto.BOOL, [len(layers)]))
    return exact


def _switch(chain: list[NodeProto], quantised: GraphProto, index: int) -> list[NodeProto]:
    """The nodes that give the last output of `chain` either way, by flag number `index`."""
    name, output = chain[0].name, chain[-1].output[0]
    at = helper.make_node("Constant", [], [f"{name}/at"], value_int=index)
    flag = helper.make_node("Gather", [_FLAGS, f"{name}/at"], [f"{name}/flag"], axis=0)
    choice = helper.make_node(
        "If",
        [f"{name}/flag"],
        [output],
        name=f"{name}/choice",
        then_branch=quantised,
        else_branch=_branch(chain, f"{name}/exact"),
    )
    return [at, flag, choice]


class _Quantised:
    """Finds what belongs to a layer in the graph where all of them are quantised."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._nodes = {node.name: node for node in model.graph.node}
        self._makers = {output: node for node in model.graph.node for output in node.output}
        self._weights = {weight.name: weight for weight in model.graph.initializer}
        self._rounding = {n.input[0]: n for n in model.graph.node if n.op_type == "QuantizeLinear"}
        self._back = {n.input[0]: n for n in model.graph.node if n.op_type == "DequantizeLinear"}
        outputs = {tensor.name for tensor in model.graph.output}
        # An output that is rounded is one tensor in the exact graph, and two in the quantised one.
        self._exact_names = {
            n.input[0]: self._back[n.output[0]].output[0]
            for n in self._rounding.values()
            if self._back[n.output[0]].output[0] in outputs
        }

    def folded_activation(self, layer: NodeProto, exact: onnx.ModelProto) -> NodeProto | None:
        """The activation function that became part of the layer's output range."""
        readers = [node for node in exact.graph.node if layer.output[0] in node.input]
        if len(readers) == 1 and readers[0].op_type in FOLDED:
            return None if readers[0].name in self._nodes else readers[0]
        return None

    def layer(self, name: str, scheme: Scheme) -> GraphProto:
        """A branch with the layer, what rounds its inputs, and in the CPU's scheme its output."""
        node = self._nodes[name]
        chain = [n for tensor in node.input for n in self._rounded(tensor)] + [node]
        if scheme == "asymmetric_uint8" and node.op_type == "Conv":
            rounding = self._rounding[node.output[0]]
            chain += [rounding, self._back[rounding.output[0]]]
        used = {tensor for n in chain for tensor in n.input if tensor in self._weights}
        return _branch(chain, f"{name}/int8", [self._weights[tensor] for tensor in sorted(used)])

    def _rounded(self, tensor: str) -> list[NodeProto]:
        """Quantize and Dequantize of an activation, Dequantize of a weight, or nothing."""
        back = self._makers.get(tensor)
        if back is None or back.op_type != "DequantizeLinear":
            return []
        rounding = self._makers.get(back.input[0])
        if rounding is None:
            return [back]
        source = NodeProto()
        source.CopyFrom(rounding)
        source.input[0] = self._exact_names.get(rounding.input[0], rounding.input[0])
        return [source, back]


def _branch(
    chain: Sequence[NodeProto], name: str, weights: Sequence[TensorProto] = ()
) -> GraphProto:
    """A chain of nodes as a branch of its own: what it makes must have names of its own."""
    own = {weight.name for weight in weights}
    graph = GraphProto(name=name)
    for weight in weights:
        graph.initializer.add().CopyFrom(weight)
        graph.initializer[-1].name = f"{name}/{weight.name}"
    for node in chain:
        copy = graph.node.add()
        copy.CopyFrom(node)
        copy.input[:] = [f"{name}/{t}" if t in own else t for t in node.input]
        copy.output[:] = [f"{name}/{t}" for t in node.output]
        own.update(node.output)
    last = graph.node[-1].output[0]
    graph.output.append(helper.make_tensor_value_info(last, TensorProto.FLOAT, None))
    return graph

"""FP32 graph + ranges -> the same graph with its layers between QuantizeLinear and DequantizeLinear.

Two schemes, because engines want different things. TensorRT runs what is around a layer in FP16 and
takes symmetric int8 for the layer's inputs alone. ONNX Runtime fuses a convolution with its
activation function into one integer kernel, if the output is quantised as well.
"""

from collections.abc import Collection, Mapping
from typing import Literal

import numpy as np
import onnx
from onnx import NodeProto
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from sam3_edge.calib.calibration import Range
from sam3_edge.calib.saturation import saturates
from sam3_edge.errors import CalibrationError
from sam3_edge.export.stored_weights import widen_weights

Scheme = Literal["symmetric_int8", "asymmetric_uint8"]

LAYERS: dict[Scheme, tuple[str, ...]] = {
    "symmetric_int8": ("Conv", "ConvTranspose", "Gemm", "MatMul"),
    # ONNX Runtime has no integer ConvTranspose: Q/DQ around one only costs time.
    "asymmetric_uint8": ("Conv", "Gemm", "MatMul"),
}
# What becomes part of a convolution's output range: uint8 saturates as they do.
FOLDED = ("Clip", "Relu")


def float_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that has names on all nodes, and FP32 weights where FP16 ones went through a Cast."""
    names = {node.output[0]: name for name, node in named_nodes(model).items()}
    widened = widen_weights(model)
    for node in widened.graph.node:
        node.name = names[node.output[0]]
    return widened


def named_nodes(model: onnx.ModelProto) -> dict[str, NodeProto]:
    """The nodes by a unique name: their own, or one that follows from their output."""
    named: dict[str, NodeProto] = {}
    for node in model.graph.node:
        own = node.name if node.name not in named else ""
        named[own or f"{node.op_type}_{node.output[0]}"] = node
    return named


def quantisable_layers(model: onnx.ModelProto, scheme: Scheme) -> tuple[str, ...]:
    """Names of the convolutions and matrix products with weights, in the order they run.

    A node without a name gets one from its output. Attention's products of two activations are not
    among them: in INT8 they are slower on the CPU and lose more than all other layers together.
    """
    weights = {weight.name for weight in model.graph.initializer}
    weights |= {
        n.output[0] for n in model.graph.node if n.op_type == "Cast" and n.input[0] in weights
    }
    return tuple(
        name
        for name, node in named_nodes(model).items()
        if node.op_type in LAYERS[scheme] and node.input[1] in weights
    )


def ranged_tensors(model: onnx.ModelProto) -> tuple[str, ...]:
    """Tensors whose ranges either scheme needs: what layers read, and what convolutions give."""
    names = quantisable_layers(model, "symmetric_int8")
    nodes = named_nodes(model)
    layers = [nodes[name] for name in names]
    given = {node.output[0] for node in layers if node.op_type == "Conv"}
    folded = {n.output[0] for n in model.graph.node if n.op_type in FOLDED and n.input[0] in given}
    return tuple(sorted({node.input[0] for node in layers} | given | folded))


def quantise(
    model: onnx.ModelProto,
    ranges: Mapping[str, Range],
    scheme: Scheme,
    keep: Collection[str] = (),
) -> onnx.ModelProto:
    """`model` (FP32) with Q/DQ on every quantisable layer that is not in `keep`.

    Weights are symmetric int8, one scale per output channel; for the CPU of 7 bits where this
    processor would lose sums of 8 (see `saturates`). Raises CalibrationError for a layer in
    `keep` that is not there, and for a tensor without a range.
    """
    layers = quantisable_layers(model, scheme)
    unknown = sorted(set(keep) - set(layers))
    if unknown:
        raise CalibrationError(
            f"expected layers of this graph to keep, got {unknown[0]}, which is none; "
            "take names from `quantisable_layers`"
        )
    prepared = float_weights(model)
    chosen = [name for name in layers if name not in keep]
    if not chosen:
        return prepared
    nodes = {node.name: node for node in prepared.graph.node}
    _check_ranges(prepared, ranges)
    _unshare_weights(prepared, [nodes[name] for name in layers if name in keep], chosen)
    quantised = _insert_qdq(prepared, ranges, scheme, chosen)
    _give_others_the_exact_values(quantised, scheme, chosen)
    ordered = ONNXModel(quantised)
    ordered.clean_initializers()
    ordered.topological_sort()
    result: onnx.ModelProto = ordered.model
    return result


def _insert_qdq(
    model: onnx.ModelProto, ranges: Mapping[str, Range], scheme: Scheme, chosen: list[str]
) -> onnx.ModelProto:
    symmetric = scheme == "symmetric_int8"
    folded = [] if symmetric else _activations(model, chosen)
    types = (*LAYERS[scheme], *(() if symmetric else FOLDED))
    quantizer = QDQQuantizer(
        model,
        per_channel=True,
        reduce_range=not symmetric and saturates(),
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8 if symmetric else QuantType.QUInt8,
        tensors_range=_tensors_data(ranges),
        nodes_to_quantize=[*chosen, *folded],
        nodes_to_exclude=[],
        op_types_to_quantize=list(types),
        extra_options={
            "ActivationSymmetric": symmetric,
            "WeightSymmetric": True,
            # TensorRT refuses int32 biases behind a DequantizeLinear.
            "QuantizeBias": not symmetric,
            "OpTypesToExcludeOutputQuantization": [
                op for op in LAYERS[scheme] if symmetric or op != "Conv"
            ],
        },
    )
    quantised: onnx.ModelProto = quantizer.quantize_model()
    return quantised


def _activations(model: onnx.ModelProto, chosen: Collection[str]) -> list[str]:
    """Names of the activation functions of the chosen convolutions."""
    given = {n.output[0] for n in model.graph.node if n.op_type == "Conv" and n.name in chosen}
    return [n.name for n in model.graph.node if n.op_type in FOLDED and n.input[0] in given]


def _give_others_the_exact_values(
    model: onnx.ModelProto, scheme: Scheme, chosen: Collection[str]
) -> None:
    """In place. The quantiser lets everyone read what a layer reads: a residual sum, the caller.

    Only the output of an integer convolution has no exact values to give.
    """
    makers = {output: node for node in model.graph.node for output in node.output}
    outputs = {tensor.name for tensor in model.graph.output}
    for back in [n for n in model.graph.node if n.op_type == "DequantizeLinear"]:
        rounding = makers.get(back.input[0])
        if rounding is None or rounding.op_type != "QuantizeLinear":
            continue
        maker = makers.get(rounding.input[0])
        if scheme == "asymmetric_uint8" and maker is not None and _is_integer_conv(maker, chosen):
            continue
        exact, rounded = rounding.input[0], back.output[0]
        if rounded in outputs:
            _rename(model, {exact: rounded, rounded: f"{rounded}.rounded"})
            exact, rounded = rounded, f"{rounded}.rounded"
        for node in model.graph.node:
            if node.name not in chosen:
                node.input[:] = [exact if name == rounded else name for name in node.input]


def _rename(model: onnx.ModelProto, names: Mapping[str, str]) -> None:
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def _is_integer_conv(node: NodeProto, chosen: Collection[str]) -> bool:
    return node.op_type == "Conv" and node.name in chosen


def _unshare_weights(
    model: onnx.ModelProto, kept: list[NodeProto], chosen: Collection[str]
) -> None:
    """In place: a kept layer gets its own copy of a weight that a quantised one reads too."""
    weights = {weight.name: weight for weight in model.graph.initializer}
    shared = {name for n in model.graph.node if n.name in chosen for name in n.input}
    for node in kept:
        for index, name in enumerate(node.input):
            if name in weights and name in shared:
                copy = model.graph.initializer.add()
                copy.CopyFrom(weights[name])
                node.input[index] = copy.name = f"{name}.{node.name}"


def _check_ranges(model: onnx.ModelProto, ranges: Mapping[str, Range]) -> None:
    for tensor in ranged_tensors(model):
        if tensor not in ranges:
            raise CalibrationError(
                f"expected a range for {tensor}, got none; "
                "calibrate this model again with `sam3-edge calibrate`"
            )


def _tensors_data(ranges: Mapping[str, Range]) -> TensorsData:
    limits = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
    return TensorsData(
        CalibrationMethod.MinMax,
        {name: (np.array(low), np.array(high)) for name, (low, high) in limits.items()},
    )

"""Weights stored at half the size where nothing is lost by it, and the way back."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# Below this many values a half-precision initialiser saves nothing and costs a Cast.
HALF_FROM = 1024


def halve_weights(model: onnx.ModelProto) -> None:
    """Replace large initialisers by FP16 ones and a Cast back, in place, where nothing is lost.

    Every engine folds the Cast at load. Something would be lost for weights the simplifier merged
    with a normalisation, and for tables of angles: they stay FP32.
    """
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < HALF_FROM:
            continue
        name = weight.name
        values = numpy_helper.to_array(weight)
        with np.errstate(over="ignore"):  # what overflows is not equal, and stays
            stored = values.astype(np.float16)
        if not np.array_equal(stored.astype(np.float32), values):
            continue
        weight.CopyFrom(numpy_helper.from_array(stored, f"{name}.fp16"))
        casts.append(helper.make_node("Cast", [weight.name], [name], to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])


def widen_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose weights stored as FP16 behind a Cast are plain FP32 initialisers."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    stored = {w.name: w for w in result.graph.initializer if w.data_type == TensorProto.FLOAT16}
    nodes = list(result.graph.node)
    folded = [node for node in nodes if node.op_type == "Cast" and node.input[0] in stored]
    for node in folded:
        weight = stored[node.input[0]]
        values = numpy_helper.to_array(weight).astype(np.float32)
        weight.CopyFrom(numpy_helper.from_array(values, node.output[0]))
    dropped = {id(node) for node in folded}
    del result.graph.node[:]
    result.graph.node.extend(node for node in nodes if id(node) not in dropped)
    return result

"""Surgery on graphs that leaves them valid and makes them wrong.

Layers are chosen by kind and place: names change with every export.
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


def layers(model: onnx.ModelProto, *ops: str) -> list[onnx.NodeProto]:
    """Nodes of these kinds that have a weight, in order."""
    stored = {w.name for w in model.graph.initializer}
    stored |= {
        n.output[0] for n in model.graph.node if n.op_type == "Cast" and n.input[0] in stored
    }
    return [n for n in model.graph.node if n.op_type in ops and n.input[1] in stored]


def scale_weight(
    model: onnx.ModelProto, layer: int, factor: float, *, op: str = "Conv"
) -> onnx.ModelProto:
    """layer: which of that kind, negative from the end. Only this layer's use of the weight."""
    node = layers(model, op)[layer]
    name = node.input[1]
    node.input[1] = f"{name}_scaled"
    place = list(model.graph.node).index(node)
    model.graph.initializer.append(
        numpy_helper.from_array(np.array(factor, dtype=np.float32), f"{name}_factor")
    )
    scale = helper.make_node(
        "Mul", [name, f"{name}_factor"], [f"{name}_scaled"], name="wrong_scale"
    )
    model.graph.node.insert(place, scale)
    return model


def after_output(
    model: onnx.ModelProto, output: str, op: str, constants: list[NDArray[Any]], **attributes: Any
) -> onnx.ModelProto:
    """Whatever makes `output`, then one more node with `constants` beside it."""
    names = [f"{output}_wrong_{number}" for number in range(len(constants))]
    for node in model.graph.node:
        for place, name in enumerate(node.output):
            if name == output:
                node.output[place] = f"{output}_right"
        for place, name in enumerate(node.input):
            if name == output:
                node.input[place] = f"{output}_right"
    model.graph.initializer.extend(
        numpy_helper.from_array(array, name) for array, name in zip(constants, names, strict=True)
    )
    node = helper.make_node(
        op, [f"{output}_right", *names], [output], name=f"wrong_{output}", **attributes
    )
    model.graph.node.append(node)
    return model


def inside(
    model: onnx.ModelProto, tensor: str, op: str, constants: list[NDArray[Any]]
) -> onnx.ModelProto:
    """One more node behind an inner tensor: everything that reads it reads the changed one."""
    changed = after_output(model, tensor, op, constants)
    node = changed.graph.node.pop()
    for reader in changed.graph.node:
        for place, name in enumerate(reader.input):
            if name == f"{tensor}_right":
                reader.input[place] = tensor
    makers = [i for i, n in enumerate(changed.graph.node) if f"{tensor}_right" in n.output]
    changed.graph.node.insert(makers[0] + 1, node)
    return changed

"""One graph alone, arrays in and arrays out: text, exemplars, and verification."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3_edge.engines.manifest import TensorSpec
from sam3_edge.engines.tensorrt_buffer import Lane, SharedTensor, addresses, shared_tensors, sizes
from sam3_edge.engines.tensorrt_chunks import fill_rows, plan_chunks
from sam3_edge.engines.tensorrt_graph import GraphEngine, is_per_prompt
from sam3_edge.errors import EngineError


def run_alone(
    graph: GraphEngine, lane: Lane, inputs: Mapping[str, NDArray[Any]], fewest: int, most: int
) -> dict[str, NDArray[Any]]:
    """inputs: as the graph's spec has them. fewest, most: prompts the engine takes in one call.

    Waits for the stream. Raises EngineError for inputs that do not fit, and if the engine failed.
    """
    num_prompts = _check_inputs(graph, inputs)
    chunks = plan_chunks(num_prompts, fewest, most)
    outputs = {
        spec.name: np.empty(sizes(spec, num_prompts), spec.dtype) for spec in graph.spec.outputs
    }
    with ExitStack() as stack:
        given = shared_tensors(stack, lane, graph.spec.inputs, chunks.rows)
        made = shared_tensors(stack, lane, graph.spec.outputs, chunks.rows)
        stack.callback(lane.stream.synchronise)  # nothing may be queued when memory goes back
        graph.bind(addresses(given) | addresses(made))
        graph.set_prompts(chunks.rows)
        for rows in chunks.slices:
            _load(graph.spec.inputs, given, inputs, rows)
            graph.enqueue(lane.stream.handle)
            for tensor in made.values():
                tensor.download()
            lane.stream.synchronise()
            _unload(graph.spec.outputs, made, outputs, rows)
    return outputs


def _load(
    specs: tuple[TensorSpec, ...],
    tensors: dict[str, SharedTensor],
    inputs: Mapping[str, NDArray[Any]],
    rows: slice,
) -> None:
    for spec in specs:
        tensor, values = tensors[spec.name], inputs[spec.name]
        if is_per_prompt(spec):
            fill_rows(tensor.array, values[rows])
        else:
            tensor.array[...] = values
        tensor.upload()


def _unload(
    specs: tuple[TensorSpec, ...],
    tensors: dict[str, SharedTensor],
    outputs: dict[str, NDArray[Any]],
    rows: slice,
) -> None:
    for spec in specs:
        array = tensors[spec.name].array
        if is_per_prompt(spec):
            outputs[spec.name][rows] = array[: rows.stop - rows.start]
        else:
            outputs[spec.name][...] = array


def _check_inputs(graph: GraphEngine, inputs: Mapping[str, NDArray[Any]]) -> int:
    """The number of prompts; 1 for a graph without."""
    specs = graph.spec.inputs
    names = sorted(spec.name for spec in specs)
    if sorted(inputs) != names:
        raise EngineError(
            f"the {graph.name} graph: expected the inputs {', '.join(names)}, "
            f"got {', '.join(sorted(inputs))}"
        )
    counts = [len(inputs[spec.name]) for spec in specs if is_per_prompt(spec)]
    num_prompts = counts[0] if counts else 1
    for spec in specs:
        array = inputs[spec.name]
        expected = f"{spec.dtype} {sizes(spec, num_prompts)}"
        if (got := f"{array.dtype} {array.shape}") != expected:
            raise EngineError(f"{spec.name}: expected {expected}, got {got}")
    return num_prompts

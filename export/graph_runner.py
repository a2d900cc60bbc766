"""One graph of a bundle alone: what verification compares before the whole chain."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.onnxruntime_session import (
    available_processors,
    load_session,
    onnxruntime_errors,
)
from sam3_edge.errors import EngineError

Arrays = Mapping[str, NDArray[Any]]


class GraphRunner(Protocol):
    def run_graph(self, name: str, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one graph with arrays of the contract. Raises EngineError."""

    def close(self) -> None:
        """Release everything. Safe to call twice."""


class OnnxRuntimeGraphs:
    """The graphs of an ONNX bundle, each loaded when it is first run."""

    def __init__(self, bundle: Bundle, *, num_threads: int | None = None) -> None:
        self._bundle = bundle
        self._num_threads = num_threads or available_processors()
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}

    def run_graph(self, name: str, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        spec = self._bundle.manifest.graphs[name]
        if name not in self._sessions:
            path = self._bundle.graph_path(name)
            self._sessions[name] = load_session(path, spec, self._num_threads)
        outputs = [tensor.name for tensor in spec.outputs]
        with onnxruntime_errors(EngineError, f"the {name} graph failed", "build the bundle again"):
            return dict(zip(outputs, self._sessions[name].run(outputs, inputs), strict=True))

    def close(self) -> None:
        self._sessions.clear()


def open_graphs(bundle: Bundle, *, num_threads: int | None = None) -> GraphRunner:
    """Raises EngineError, BundleError."""
    if bundle.manifest.backend == "onnxruntime":
        return OnnxRuntimeGraphs(bundle, num_threads=num_threads)
    from sam3_edge.engines.tensorrt_backend import TensorRTBackend  # not everywhere

    return TensorRTBackend(bundle)


def run_in_chunks(
    runner: GraphRunner, bundle: Bundle, name: str, inputs: Arrays
) -> dict[str, NDArray[Any]]:
    """As `run_graph`, for any number of prompts: at most the bundle's maximum in one call."""
    spec, most = bundle.manifest.graphs[name], bundle.manifest.max_prompts
    given = {tensor.name: inputs[tensor.name] for tensor in spec.inputs}
    per_prompt = [tensor.name for tensor in spec.inputs if tensor.shape[0] == "P"]
    if not per_prompt:
        return runner.run_graph(name, given)
    total = len(given[per_prompt[0]])
    parts = [
        runner.run_graph(
            name,
            {
                **given,
                **{key: np.ascontiguousarray(given[key][i : i + most]) for key in per_prompt},
            },
        )
        for i in range(0, total, most)
    ]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

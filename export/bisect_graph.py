"""Which layer is the first to leave the tolerance: every inner tensor of two graphs, in order.

Polygraphy marks the tensors as outputs and runs both graphs in ONNX Runtime. A converted graph
keeps its tensors' names but for what it adds, so tensors are compared by name.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from polygraphy.backend.onnx import BytesFromOnnx, ModifyOutputs
from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx
from polygraphy.comparator import Comparator
from polygraphy.logger import G_LOGGER

from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.text_prompts import text_only_prompts
from sam3_edge.errors import ExportError
from sam3_edge.export.bisection import Bisection, TensorDifference
from sam3_edge.export.compare_graphs import decoder_inputs, exemplar_inputs, text_features
from sam3_edge.export.evidence import Evidence
from sam3_edge.export.graph_runner import OnnxRuntimeGraphs
from sam3_edge.export.output_difference import output_difference
from sam3_edge.runtime.tokenizer import Tokenizer

# Tensors held at once: two graphs' worth of so many.
_AT_ONCE = 24
_AFTER = 4


def bisect_graph(
    graph: str,
    reference: Path,
    candidate: Path,
    inputs: Mapping[str, NDArray[Any]],
    tolerance: float,
) -> Bisection:
    """reference, candidate: ONNX files whose inputs have the same names and types.

    tolerance: of the relative L2 error of each tensor. After TopK the order of queries may differ
    where scores are nearly equal: what is named behind one deserves a second look.
    Raises ExportError.
    """
    models = [_load(path) for path in (reference, candidate)]
    nodes = _common_tensors(*models)
    compared: list[TensorDifference] = []
    first: int | None = None
    for start in range(0, len(nodes), _AT_ONCE):
        chunk = dict(list(nodes.items())[start : start + _AT_ONCE])
        expected, got = _run_both(models, list(chunk), inputs)
        compared += _differences(chunk, expected, got)
        first = next((i for i, one in enumerate(compared) if one.leaves(tolerance)), None)
        if first is not None and len(compared) > first + _AFTER:
            break
    return Bisection(graph=graph, tolerance=tolerance, compared=tuple(compared), first=first)


def graph_inputs(reference: Bundle, evidence: Evidence, graph: str) -> dict[str, NDArray[Any]]:
    """What the reference's own graphs ask of `graph` about the first picture."""
    token_ids = Tokenizer().encode(evidence.phrases)
    if graph == "text":
        return {"token_ids": token_ids}
    image = {"image": evidence.images[:1]}
    if graph == "vision":
        return image
    runner = OnnxRuntimeGraphs(reference)
    text = text_features(runner.run_graph("text", {"token_ids": token_ids}))
    prompts = text_only_prompts(text, reference.manifest.model.num_exemplars)
    seen = runner.run_graph("vision", image)
    asked = decoder_inputs(seen, prompts)
    if graph == "decoder":
        return asked
    return exemplar_inputs(reference, seen, runner.run_graph("decoder", asked))


def _load(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(path)
    except Exception as error:  # protobuf's have no class of their own
        raise ExportError(
            f"{path}: expected an ONNX graph, got: {error}; build it again"
        ) from error


def _common_tensors(reference: onnx.ModelProto, candidate: onnx.ModelProto) -> dict[str, Any]:
    """The reference's nodes by the tensor they make, in order, where the candidate makes it too."""
    made = {name for node in candidate.graph.node for name in node.output if name}
    return {
        name: node for node in reference.graph.node for name in node.output if name and name in made
    }


def _run_both(
    models: Sequence[onnx.ModelProto], tensors: list[str], inputs: Mapping[str, NDArray[Any]]
) -> tuple[Mapping[str, NDArray[Any]], Mapping[str, NDArray[Any]]]:
    runners = [
        OnnxrtRunner(
            SessionFromOnnx(BytesFromOnnx(ModifyOutputs(model, outputs=tensors, copy=True)))
        )
        for model in models
    ]
    try:
        with G_LOGGER.verbosity(G_LOGGER.CRITICAL), contextlib.redirect_stdout(None):
            results = Comparator.run(runners, data_loader=[dict(inputs)])
    except Exception as error:  # Polygraphy's and ONNX Runtime's, which share no class
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(
            f"the graphs cannot be run layer by layer: {reason}; compare them whole, without --bisect"
        ) from error
    expected, got = (iterations[0] for _, iterations in results)
    return expected, got


def _differences(
    nodes: Mapping[str, Any], expected: Mapping[str, NDArray[Any]], got: Mapping[str, NDArray[Any]]
) -> Iterator[TensorDifference]:
    for tensor, node in nodes.items():
        wanted, came = expected[tensor], got[tensor]
        if not np.issubdtype(wanted.dtype, np.floating):
            continue
        error = None
        if wanted.shape == came.shape:
            error = output_difference(tensor, wanted, came).relative_l2
        yield TensorDifference(tensor=tensor, node=node.name, op=node.op_type, relative_l2=error)

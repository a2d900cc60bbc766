"""From a traced module to an ONNX file: simplified, typed, only the prompt axis dynamic."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnxsim
import torch

from sam3_edge.engines.contract import NUM_PROMPTS
from sam3_edge.errors import ExportError
from sam3_edge.export.graphs import Graph
from sam3_edge.export.stored_weights import halve_weights

OPSET = 20
MAX_PROMPTS = 64


def write_graph(graph: Graph, path: Path, *, half_weights: bool) -> None:
    """Trace, simplify and check one graph, and write it to `path`.

    half_weights: store large weights that FP16 holds exactly as FP16 behind a Cast, which every
        engine folds at load.
    Raises ExportError if a step fails.
    """
    try:
        model = _simplified(_traced(graph))
        if half_weights:
            halve_weights(model)
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # torch.export, onnxscript and onnxsim each have their own
        raise ExportError(
            f"{path.name}: the graph could not be exported: {error}; "
            "run again with --debug and report it with the preset"
        ) from error
    path.write_bytes(model.SerializeToString())


def _traced(graph: Graph) -> onnx.ModelProto:
    prompts = torch.export.Dim(NUM_PROMPTS, min=1, max=MAX_PROMPTS)
    shapes = {n: ({0: prompts} if n in graph.prompt_axis else None) for n in graph.example}
    with _quiet():
        program = torch.onnx.export(
            graph.module,
            (),
            kwargs=graph.example,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(graph.example),
            output_names=list(graph.outputs),
            dynamic_shapes=shapes,
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    return model


def _simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    simplified, same = onnxsim.simplify(model)
    if not same:
        raise ValueError("onnxsim: expected the simplified graph to compute the same, got another")
    result: onnx.ModelProto = simplified
    return result


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter talks about its insides in warnings and log lines; failures still raise."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

"""One ONNX graph loaded into ONNX Runtime, checked against its manifest entry."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from sam3_edge.engines.manifest import GraphPrecision, GraphSpec, TensorSpec
from sam3_edge.errors import BundleError, EngineError

_NUMPY_NAMES = {"float": "float32", "double": "float64"}


def load_session(path: Path, spec: GraphSpec, num_threads: int) -> onnxruntime.InferenceSession:
    """Raises BundleError if the file cannot be loaded, or has other tensors than `spec`."""
    with onnxruntime_errors(BundleError, f"{path} cannot be loaded", "export the bundle again"):
        session = onnxruntime.InferenceSession(
            os.fspath(path),
            sess_options=_session_options(num_threads, spec.precision),
            providers=["CPUExecutionProvider"],
        )
    _check_tensors(path, session.get_inputs(), spec.inputs)
    _check_tensors(path, session.get_outputs(), spec.outputs)
    return session


class BoundGraph:
    """A graph that reads and writes our own arrays: nothing is copied on the way in or out."""

    def __init__(self, path: Path, spec: GraphSpec, num_threads: int) -> None:
        self._session = load_session(path, spec, num_threads)
        self._binding = self._session.io_binding()
        # The binding may hold bare pointers: these keep the arrays until others are bound.
        self._inputs: dict[str, onnxruntime.OrtValue] = {}
        self._outputs: dict[str, onnxruntime.OrtValue] = {}

    def bind_input(self, name: str, array: NDArray[Any]) -> None:
        """array: in C order, of the tensor's dtype."""
        value = _shared_tensor(array)
        self._binding.bind_ortvalue_input(name, value)
        self._inputs[name] = value

    def bind_output(self, name: str, array: NDArray[Any]) -> None:
        """array: in C order, of the tensor's dtype and of the shape the graph will give."""
        value = _shared_tensor(array)
        self._binding.bind_ortvalue_output(name, value)
        self._outputs[name] = value

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)


def available_processors() -> int:
    """How many this process may use, where the system tells; else how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def onnxruntime_errors(kind: type[EngineError], what: str, advice: str) -> Iterator[None]:
    """Translate: ONNX Runtime's exceptions have no class of their own above Exception."""
    try:
        yield
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise kind(f"{what}: ONNX Runtime says {reason}; {advice}") from error


def _shared_tensor(array: NDArray[Any]) -> onnxruntime.OrtValue:
    assert array.flags.c_contiguous  # otherwise ONNX Runtime would bind a copy
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


def _session_options(num_threads: int, precision: GraphPrecision) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    # Idle engine threads sleep: spinning takes the processors from the other graph, from drawing
    # and decoding. Measured on two busy cores, small layers: 7 ms asleep, 17 to 24 ms spinning.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if precision.arithmetic == "int8" and precision.around == "fp16":
        # Such a graph is TensorRT's: here it is only compared. ONNX Runtime 1.31 fuses Q/DQ over
        # FP16 wrongly (relative L2 error of the default model 0.5 to 1.1; node by node 0.04).
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    return options


def _check_tensors(
    path: Path, found: Sequence[onnxruntime.NodeArg], specs: Sequence[TensorSpec]
) -> None:
    expected = {spec.name: _signature(spec.dtype, spec.shape) for spec in specs}
    got = {node.name: _signature(_numpy_name(node.type), node.shape) for node in found}
    if got != expected:
        name = next(name for name in {**expected, **got} if got.get(name) != expected.get(name))
        raise BundleError(
            f"{path} is not the graph its manifest describes: {name}: expected "
            f"{expected.get(name, 'no such tensor')}, got {got.get(name, 'no such tensor')}; "
            "export the bundle again"
        )


def _signature(dtype: str, shape: Sequence[int | str | None]) -> str:
    """Graphs may give the dynamic axis any name."""
    return f"{dtype} ({', '.join(str(d) if isinstance(d, int) else 'P' for d in shape)})"


def _numpy_name(onnx_type: str) -> str:
    """ "tensor(float)" -> "float32"."""
    name = onnx_type.removeprefix("tensor(").removesuffix(")")
    return _NUMPY_NAMES.get(name, name)

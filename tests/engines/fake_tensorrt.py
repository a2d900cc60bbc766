"""TensorRT's module on the fake GPU. Its engines are ONNX files, run by ONNX Runtime when the fake
GPU gets to them: what the backend makes of them can be compared with ONNX Runtime's own backend.
"""

import math
import weakref
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import onnxruntime

from sam3_edge.engines.tensorrt_api import TensorRT
from sam3_edge.engines.tensorrt_log import TensorRTLog
from sam3_edge.errors import EngineError
from tests.engines.fake_cuda import FakeDevice, as_array

MILLISECONDS = {"vision": 3.0, "decoder": 2.0, "text": 1.0}
_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(uint8)": np.uint8,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


class FakeModule:
    """`import tensorrt`.

    engines, contexts: those alive. fail: the graph whose execution is refused, or fails later
    where `fail_late`. context_bytes: what a context needs.
    """

    __version__ = "10.3.0"

    class DataType:
        FLOAT, HALF, INT8, INT32, INT64, UINT8, BOOL = (
            np.float32, np.float16, np.int8, np.int32, np.int64, np.uint8, np.bool_,
        )  # fmt: skip

    TensorIOMode = SimpleNamespace(INPUT="input", OUTPUT="output")

    class ILogger:
        Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2, INFO=3, VERBOSE=4)

        def log(self, severity: object, message: str) -> None:
            """Overridden by whoever makes one."""

    def __init__(self, device: FakeDevice) -> None:
        self.device = device
        self.engines: weakref.WeakSet[FakeEngine] = weakref.WeakSet()
        self.contexts: weakref.WeakSet[FakeContext] = weakref.WeakSet()
        self.loaded: list[str] = []
        self.addresses: dict[str, dict[str, int]] = {}
        self.fail = ""
        self.fail_late = False
        self.context_bytes = 1000
        self.logger: Any = None

    def Runtime(self, logger: Any) -> "FakeRuntime":  # noqa: N802
        self.logger = logger
        return FakeRuntime(self)

    def complain(self, message: str) -> None:
        self.logger.log(self.ILogger.Severity.ERROR, message)


class FakeRuntime:
    def __init__(self, module: FakeModule) -> None:
        self._module = module

    def deserialize_cuda_engine(self, serialised: bytes) -> "FakeEngine | None":
        try:
            session = _session(serialised)
        except Exception as error:  # whatever ONNX Runtime raises
            self._module.complain(f"cannot deserialise: {type(error).__name__}")
            return None
        self._module.loaded.append(session.get_modelmeta().graph_name)
        return FakeEngine(self._module, session)


class FakeEngine:
    def __init__(self, module: FakeModule, session: onnxruntime.InferenceSession) -> None:
        self.module, self.session = module, session
        self.name: str = session.get_modelmeta().graph_name
        self.device_memory_size_v2 = module.context_bytes
        self._nodes: dict[str, tuple[Any, str]] = {
            **{node.name: (node, "input") for node in session.get_inputs()},
            **{node.name: (node, "output") for node in session.get_outputs()},
        }
        self.num_io_tensors = len(self._nodes)
        module.engines.add(self)

    def get_tensor_name(self, index: int) -> str:
        return list(self._nodes)[index]

    def get_tensor_mode(self, name: str) -> str:
        return self._nodes[name][1]

    def get_tensor_dtype(self, name: str) -> Any:
        return _DTYPES[self._nodes[name][0].type]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(n if isinstance(n, int) else -1 for n in self._nodes[name][0].shape)

    def create_execution_context(self) -> "FakeContext | None":
        if self.module.context_bytes > self.module.device.memory()[0]:
            self.module.complain("out of memory")
            return None
        return FakeContext(self)


class FakeContext:
    """Refuses to be captured before it was executed with its present shapes, and fails where a
    graph is replayed after they changed: TensorRT prepares for a shape in the first execution.
    """

    def __init__(self, engine: FakeEngine) -> None:
        self._engine, self._module = engine, engine.module
        self._addresses: dict[str, int] = {}
        self._shapes = {
            node.name: engine.get_tensor_shape(node.name) for node in engine.session.get_inputs()
        }
        self._warm_shapes: dict[str, tuple[int, ...]] | None = None
        self._module.contexts.add(self)

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert address % 256 == 0
        self._addresses[name] = address
        return address != 0

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        expected = self._engine.get_tensor_shape(name)
        assert all(want in (-1, got) for want, got in zip(expected, shape, strict=True))
        self._shapes[name] = shape
        return True

    def execute_async_v3(self, handle: int) -> bool:
        device, name = self._module.device, self._engine.name
        recording = device.recording is device.streams[handle]
        if self._module.fail == name and not self._module.fail_late:
            self._module.complain("a kernel cannot be launched")
            return False
        if recording and self._shapes != self._warm_shapes:
            self._module.complain("not prepared for these shapes")
            return False
        device.calls.append(f"{'record' if recording else 'enqueue'} {name}")
        self._warm_shapes = dict(self._shapes)
        addresses, shapes = dict(self._addresses), dict(self._shapes)
        self._module.addresses[name] = addresses
        stream = device.streams[handle]

        def execute() -> None:
            assert shapes == self._shapes, "replayed after the context changed its shapes"
            stream.clock_ms += MILLISECONDS[name]
            self._run(addresses, shapes)

        stream.add(execute)
        return True

    def _run(self, addresses: dict[str, int], shapes: dict[str, tuple[int, ...]]) -> None:
        device, session, name = self._module.device, self._engine.session, self._engine.name
        if self._module.fail == name:
            raise EngineError("cudaErrorLaunchFailure")
        device.calls.append(f"execute {name}")
        inputs = {}
        for node in session.get_inputs():
            dtype, shape = np.dtype(_DTYPES[node.type]), shapes[node.name]
            region = device.region(addresses[node.name], math.prod(shape) * dtype.itemsize)
            inputs[node.name] = as_array(region, shape, dtype).copy()
        names = [node.name for node in session.get_outputs()]
        for output, array in zip(names, session.run(names, inputs), strict=True):
            region = device.region(addresses[output], array.nbytes)
            as_array(region, array.shape, array.dtype)[...] = array


def fake_tensorrt(device: FakeDevice) -> tuple[TensorRT, FakeModule]:
    module = FakeModule(device)
    native = cast(Any, module)
    return (
        TensorRT(
            kind="tensorrt", version=module.__version__, module=native, log=TensorRTLog(native)
        ),
        module,
    )


@lru_cache
def _session(serialised: bytes) -> onnxruntime.InferenceSession:
    """Once for each file: the same bytes are loaded thousands of times."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        serialised, sess_options=options, providers=["CPUExecutionProvider"]
    )

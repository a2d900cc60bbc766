"""A TensorRT engine in memory, and the contexts that execute it."""

from dataclasses import dataclass
from pathlib import Path

from sam3_edge.engines.contract import NUM_PROMPTS
from sam3_edge.engines.tensorrt_log import TensorRTLog
from sam3_edge.engines.tensorrt_types import Context, Engine, Module, Runtime
from sam3_edge.errors import EngineError


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTensor:
    """dtype: NumPy's name. shape: "P" where the number of prompts stands."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    is_input: bool


class EngineContext:
    """One execution at a time: an engine with several in flight needs several contexts."""

    def __init__(self, native: Context, source: Path, log: TensorRTLog) -> None:
        self._native: Context | None = native
        self._source = source
        self._log = log

    def set_address(self, name: str, address: int) -> None:
        """address: on the device, of a buffer that is large enough for the tensor's shape."""
        context = self._open()
        if not context.set_tensor_address(name, address):
            raise self._refused(f"{name}: address {address:#x}")

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        context = self._open()
        if not context.set_input_shape(name, shape):
            raise self._refused(f"{name}: shape {shape}")

    def enqueue(self, stream: int) -> None:
        """stream: a CUDA stream's handle. Returns before the work is done."""
        context = self._open()
        if not context.execute_async_v3(stream):
            raise self._refused("execution")

    def close(self) -> None:
        self._native = None

    def _open(self) -> Context:
        if self._native is None:
            raise EngineError(f"{self._source}: expected an open context, got one that is closed")
        self._log.forget_errors()
        return self._native

    def _refused(self, what: str) -> EngineError:
        return EngineError(
            f"{self._source}: TensorRT refused {what}: {self._log.last_errors}; "
            "check free memory, or build the bundle again on this device"
        )


class LoadedEngine:
    """tensors: inputs and outputs, in the engine's order.

    device_memory_bytes: what one context needs beside weights, inputs and outputs.
    """

    def __init__(
        self, native: Engine, runtime: Runtime, source: Path, log: TensorRTLog, module: Module
    ) -> None:
        self.tensors = _tensors(native, module, source)
        self.device_memory_bytes = native.device_memory_size_v2
        self._native: Engine | None = native
        self._runtime: Runtime | None = runtime  # must outlive the engine
        self._source = source
        self._log = log

    def create_context(self) -> EngineContext:
        """Raises EngineError, for want of memory most of the time."""
        if self._native is None:
            raise EngineError(f"{self._source}: expected an open engine, got one that is closed")
        self._log.forget_errors()
        context = self._native.create_execution_context()
        if context is None:
            raise EngineError(
                f"{self._source}: TensorRT cannot make a context of "
                f"{self.device_memory_bytes / 1e6:.0f} MB: {self._log.last_errors}; free memory, "
                "or build with fewer prompts"
            )
        return EngineContext(context, self._source, self._log)

    def close(self) -> None:
        """Close its contexts first."""
        self._native = None
        self._runtime = None


def _tensors(engine: Engine, module: Module, source: Path) -> tuple[EngineTensor, ...]:
    dtypes = {
        module.DataType.FLOAT: "float32",
        module.DataType.HALF: "float16",
        module.DataType.INT8: "int8",
        module.DataType.INT32: "int32",
        module.DataType.INT64: "int64",
        module.DataType.UINT8: "uint8",
        module.DataType.BOOL: "bool",
    }
    found = []
    for name in map(engine.get_tensor_name, range(engine.num_io_tensors)):
        dtype = engine.get_tensor_dtype(name)
        if dtype not in dtypes:
            raise EngineError(
                f"{source}: {name}: expected one of {', '.join(dtypes.values())}, got {dtype}; "
                "build the bundle again on this device"
            )
        shape = tuple(NUM_PROMPTS if n < 0 else n for n in engine.get_tensor_shape(name))
        is_input = engine.get_tensor_mode(name) == module.TensorIOMode.INPUT
        found.append(EngineTensor(name=name, dtype=dtypes[dtype], shape=shape, is_input=is_input))
    return tuple(found)

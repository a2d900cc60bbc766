"""CUDA through cuda-python, NVIDIA's own bindings of the runtime API.

Every function returns a tuple, the error first. `cuda.bindings.runtime` 12.6 to 13 and the older
`cuda.cudart` agree in all that is used here.
API: https://nvidia.github.io/cuda-python/cuda-bindings/latest/module/runtime.html
"""

import ctypes
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3_edge.engines.cuda_device import (
    CudaEvent,
    CudaStream,
    log,
    out_of_memory,
    version_text,
)
from sam3_edge.errors import EngineError

_ADVICE = {
    "cudaErrorNoDevice": "check that a GPU is there and that CUDA_VISIBLE_DEVICES does not hide it",
    "cudaErrorInsufficientDriver": (
        "check that NVIDIA's driver is installed and not older than cuda-python: on JetPack 6 "
        "`pip install 'cuda-python<13'`"
    ),
    "cudaErrorStreamCaptureUnsupported": "run without CUDA graphs",
    "cudaErrorStreamCaptureInvalidated": "run without CUDA graphs",
}
_DEFAULT_ADVICE = "start the program again; if it comes back, build the engine again"


class CudaPythonDevice:
    """`CudaDevice` of cuda-python: device 0, whose primary context TensorRT uses too."""

    can_capture = True

    def __init__(self, runtime: ModuleType) -> None:
        """runtime: the module `cuda.bindings.runtime` or `cuda.cudart`."""
        self._cuda = _CheckedCalls(runtime)
        if self._cuda("cudaGetDeviceCount") == 0:
            raise EngineError("expected a GPU, got none; check CUDA_VISIBLE_DEVICES")
        self._cuda("cudaSetDevice", 0)
        properties = self._cuda("cudaGetDeviceProperties", 0)
        self.name = properties.name.split(b"\0")[0].decode()
        self.compute_capability = f"{properties.major}.{properties.minor}"
        self.driver_version = version_text(self._cuda("cudaDriverGetVersion"))
        self.integrated = bool(properties.integrated)

    def memory(self) -> tuple[int, int]:
        free, total = self._cuda("cudaMemGetInfo")
        return int(free), int(total)

    def allocate(self, num_bytes: int, what: str) -> "CudaPythonMemory":
        return CudaPythonMemory(self._cuda, self._allocate(what, "cudaMalloc", num_bytes))

    def allocate_host(self, num_bytes: int, what: str, *, mapped: bool) -> "CudaPythonHostMemory":
        runtime = self._cuda.runtime
        flags = runtime.cudaHostAllocMapped if mapped else runtime.cudaHostAllocDefault
        pointer = self._allocate(what, "cudaHostAlloc", num_bytes, flags)
        return CudaPythonHostMemory(self._cuda, pointer, num_bytes, mapped)

    def create_stream(self) -> "CudaPythonStream":
        return CudaPythonStream(self._cuda)

    def create_event(self) -> "CudaPythonEvent":
        return CudaPythonEvent(self._cuda)

    def close(self) -> None:
        """Nothing: the primary context belongs to the process."""

    def _allocate(self, what: str, function: str, num_bytes: int, *flags: int) -> int:
        error, value = self._cuda.unchecked(function, max(num_bytes, 1), *flags)
        if error == self._cuda.runtime.cudaError_t.cudaErrorMemoryAllocation:
            raise out_of_memory(what, num_bytes, *self.memory())
        self._cuda.check(function, error)
        return int(value)


class CudaPythonMemory:
    def __init__(self, cuda: "_CheckedCalls", address: int) -> None:
        self.address = address
        self._release = weakref.finalize(self, cuda.release, "cudaFree", address)

    def close(self) -> None:
        self._release()


class CudaPythonHostMemory:
    def __init__(self, cuda: "_CheckedCalls", pointer: int, num_bytes: int, mapped: bool) -> None:
        block = (ctypes.c_uint8 * num_bytes).from_address(pointer)
        # Every view of the array keeps `block`, and `block` keeps the memory.
        weakref.finalize(block, cuda.release, "cudaFreeHost", pointer).atexit = False
        self.array: NDArray[np.uint8] = np.frombuffer(memoryview(block), dtype=np.uint8)
        self.address = int(cuda("cudaHostGetDevicePointer", pointer, 0)) if mapped else 0

    def close(self) -> None:
        self.array = np.empty(0, dtype=np.uint8)


class CudaPythonStream:
    def __init__(self, cuda: "_CheckedCalls") -> None:
        self._cuda = cuda
        self.handle = int(cuda("cudaStreamCreateWithFlags", cuda.runtime.cudaStreamNonBlocking))
        self._release = weakref.finalize(self, cuda.release, "cudaStreamDestroy", self.handle)

    def upload(self, address: int, array: NDArray[np.uint8]) -> None:
        self._copy(address, array.ctypes.data, array.nbytes, "cudaMemcpyHostToDevice")

    def download(self, array: NDArray[np.uint8], address: int) -> None:
        self._copy(array.ctypes.data, address, array.nbytes, "cudaMemcpyDeviceToHost")

    def fill(self, address: int, value: int, num_bytes: int) -> None:
        self._cuda("cudaMemsetAsync", address, value, num_bytes, self.handle)

    def capture(self, enqueue: Callable[[], None]) -> "CudaPythonGraph":
        # Thread-local: text may be encoded on another thread, which allocates.
        mode = self._cuda.runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._cuda("cudaStreamBeginCapture", self.handle, mode)
        try:
            enqueue()
        except BaseException:
            _, graph = self._cuda.unchecked("cudaStreamEndCapture", self.handle)
            self._discard(graph)
            raise
        graph = self._end_capture()
        try:
            return CudaPythonGraph(self._cuda, graph)
        finally:
            self._discard(graph)

    def synchronise(self) -> None:
        self._cuda("cudaStreamSynchronize", self.handle)

    def close(self) -> None:
        self._release()

    def _copy(self, target: int, source: int, num_bytes: int, kind: str) -> None:
        kind = getattr(self._cuda.runtime.cudaMemcpyKind, kind)
        self._cuda("cudaMemcpyAsync", target, source, num_bytes, kind, self.handle)

    def _end_capture(self) -> Any:
        try:
            return self._cuda("cudaStreamEndCapture", self.handle)
        except EngineError:
            self._cuda.unchecked("cudaGetLastError")  # or the next launch would report it again
            raise

    def _discard(self, graph: Any) -> None:
        """The recording; what was made executable from it stays. None or 0 where it was broken."""
        if graph is not None and int(graph) != 0:
            self._cuda.release("cudaGraphDestroy", graph)


class CudaPythonGraph:
    def __init__(self, cuda: "_CheckedCalls", graph: Any) -> None:
        self._cuda = cuda
        self._executable = cuda("cudaGraphInstantiate", graph, 0)
        self._release = weakref.finalize(
            self, cuda.release, "cudaGraphExecDestroy", self._executable
        )

    def launch(self, stream: CudaStream) -> None:
        self._cuda("cudaGraphLaunch", self._executable, stream.handle)

    def close(self) -> None:
        self._release()


class CudaPythonEvent:
    def __init__(self, cuda: "_CheckedCalls") -> None:
        self._cuda = cuda
        self.event = cuda("cudaEventCreateWithFlags", cuda.runtime.cudaEventBlockingSync)
        self._release = weakref.finalize(self, cuda.release, "cudaEventDestroy", self.event)

    def record(self, stream: CudaStream) -> None:
        self._cuda("cudaEventRecord", self.event, stream.handle)

    def wait(self) -> None:
        self._cuda("cudaEventSynchronize", self.event)

    def milliseconds_since(self, earlier: CudaEvent) -> float:
        assert isinstance(earlier, CudaPythonEvent)
        return float(self._cuda("cudaEventElapsedTime", earlier.event, self.event))

    def close(self) -> None:
        self._release()


class _CheckedCalls:
    """Calls functions of the runtime by name; an error code becomes an EngineError."""

    def __init__(self, runtime: ModuleType) -> None:
        self.runtime: Any = runtime

    def __call__(self, function: str, *arguments: Any) -> Any:
        """What it returns after the error: nothing, a value, or a tuple of several."""
        error, *values = self._call(function, arguments)
        self.check(function, error)
        return values[0] if len(values) == 1 else tuple(values)

    def unchecked(self, function: str, *arguments: Any) -> tuple[Any, Any]:
        """The error and the first value, for those who expect one."""
        error, *values = self._call(function, arguments)
        return error, values[0] if values else None

    def check(self, function: str, error: Any) -> None:
        if error == self.runtime.cudaError_t.cudaSuccess:
            return
        name = getattr(error, "name", f"error {error}")
        advice = _ADVICE.get(name, _DEFAULT_ADVICE)
        raise EngineError(f"{function} failed: CUDA says {name}{self._meaning(error)}; {advice}")

    def release(self, function: str, handle: Any) -> None:
        """After a failed kernel nothing can be freed: said, but no reason to keep the rest."""
        error, _ = self.unchecked(function, handle)
        if error != self.runtime.cudaError_t.cudaSuccess:
            log.warning("%s failed: CUDA says %s", function, getattr(error, "name", error))

    def _call(self, function: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        try:
            result: tuple[Any, ...] = getattr(self.runtime, function)(*arguments)
        except RuntimeError as error:  # no driver to load, or one without this function
            raise EngineError(
                f"{function} failed: cuda-python says {error}; check that NVIDIA's driver is "
                "installed and not older than cuda-python"
            ) from error
        return result

    def _meaning(self, error: Any) -> str:
        """ " (out of memory)", or nothing for a code these bindings do not know."""
        failure, text = self.unchecked("cudaGetErrorString", error)
        known = failure == self.runtime.cudaError_t.cudaSuccess and text
        return f" ({text.decode()})" if known else ""

"""What the engines need of CUDA: memory, streams, events and graphs, whatever the bindings.

cuda-python is preferred. pycuda serves where it is what is installed, but it cannot capture graphs.
"""

import importlib
import logging
from collections.abc import Callable
from types import ModuleType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sam3_edge.errors import EngineError

INSTALL_ADVICE = (
    "install them: on JetPack 6 `pip install 'cuda-python<13'`, on JetPack 7 "
    "`pip install cuda-python`, on a PC `pip install 'sam3-edge[tensorrt]'`"
)
# The newer name first: importing the older one from a release that has both warns.
_CUDA_PYTHON_NAMES = ("cuda.bindings.runtime", "cuda.cudart")

log = logging.getLogger("sam3_edge.cuda")


class DeviceMemory(Protocol):
    """Memory of the GPU. address: what kernels are given, aligned to 256 bytes or more."""

    address: int

    def close(self) -> None:
        """Give it back. Safe to call twice, here and in every class below."""


class HostMemory(Protocol):
    """Pinned memory of the processor.

    array: (num_bytes,) uint8. A view that is still held when this is closed keeps the memory, so
        that a late writer meets no freed memory; it goes back with the last view.
    address: where the GPU sees the same bytes; 0 unless they were mapped.
    """

    array: NDArray[np.uint8]
    address: int

    def close(self) -> None: ...


class CudaGraph(Protocol):
    """Recorded work that replays with the addresses and shapes it was recorded with."""

    def launch(self, stream: "CudaStream") -> None: ...

    def close(self) -> None: ...


class CudaStream(Protocol):
    """A queue of the GPU's work, executed in order. handle: cudaStream_t as a number.

    `upload`, `download` and `fill` return before they are done; host arrays are pinned, C-ordered
    and left alone until then.
    """

    handle: int

    def upload(self, address: int, array: NDArray[np.uint8]) -> None:
        """Copy the whole array to the GPU."""

    def download(self, array: NDArray[np.uint8], address: int) -> None:
        """Fill the whole array from the GPU."""

    def fill(self, address: int, value: int, num_bytes: int) -> None:
        """value: 0..255, for every byte."""

    def capture(self, enqueue: Callable[[], None]) -> CudaGraph:
        """Record what `enqueue` queues here, without executing it.

        Raises EngineError if something in it cannot be recorded; the stream is usable all the same.
        """

    def synchronise(self) -> None:
        """Wait for everything queued. Raises EngineError if any of it failed."""

    def close(self) -> None: ...


class CudaEvent(Protocol):
    """A point in a stream. Waiting sleeps, it does not spin: the processor has other work."""

    def record(self, stream: CudaStream) -> None: ...

    def wait(self) -> None:
        """Until the stream got here. Raises EngineError if the work before it failed."""

    def milliseconds_since(self, earlier: "CudaEvent") -> float:
        """Both must have been waited for."""

    def close(self) -> None: ...


class CudaDevice(Protocol):
    """The first GPU this process may use.

    compute_capability: e.g. "8.7". driver_version: the newest CUDA the driver knows, e.g. "12.6".
    integrated: shares the processor's memory, as on every Jetson.
    can_capture: whether the bindings offer `CudaStream.capture`.
    Every call may raise EngineError; `what` names the memory in that of too little.
    """

    name: str
    compute_capability: str
    driver_version: str
    integrated: bool
    can_capture: bool

    def memory(self) -> tuple[int, int]:
        """Free and total bytes."""

    def allocate(self, num_bytes: int, what: str) -> DeviceMemory: ...

    def allocate_host(self, num_bytes: int, what: str, *, mapped: bool) -> HostMemory: ...

    def create_stream(self) -> CudaStream: ...

    def create_event(self) -> CudaEvent: ...

    def close(self) -> None:
        """After everything made with it."""


def open_device() -> CudaDevice:
    """Raises EngineError: no bindings installed, no driver, no GPU."""
    runtime = find_module(_CUDA_PYTHON_NAMES)
    if runtime is not None:
        from sam3_edge.engines.cuda_python_device import CudaPythonDevice

        return CudaPythonDevice(runtime)
    driver = find_module(("pycuda.driver",))
    if driver is not None:
        from sam3_edge.engines.pycuda_device import PycudaDevice

        return PycudaDevice(driver)
    raise EngineError(f"expected Python bindings of CUDA, got none; {INSTALL_ADVICE}")


def find_module(names: tuple[str, ...]) -> ModuleType | None:
    """The first that is installed. EngineError for one that is there and cannot be loaded."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        except ImportError as error:
            raise EngineError(
                f"{name} cannot be loaded: {error}; check that NVIDIA's driver is installed"
            ) from error
    return None


def out_of_memory(what: str, needed: int, free: int, total: int) -> EngineError:
    """needed, free, total: bytes."""
    return EngineError(
        f"too little GPU memory for {what}: expected {_mib(needed)} free, got {_mib(free)} of "
        f"{_mib(total)}; end other programs, or build the bundle again with fewer --prompts, in "
        "fp16 or int8, or from a model with smaller images"
    )


def version_text(number: int) -> str:
    """CUDA's number for a version, 12060, as people write it, "12.6"."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:.1f} MiB"

"""CUDA through pycuda, for installations that have it: everything but graphs.

API: https://documen.tician.de/pycuda/driver.html. A context is current on the thread that made
it only, and text may be encoded on another: every call makes the primary context current.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from sam3_edge.engines.cuda_device import CudaEvent, CudaStream, out_of_memory, version_text
from sam3_edge.errors import EngineError

_ADVICE = "start the program again; if it comes back, build the engine again"


class PycudaDevice:
    """`CudaDevice` of pycuda: device 0, whose primary context TensorRT uses too."""

    can_capture = False

    def __init__(self, driver: ModuleType) -> None:
        """driver: the module `pycuda.driver`."""
        self._cuda = _CurrentContext(driver)
        device = self._cuda.device
        attributes = self._cuda.driver.device_attribute
        self.name: str = device.name()
        self.compute_capability = "{}.{}".format(*device.compute_capability())
        self.driver_version = version_text(self._cuda.driver.get_driver_version())
        self.integrated = bool(device.get_attribute(attributes.INTEGRATED))

    def memory(self) -> tuple[int, int]:
        with self._cuda.calls("mem_get_info") as driver:
            free, total = driver.mem_get_info()
        return int(free), int(total)

    def allocate(self, num_bytes: int, what: str) -> "PycudaMemory":
        with self._memory_for(what, num_bytes), self._cuda.calls("mem_alloc") as driver:
            return PycudaMemory(self._cuda, driver.mem_alloc(max(num_bytes, 1)))

    def allocate_host(self, num_bytes: int, what: str, *, mapped: bool) -> "PycudaHostMemory":
        with self._memory_for(what, num_bytes), self._cuda.calls("pagelocked_empty") as driver:
            flags = driver.host_alloc_flags.DEVICEMAP if mapped else 0
            array = driver.pagelocked_empty(num_bytes, np.uint8, mem_flags=flags)
            return PycudaHostMemory(array, int(array.base.get_device_pointer()) if mapped else 0)

    def create_stream(self) -> "PycudaStream":
        return PycudaStream(self._cuda)

    def create_event(self) -> "PycudaEvent":
        return PycudaEvent(self._cuda)

    def close(self) -> None:
        self._cuda.close()

    @contextmanager
    def _memory_for(self, what: str, num_bytes: int) -> Iterator[None]:
        try:
            yield
        except EngineError as error:
            if isinstance(error.__cause__, self._cuda.driver.MemoryError):
                raise out_of_memory(what, num_bytes, *self.memory()) from error
            raise


class PycudaMemory:
    def __init__(self, cuda: "_CurrentContext", allocation: Any) -> None:
        self._cuda, self._allocation = cuda, allocation
        self.address = int(allocation)

    def close(self) -> None:
        allocation, self._allocation = self._allocation, None
        if allocation is not None:
            with self._cuda.calls("mem_free"):
                allocation.free()


class PycudaHostMemory:
    """pycuda frees the memory with the last view of it."""

    def __init__(self, array: NDArray[np.uint8], address: int) -> None:
        self.array, self.address = array, address

    def close(self) -> None:
        self.array = np.empty(0, dtype=np.uint8)


class PycudaStream:
    def __init__(self, cuda: "_CurrentContext") -> None:
        self._cuda = cuda
        with cuda.calls("stream_create") as driver:
            self.stream = driver.Stream()
            self.handle = int(self.stream.handle)

    def upload(self, address: int, array: NDArray[np.uint8]) -> None:
        with self._cuda.calls("memcpy_htod_async") as driver:
            driver.memcpy_htod_async(address, array, self.stream)

    def download(self, array: NDArray[np.uint8], address: int) -> None:
        with self._cuda.calls("memcpy_dtoh_async") as driver:
            driver.memcpy_dtoh_async(array, address, self.stream)

    def fill(self, address: int, value: int, num_bytes: int) -> None:
        with self._cuda.calls("memset_d8_async") as driver:
            driver.memset_d8_async(address, value, num_bytes, self.stream)

    def capture(self, enqueue: Callable[[], None]) -> NoReturn:
        del enqueue  # never called
        raise EngineError(
            "expected bindings that can capture CUDA graphs, got pycuda; install cuda-python"
        )

    def synchronise(self) -> None:
        with self._cuda.calls("stream_synchronize"):
            self.stream.synchronize()

    def close(self) -> None:
        """pycuda destroys it with its last reference."""
        with self._cuda.calls("stream_destroy"):
            self.stream = None


class PycudaEvent:
    def __init__(self, cuda: "_CurrentContext") -> None:
        self._cuda = cuda
        with cuda.calls("event_create") as driver:
            self.event = driver.Event(driver.event_flags.BLOCKING_SYNC)

    def record(self, stream: CudaStream) -> None:
        assert isinstance(stream, PycudaStream)
        with self._cuda.calls("event_record"):
            self.event.record(stream.stream)

    def wait(self) -> None:
        with self._cuda.calls("event_synchronize"):
            self.event.synchronize()

    def milliseconds_since(self, earlier: CudaEvent) -> float:
        assert isinstance(earlier, PycudaEvent)
        with self._cuda.calls("event_elapsed_time"):
            return float(self.event.time_since(earlier.event))

    def close(self) -> None:
        """pycuda destroys it with its last reference."""
        with self._cuda.calls("event_destroy"):
            self.event = None


class _CurrentContext:
    """The primary context of the first GPU, current on whatever thread calls."""

    def __init__(self, driver: ModuleType) -> None:
        self.driver: Any = driver
        with self._translated("init"):
            driver.init()
            if driver.Device.count() == 0:
                raise EngineError("expected a GPU, got none; check CUDA_VISIBLE_DEVICES")
            self.device = driver.Device(0)
            self._context = self.device.retain_primary_context()

    @contextmanager
    def calls(self, function: str) -> Iterator[Any]:
        """Gives the driver module; its exceptions become EngineErrors that name the function."""
        with self._translated(function):
            self._context.push()
            try:
                yield self.driver
            finally:
                self.driver.Context.pop()

    def close(self) -> None:
        context, self._context = self._context, None
        if context is not None:
            context.detach()

    @contextmanager
    def _translated(self, function: str) -> Iterator[None]:
        try:
            yield
        except self.driver.Error as error:
            raise EngineError(f"{function} failed: pycuda says {error}; {_ADVICE}") from error

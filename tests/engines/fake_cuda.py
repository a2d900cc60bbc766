"""A GPU made of NumPy arrays: nothing queued happens before somebody waits for it.

So a missing wait, a buffer written too early or freed too soon shows as a wrong result. A captured
graph replays the addresses it was captured with.
"""

import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3_edge.engines.cuda_device import CudaEvent, CudaGraph, CudaStream, out_of_memory
from sam3_edge.errors import EngineError

_UNWRITTEN, _FREED = 0xCD, 0xDD


class FakeDevice:
    """`CudaDevice`.

    calls: what was asked for, in order: "upload", "download", "capture", "launch" and what the fake
        TensorRT adds. live: everything not closed. fail_allocation: the number of the allocation
        that finds no memory, from 0. fail_capture: whether capturing fails.
    """

    name = "Fake GPU"
    compute_capability = "8.7"
    driver_version = "12.6"

    def __init__(
        self, *, integrated: bool = False, can_capture: bool = True, total_bytes: int = 1 << 24
    ) -> None:
        self.integrated = integrated
        self.can_capture = can_capture
        self.total_bytes = total_bytes
        self.used_bytes = 0
        self.calls: list[str] = []
        self.live: list[object] = []
        self.streams: dict[int, FakeStream] = {}
        self.recording: FakeStream | None = None
        self.fail_allocation: int | None = None
        self.num_allocations = 0
        self.fail_capture = False
        self.num_closed = 0
        self._regions: dict[int, NDArray[np.uint8]] = {}
        self._addresses = itertools.count(0x10000, 0x1000000)

    def memory(self) -> tuple[int, int]:
        return self.total_bytes - self.used_bytes, self.total_bytes

    def allocate(self, num_bytes: int, what: str) -> "FakeMemory":
        return FakeMemory(self, self._storage(num_bytes, what), mapped=True)

    def allocate_host(self, num_bytes: int, what: str, *, mapped: bool) -> "FakeMemory":
        return FakeMemory(self, self._storage(num_bytes, what), mapped=mapped)

    def create_stream(self) -> "FakeStream":
        return FakeStream(self)

    def create_event(self) -> "FakeEvent":
        return FakeEvent(self)

    def close(self) -> None:
        self.num_closed += 1

    def region(self, address: int, num_bytes: int) -> NDArray[np.uint8]:
        """What kernels see at an address. EngineError where nothing is, as CUDA has it."""
        region = self._regions.get(address)
        if region is None or len(region) < num_bytes:
            raise EngineError(f"illegal address {address:#x} for {num_bytes} bytes")
        return region[:num_bytes]

    def map(self, region: NDArray[np.uint8]) -> int:
        address = next(self._addresses)
        self._regions[address] = region
        return address

    def unmap(self, address: int) -> None:
        self._regions.pop(address, None)

    def _storage(self, num_bytes: int, what: str) -> NDArray[np.uint8]:
        if self.recording is not None:
            raise EngineError("allocating is not permitted while a stream is captured")
        number, self.num_allocations = self.num_allocations, self.num_allocations + 1
        free, total = self.memory()
        if number == self.fail_allocation or num_bytes > free:
            raise out_of_memory(what, num_bytes, free, total)
        self.used_bytes += num_bytes
        return np.full(num_bytes, _UNWRITTEN, dtype=np.uint8)


class _Closable:
    def __init__(self, device: FakeDevice) -> None:
        self.device = device
        self.closed = False
        device.live.append(self)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.device.live.remove(self)
            self.release()

    def release(self) -> None:
        pass

    def check_open(self) -> None:
        if self.closed:
            raise EngineError(f"{type(self).__name__} was used after it was closed")


class FakeMemory(_Closable):
    """`DeviceMemory` and `HostMemory`: `address` is 0 for pinned memory that is not mapped."""

    def __init__(self, device: FakeDevice, storage: NDArray[np.uint8], *, mapped: bool) -> None:
        super().__init__(device)
        self.array = storage
        self.address = device.map(storage) if mapped else 0

    def release(self) -> None:
        self.device.unmap(self.address)
        self.device.used_bytes -= self.array.nbytes
        self.array[...] = _FREED


class FakeStream(_Closable):
    """clock_ms: the time of this stream; work queued on it advances it."""

    _handles = itertools.count(1)

    def __init__(self, device: FakeDevice) -> None:
        super().__init__(device)
        self.handle = next(self._handles)
        device.streams[self.handle] = self
        self.clock_ms = 0.0
        self.num_queued = 0
        self.recorded: list[Callable[[], None]] = []
        self._queue: deque[Callable[[], None]] = deque()

    def upload(self, address: int, array: NDArray[np.uint8]) -> None:
        self.device.calls.append("upload")

        def copy() -> None:
            self.device.region(address, array.nbytes)[...] = array

        self.add(copy)

    def download(self, array: NDArray[np.uint8], address: int) -> None:
        self.device.calls.append("download")

        def copy() -> None:
            array[...] = self.device.region(address, array.nbytes)

        self.add(copy)

    def fill(self, address: int, value: int, num_bytes: int) -> None:
        self.add(lambda: self.device.region(address, num_bytes).fill(value))

    def capture(self, enqueue: Callable[[], None]) -> CudaGraph:
        self.device.calls.append("capture")
        self.device.recording, self.recorded = self, []
        try:
            enqueue()
            if self.device.fail_capture:
                raise EngineError("something here cannot be captured")
        finally:
            self.device.recording = None
        work, self.recorded = self.recorded, []
        return FakeGraph(self.device, work)

    def synchronise(self) -> None:
        if self.device.recording is self:
            raise EngineError("waiting is not permitted while a stream is captured")
        self.run_until(self.num_queued)

    def add(self, work: Callable[[], None]) -> None:
        """Queue, or record, some work."""
        self.check_open()
        if self.device.recording is self:
            self.recorded.append(work)
            return
        self._queue.append(work)
        self.num_queued += 1

    def run_until(self, number: int) -> None:
        """Execute what was queued, as far as the `number`-th ever; nothing comes after a failure."""
        try:
            while self._queue and self.num_queued - len(self._queue) < number:
                self._queue.popleft()()
        except EngineError:
            self._queue.clear()
            raise

    def release(self) -> None:
        assert not self._queue, "a stream was closed with work in it"
        del self.device.streams[self.handle]


class FakeGraph(_Closable):
    def __init__(self, device: FakeDevice, work: list[Callable[[], None]]) -> None:
        super().__init__(device)
        self._work = work

    def launch(self, stream: CudaStream) -> None:
        self.check_open()
        assert isinstance(stream, FakeStream)
        self.device.calls.append("launch")
        for work in self._work:
            stream.add(work)

    def release(self) -> None:
        self._work = []


class FakeEvent(_Closable):
    def __init__(self, device: FakeDevice) -> None:
        super().__init__(device)
        self._stream: FakeStream | None = None
        self._number = 0
        self.time_ms: float | None = None

    def record(self, stream: CudaStream) -> None:
        self.check_open()
        assert isinstance(stream, FakeStream)
        assert self.device.recording is None, "an event with a time cannot be captured"
        self.time_ms = None
        stream.add(lambda: setattr(self, "time_ms", stream.clock_ms))
        self._stream, self._number = stream, stream.num_queued

    def wait(self) -> None:
        self.check_open()
        if self._stream is not None:
            self._stream.run_until(self._number)

    def milliseconds_since(self, earlier: CudaEvent) -> float:
        assert isinstance(earlier, FakeEvent)
        if self.time_ms is None or earlier.time_ms is None:
            raise EngineError("cudaErrorNotReady")
        return self.time_ms - earlier.time_ms


def as_array(region: NDArray[np.uint8], shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    array: NDArray[Any] = region.view(dtype).reshape(shape)
    return array

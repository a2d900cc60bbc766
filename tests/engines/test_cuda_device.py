"""The CUDA file over stand-ins for its bindings: what is called, in which order, with what."""

import ctypes
import enum
import gc
import importlib
import itertools
import re
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from sam3_edge.engines.cuda_device import CudaDevice, find_module, open_device, version_text
from sam3_edge.engines.cuda_python_device import CudaPythonDevice
from sam3_edge.engines.pycuda_device import PycudaDevice
from sam3_edge.errors import EngineError


class Error(enum.IntEnum):
    cudaSuccess = 0  # noqa: N815
    cudaErrorMemoryAllocation = 2  # noqa: N815
    cudaErrorInsufficientDriver = 35  # noqa: N815
    cudaErrorNoDevice = 100  # noqa: N815
    cudaErrorLaunchFailure = 719  # noqa: N815
    cudaErrorStreamCaptureInvalidated = 901  # noqa: N815


# Parameters as in the documentation of cuda.bindings, and what comes after the error.
FUNCTIONS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "cudaGetDeviceCount": ("", (1,)),
    "cudaSetDevice": ("device", ()),
    "cudaGetDeviceProperties": (
        "device",
        (SimpleNamespace(name=b"Orin\0\0", major=8, minor=7, integrated=1),),
    ),
    "cudaDriverGetVersion": ("", (12060,)),
    "cudaMemGetInfo": ("", (3 << 20, 8 << 20)),
    "cudaMalloc": ("size", (0x1000,)),
    "cudaFree": ("devPtr", ()),
    "cudaHostAlloc": ("size flags", (0,)),
    "cudaFreeHost": ("ptr", ()),
    "cudaHostGetDevicePointer": ("pHost flags", (0x2000,)),
    "cudaStreamCreateWithFlags": ("flags", (77,)),
    "cudaStreamSynchronize": ("stream", ()),
    "cudaStreamDestroy": ("stream", ()),
    "cudaMemcpyAsync": ("dst src count kind stream", ()),
    "cudaMemsetAsync": ("devPtr value count stream", ()),
    "cudaStreamBeginCapture": ("stream mode", ()),
    "cudaStreamEndCapture": ("stream", (88,)),
    "cudaGraphInstantiate": ("graph flags", (99,)),
    "cudaGraphLaunch": ("graphExec stream", ()),
    "cudaGraphDestroy": ("graph", ()),
    "cudaGraphExecDestroy": ("graphExec", ()),
    "cudaEventCreateWithFlags": ("flags", (0,)),
    "cudaEventRecord": ("event stream", ()),
    "cudaEventSynchronize": ("event", ()),
    "cudaEventElapsedTime": ("start end", (1.5,)),
    "cudaEventDestroy": ("event", ()),
    "cudaGetErrorString": ("error", (b"some words",)),
    "cudaGetLastError": ("", ()),
}


class FakeRuntime:
    """`cuda.bindings.runtime`: every function returns a tuple, the error first.

    fail: the error of a function by name. results: what it returns instead of the table's.
    calls: names and arguments, in order. blocks: pinned memory by address.
    """

    cudaError_t = Error  # noqa: N815
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)  # noqa: N815
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)  # noqa: N815
    cudaHostAllocDefault, cudaHostAllocMapped = 0, 2  # noqa: N815
    cudaEventBlockingSync, cudaStreamNonBlocking = 1, 1  # noqa: N815

    def __init__(self) -> None:
        self.fail: dict[str, int] = {}
        self.results: dict[str, Any] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.blocks: dict[int, Any] = {}
        self._events = itertools.count(55)

    def count(self, name: str) -> int:
        return [call[0] for call in self.calls].count(name)

    def __getattr__(self, name: str) -> Any:
        parameters, values = FUNCTIONS[name]

        def call(*arguments: Any) -> tuple[Any, ...]:
            assert len(arguments) == len(parameters.split()), f"{name}({parameters})"
            self.calls.append((name, *arguments))
            if name in self.fail:
                code = self.fail[name]
                known = code in list(Error)
                return (Error(code) if known else code, *(None for _ in values))
            return (Error.cudaSuccess, *self._values(name, arguments, values))

        return call

    def _values(self, name: str, arguments: Any, values: Any) -> tuple[Any, ...]:
        if name == "cudaHostAlloc":
            block = (ctypes.c_uint8 * arguments[0])()
            self.blocks[ctypes.addressof(block)] = block
            return (ctypes.addressof(block),)
        if name == "cudaFreeHost":
            del self.blocks[arguments[0]]
        if name == "cudaEventCreateWithFlags":
            return (next(self._events),)
        return (self.results[name],) if name in self.results else tuple(values)


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def device(runtime: FakeRuntime) -> CudaPythonDevice:
    opened = CudaPythonDevice(cast(ModuleType, runtime))
    runtime.calls.clear()
    return opened


def test_the_device_is_described(device: CudaPythonDevice) -> None:
    typed: CudaDevice = device  # mypy: it is one
    assert (typed.name, typed.compute_capability) == ("Orin", "8.7")
    assert (typed.driver_version, typed.integrated, typed.can_capture) == ("12.6", True, True)
    assert typed.memory() == (3 << 20, 8 << 20)
    assert version_text(13020) == "13.2"


def test_copies_name_their_arguments_in_cudas_order(
    device: CudaPythonDevice, runtime: FakeRuntime
) -> None:
    stream = device.create_stream()
    host = device.allocate_host(6, "tests", mapped=False)
    memory = device.allocate(6, "tests")
    runtime.calls.clear()
    stream.upload(memory.address, host.array)
    stream.download(host.array, memory.address)
    stream.fill(memory.address, 7, 6)
    at = host.array.ctypes.data
    assert at in runtime.blocks
    assert runtime.calls == [
        ("cudaMemcpyAsync", memory.address, at, 6, 1, 77),
        ("cudaMemcpyAsync", at, memory.address, 6, 2, 77),
        ("cudaMemsetAsync", memory.address, 7, 6, 77),
    ]


def test_mapped_memory_has_the_address_the_gpu_uses(
    device: CudaPythonDevice, runtime: FakeRuntime
) -> None:
    assert device.allocate_host(8, "tests", mapped=False).address == 0
    assert device.allocate_host(8, "tests", mapped=True).address == 0x2000
    assert [call[2] for call in runtime.calls if call[0] == "cudaHostAlloc"] == [0, 2]


def test_pinned_memory_lives_as_long_as_a_view_of_it(
    device: CudaPythonDevice, runtime: FakeRuntime
) -> None:
    host = device.allocate_host(8, "tests", mapped=True)
    view = host.array.view(np.float32).reshape(2, 1)
    host.close()
    view[...] = 3.0
    assert len(runtime.blocks) == 1
    del view
    host.close()
    assert runtime.blocks == {}
    assert runtime.count("cudaFreeHost") == 1


def test_everything_is_freed_once(device: CudaPythonDevice, runtime: FakeRuntime) -> None:
    stream, event = device.create_stream(), device.create_event()
    graph = stream.capture(lambda: stream.fill(0x1000, 0, 1))
    for thing in (device.allocate(8, "tests"), graph, event, stream):
        thing.close()
        thing.close()
    freed = [call for call in runtime.calls if "Destroy" in call[0] or "Free" in call[0]]
    assert freed == [
        ("cudaGraphDestroy", 88),  # the recording, once it is executable
        ("cudaFree", 0x1000),
        ("cudaGraphExecDestroy", 99),
        ("cudaEventDestroy", 55),
        ("cudaStreamDestroy", 77),
    ]


def test_what_is_dropped_is_freed(device: CudaPythonDevice, runtime: FakeRuntime) -> None:
    memory = device.allocate(8, "tests")
    del memory
    gc.collect()
    assert runtime.count("cudaFree") == 1


def test_events_wait_asleep_and_measure(device: CudaPythonDevice, runtime: FakeRuntime) -> None:
    stream = device.create_stream()
    start, end = device.create_event(), device.create_event()
    for event in (start, end):
        event.record(stream)
    end.wait()
    assert end.milliseconds_since(start) == 1.5
    assert runtime.calls[1:] == [
        ("cudaEventCreateWithFlags", 1),
        ("cudaEventCreateWithFlags", 1),
        ("cudaEventRecord", 55, 77),
        ("cudaEventRecord", 56, 77),
        ("cudaEventSynchronize", 56),
        ("cudaEventElapsedTime", 55, 56),
    ]


def test_a_graph_is_captured_and_launched(device: CudaPythonDevice, runtime: FakeRuntime) -> None:
    stream = device.create_stream()
    runtime.calls.clear()
    graph = stream.capture(lambda: stream.fill(0x1000, 0, 1))
    graph.launch(stream)
    assert [call[0] for call in runtime.calls] == [
        "cudaStreamBeginCapture",
        "cudaMemsetAsync",
        "cudaStreamEndCapture",
        "cudaGraphInstantiate",
        "cudaGraphDestroy",
        "cudaGraphLaunch",
    ]
    assert runtime.calls[0] == ("cudaStreamBeginCapture", 77, 1)
    assert runtime.calls[3] == ("cudaGraphInstantiate", 88, 0)
    assert runtime.calls[5] == ("cudaGraphLaunch", 99, 77)


@pytest.mark.parametrize("culprit", ["cudaMemsetAsync", "cudaStreamEndCapture", "enqueue"])
def test_a_capture_that_fails_is_ended(
    device: CudaPythonDevice, runtime: FakeRuntime, culprit: str
) -> None:
    stream = device.create_stream()
    runtime.fail[culprit] = Error.cudaErrorStreamCaptureInvalidated

    def enqueue() -> None:
        if culprit == "enqueue":
            raise EngineError("TensorRT refused execution")
        stream.fill(0x1000, 0, 1)

    with pytest.raises(EngineError, match=r"without CUDA graphs|TensorRT refused execution"):
        stream.capture(enqueue)
    assert runtime.count("cudaStreamEndCapture") == 1
    assert runtime.count("cudaGraphInstantiate") == 0
    # where ending it failed too there is no recording
    assert runtime.count("cudaGraphDestroy") == (culprit != "cudaStreamEndCapture")
    runtime.fail.clear()
    stream.capture(lambda: stream.fill(0x1000, 0, 1)).launch(stream)


def test_a_graph_that_cannot_be_made_executable(
    device: CudaPythonDevice, runtime: FakeRuntime
) -> None:
    stream = device.create_stream()
    runtime.fail["cudaGraphInstantiate"] = 2
    with pytest.raises(EngineError, match=r"^cudaGraphInstantiate failed: CUDA says cudaErrorMem"):
        stream.capture(lambda: None)
    assert runtime.count("cudaGraphDestroy") == 1


@pytest.mark.parametrize(
    ("function", "code", "message"),
    [
        ("cudaGetDeviceCount", 100, r"cudaErrorNoDevice \(some words\); check that a GPU is there"),
        ("cudaGetDeviceCount", 35, r"cudaErrorInsufficientDriver .*; check that NVIDIA's driver"),
        ("cudaSetDevice", 719, r"^cudaSetDevice failed: CUDA says .*; start the program again"),
        ("cudaMemGetInfo", 4711, r"cudaMemGetInfo failed: CUDA says error 4711 \(some words\); st"),
    ],
)
def test_errors_say_what_to_do(
    runtime: FakeRuntime, function: str, code: int, message: str
) -> None:
    runtime.fail[function] = code
    with pytest.raises(EngineError, match=message):
        CudaPythonDevice(cast(ModuleType, runtime)).memory()


def test_a_driver_that_is_not_there(runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    def call() -> None:
        raise RuntimeError("Failed to dlopen libcuda.so.1")

    monkeypatch.setattr(runtime, "cudaGetDeviceCount", call, raising=False)
    with pytest.raises(EngineError, match=r"libcuda\.so\.1; check that NVIDIA's driver is inst"):
        CudaPythonDevice(cast(ModuleType, runtime))


def test_no_gpu_is_an_error(runtime: FakeRuntime) -> None:
    runtime.results["cudaGetDeviceCount"] = 0
    with pytest.raises(EngineError, match="expected a GPU, got none; check CUDA_VISIBLE_DEVICES"):
        CudaPythonDevice(cast(ModuleType, runtime))


def test_too_little_memory(device: CudaPythonDevice, runtime: FakeRuntime) -> None:
    message = (
        r"^too little GPU memory for masks: expected 5\.0 MiB free, got 3\.0 MiB of 8\.0 MiB; "
        r".*fewer --prompts, in fp16 or int8, or from a model with smaller images$"
    )
    runtime.fail = dict.fromkeys(("cudaMalloc", "cudaHostAlloc"), Error.cudaErrorMemoryAllocation)
    with pytest.raises(EngineError, match=message):
        device.allocate(5 << 20, "masks")
    with pytest.raises(EngineError, match=message):
        device.allocate_host(5 << 20, "masks", mapped=True)
    runtime.fail = {"cudaMalloc": Error.cudaErrorLaunchFailure}
    with pytest.raises(EngineError, match="cudaMalloc failed: CUDA says cudaErrorLaunchFailure"):
        device.allocate(5 << 20, "masks")


def test_what_cannot_be_freed_is_logged(
    device: CudaPythonDevice, runtime: FakeRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    memory = device.allocate(8, "tests")
    runtime.fail["cudaFree"] = 719
    memory.close()
    assert "cudaFree failed: CUDA says cudaErrorLaunchFailure" in caplog.text


class PycudaError(Exception):
    pass


class PycudaMemoryError(PycudaError):
    pass


class FakePycuda:
    """`pycuda.driver`. depth: contexts pushed and not popped."""

    Error, MemoryError = PycudaError, PycudaMemoryError
    device_attribute = SimpleNamespace(INTEGRATED="integrated")
    host_alloc_flags = SimpleNamespace(DEVICEMAP=2)
    event_flags = SimpleNamespace(BLOCKING_SYNC=1)

    def __init__(self) -> None:
        self.depth = 0
        self.calls: list[tuple[Any, ...]] = []
        self.out_of_memory = False
        self.num_devices = 1
        self.Context = SimpleNamespace(pop=lambda: self._move(-1))
        context = SimpleNamespace(push=lambda: self._move(1), detach=lambda: self._call("detach"))
        device = SimpleNamespace(
            name=lambda: "Orin",
            compute_capability=lambda: (8, 7),
            get_attribute=lambda name: 1 if name == "integrated" else 0,
            retain_primary_context=lambda: context,
        )
        self.Device = DeviceClass(device, lambda: self.num_devices)

    def init(self) -> None:
        pass

    def get_driver_version(self) -> int:
        return 12060

    def mem_get_info(self) -> tuple[int, int]:
        assert self.depth == 1
        return 3 << 20, 8 << 20

    def mem_alloc(self, size: int) -> Any:
        assert self.depth == 1
        assert size > 0
        if self.out_of_memory:
            raise PycudaMemoryError("cuMemAlloc failed: out of memory")
        return Allocation(self)

    def pagelocked_empty(self, shape: int, dtype: Any, *, mem_flags: int) -> Any:
        assert dtype is np.uint8
        self._call("pagelocked_empty", mem_flags)
        return np.asarray(Block(shape))

    def Stream(self) -> Any:  # noqa: N802
        return SimpleNamespace(handle=77, synchronize=lambda: self._call("synchronize"))

    def Event(self, flags: int) -> Any:  # noqa: N802
        return SimpleNamespace(
            record=lambda stream: self._call("record", stream.handle, flags),
            synchronize=lambda: self._call("wait"),
            time_since=lambda _: 2.5,
        )

    def memcpy_htod_async(self, target: int, source: Any, stream: Any) -> None:
        self._call("htod", target, source.nbytes, stream.handle)

    def memcpy_dtoh_async(self, target: Any, source: int, stream: Any) -> None:
        self._call("dtoh", target.nbytes, source, stream.handle)

    def memset_d8_async(self, target: int, value: int, count: int, stream: Any) -> None:
        self._call("memset", target, value, count, stream.handle)

    def _call(self, name: str, *arguments: Any) -> None:
        assert self.depth == (0 if name == "detach" else 1), "no context is current"
        self.calls.append((name, *arguments))

    def _move(self, step: int) -> None:
        self.depth += step


class DeviceClass:
    """`pycuda.driver.Device`: called with a number, asked for a count."""

    def __init__(self, device: object, count: Callable[[], int]) -> None:
        self._device, self.count = device, count

    def __call__(self, number: int) -> Any:
        assert number == 0
        return self._device


class Allocation:
    def __init__(self, driver: FakePycuda) -> None:
        self._driver = driver

    def __int__(self) -> int:
        return 0x1000

    def free(self) -> None:
        self._driver._call("free")


class Block:
    """What pycuda's pinned arrays have as their base."""

    def __init__(self, size: int) -> None:
        self._bytes = np.zeros(size, np.uint8)
        self.__array_interface__ = self._bytes.__array_interface__

    def get_device_pointer(self) -> int:
        return 0x2000


def test_pycuda_does_everything_but_graphs() -> None:
    driver = FakePycuda()
    device: CudaDevice = PycudaDevice(cast(ModuleType, driver))
    assert (device.name, device.compute_capability) == ("Orin", "8.7")
    assert (device.driver_version, device.integrated, device.can_capture) == ("12.6", True, False)
    stream, start, end = device.create_stream(), device.create_event(), device.create_event()
    memory = device.allocate(6, "tests")
    host = device.allocate_host(6, "tests", mapped=True)
    assert (memory.address, host.address, stream.handle) == (0x1000, 0x2000, 77)
    assert device.allocate_host(6, "tests", mapped=False).address == 0
    stream.upload(memory.address, host.array)
    stream.download(host.array, memory.address)
    stream.fill(memory.address, 7, 6)
    end.record(stream)
    end.wait()
    assert end.milliseconds_since(start) == 2.5
    with pytest.raises(EngineError, match="got pycuda; install cuda-python"):
        stream.capture(lambda: None)
    for thing in (host, memory, start, end, stream, device):
        thing.close()
        thing.close()
    assert driver.calls == [
        ("pagelocked_empty", 2),
        ("pagelocked_empty", 0),
        ("htod", 0x1000, 6, 77),
        ("dtoh", 6, 0x1000, 77),
        ("memset", 0x1000, 7, 6, 77),
        ("record", 77, 1),
        ("wait",),
        ("free",),
        ("detach",),
    ]
    assert driver.depth == 0


def test_pycudas_errors_are_translated() -> None:
    driver = FakePycuda()
    device = PycudaDevice(cast(ModuleType, driver))
    driver.out_of_memory = True
    with pytest.raises(EngineError, match=r"^too little GPU memory for masks: expected 5\.0 MiB"):
        device.allocate(5 << 20, "masks")
    assert driver.depth == 0
    driver.num_devices = 0
    with pytest.raises(EngineError, match="expected a GPU, got none"):
        PycudaDevice(cast(ModuleType, driver))


def modules(monkeypatch: pytest.MonkeyPatch, **found: Any) -> None:
    """What there is to import of CUDA's bindings: a module, or an exception for a broken one."""

    def import_module(name: str) -> Any:
        module = found.get(name.replace(".", "_"))
        if module is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if isinstance(module, Exception):
            raise module
        return module

    monkeypatch.setattr(importlib, "import_module", import_module)


def test_cuda_python_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    modules(monkeypatch, cuda_bindings_runtime=FakeRuntime(), pycuda_driver=FakePycuda())
    assert open_device().can_capture
    modules(monkeypatch, cuda_cudart=FakeRuntime(), pycuda_driver=FakePycuda())
    assert open_device().can_capture
    modules(monkeypatch, pycuda_driver=FakePycuda())
    assert not open_device().can_capture


def test_missing_bindings_say_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    modules(monkeypatch)
    message = r"JetPack 6 `pip install .*, on JetPack 7 .*, on a PC `pip install 'sam3-edge\[tens"
    with pytest.raises(EngineError, match=message):
        open_device()
    modules(monkeypatch, pycuda_driver=ImportError("libcuda.so.1: cannot open shared object file"))
    with pytest.raises(EngineError, match=r"pycuda\.driver cannot be loaded: libcuda.*driver is"):
        find_module(("pycuda.driver",))


def test_every_function_takes_what_it_is_given() -> None:
    """The bindings can be read without a driver."""
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="cuda-python is not installed")
    for name, (parameters, _) in FUNCTIONS.items():
        signature = getattr(runtime, name).__doc__.split("\n")[0]
        given = re.findall(r"(\w+)(?::[^,)]*)?\s*[,)]", signature.partition("(")[2])
        assert given == parameters.split(), signature

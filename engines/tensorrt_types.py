"""The part of TensorRT's Python API that sam3-edge uses, as types.

NVIDIA ships none. Every TensorRT object in this project is one of these protocols, so mypy refuses
a name that is not written here, and `used_names` gives them to the table of the versions each name
exists in (tests/engines/tensorrt_names.json, made by scripts/tensorrt_names.py).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["tensorrt", "tensorrt_rtx"]
KINDS: tuple[Kind, ...] = ("tensorrt", "tensorrt_rtx")


class Severity(Protocol):
    INTERNAL_ERROR: object
    ERROR: object
    WARNING: object
    INFO: object
    VERBOSE: object


class CreationFlag(Protocol):
    STRONGLY_TYPED: int  # 1 in TensorRT 10, 0 in 11: never write the number


class MemoryPoolType(Protocol):
    WORKSPACE: object


class DataType(Protocol):
    FLOAT: object
    HALF: object
    INT8: object
    INT32: object
    INT64: object
    UINT8: object
    BOOL: object


class TensorIOMode(Protocol):
    INPUT: object


class ComputeCapability(Protocol):
    """An enumeration; its members are the GPUs this version compiles for."""

    __members__: Mapping[str, object]


class LoggerClass(Protocol):
    Severity: Severity


class Buffer(Protocol):
    """bytes, a memoryview, a mapped file: `collections.abc.Buffer` of Python 3.12."""

    def __buffer__(self, flags: int, /) -> memoryview: ...


class HostMemory(Buffer, Protocol):
    """Bytes that TensorRT owns."""

    nbytes: int


class TimingCache(Protocol):
    def serialize(self) -> HostMemory: ...


class NetworkTensor(Protocol):
    name: str
    shape: Iterable[int]  # -1 where dynamic

    def get_dimension_name(self, index: int, /) -> str | None: ...


class Network(Protocol):
    num_inputs: int

    def get_input(self, index: int, /) -> NetworkTensor: ...


class ParserError(Protocol):
    def desc(self) -> str: ...
    def node_name(self) -> str: ...
    def node_operator(self) -> str: ...


class Parser(Protocol):
    num_errors: int

    def parse_from_file(self, path: str, /) -> bool: ...
    def get_error(self, index: int, /) -> ParserError: ...


class Profile(Protocol):
    def set_shape(
        self,
        name: str,
        minimum: tuple[int, ...],
        optimum: tuple[int, ...],
        maximum: tuple[int, ...],
        /,
    ) -> None: ...


class Config(Protocol):
    def set_memory_pool_limit(self, pool: object, num_bytes: int, /) -> None: ...
    def add_optimization_profile(self, profile: Profile, /) -> int: ...


class TimedConfig(Config, Protocol):
    """TensorRT's. TensorRT-RTX has these names too and warns that they do nothing."""

    def create_timing_cache(self, serialised: bytes, /) -> TimingCache | None: ...
    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool, /) -> bool: ...
    def get_timing_cache(self) -> TimingCache | None: ...


class RtxConfig(Config, Protocol):
    """TensorRT-RTX's, which compiles for GPUs that are not there."""

    num_compute_capabilities: int

    def set_compute_capability(self, target: object, index: int, /) -> bool: ...


class Builder(Protocol):
    def create_network(self, flags: int, /) -> Network: ...
    def create_builder_config(self) -> Config: ...
    def create_optimization_profile(self) -> Profile: ...
    def build_serialized_network(
        self, network: Network, config: Config, /
    ) -> HostMemory | None: ...


class Context(Protocol):
    def set_tensor_address(self, name: str, address: int, /) -> bool: ...
    def set_input_shape(self, name: str, shape: tuple[int, ...], /) -> bool: ...
    def execute_async_v3(self, stream: int, /) -> bool: ...


class Engine(Protocol):
    num_io_tensors: int
    device_memory_size_v2: int  # bytes; TensorRT 11 has no other

    def get_tensor_name(self, index: int, /) -> str: ...
    def get_tensor_mode(self, name: str, /) -> object: ...
    def get_tensor_dtype(self, name: str, /) -> object: ...
    def get_tensor_shape(self, name: str, /) -> Iterable[int]: ...
    def create_execution_context(self) -> Context | None: ...


class Runtime(Protocol):
    def deserialize_cuda_engine(self, serialised: Buffer, /) -> Engine | None: ...


class Module(Protocol):
    """`import tensorrt` or `import tensorrt_rtx`."""

    __version__: str
    ILogger: LoggerClass
    DataType: DataType
    TensorIOMode: TensorIOMode
    MemoryPoolType: MemoryPoolType
    NetworkDefinitionCreationFlag: CreationFlag
    Builder: Callable[[object], Builder]
    OnnxParser: Callable[[Network, object], Parser]
    Runtime: Callable[[object], Runtime]

    def __hash__(self) -> int: ...


class RtxModule(Module, Protocol):
    ComputeCapability: ComputeCapability


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeClass:
    """protocol: what is used of it. name: TensorRT's own, empty for the module itself."""

    protocol: type
    name: str
    kinds: tuple[Kind, ...] = KINDS


NATIVE_CLASSES = (
    NativeClass(protocol=Module, name=""),
    NativeClass(protocol=RtxModule, name="", kinds=("tensorrt_rtx",)),
    NativeClass(protocol=LoggerClass, name="ILogger"),
    NativeClass(protocol=Severity, name="ILogger.Severity"),
    NativeClass(protocol=CreationFlag, name="NetworkDefinitionCreationFlag"),
    NativeClass(protocol=MemoryPoolType, name="MemoryPoolType"),
    NativeClass(protocol=DataType, name="DataType"),
    NativeClass(protocol=TensorIOMode, name="TensorIOMode"),
    NativeClass(protocol=ComputeCapability, name="ComputeCapability", kinds=("tensorrt_rtx",)),
    NativeClass(protocol=HostMemory, name="IHostMemory"),
    NativeClass(protocol=TimingCache, name="ITimingCache", kinds=("tensorrt",)),
    NativeClass(protocol=NetworkTensor, name="ITensor"),
    NativeClass(protocol=Network, name="INetworkDefinition"),
    NativeClass(protocol=ParserError, name="ParserError"),
    NativeClass(protocol=Parser, name="OnnxParser"),
    NativeClass(protocol=Profile, name="IOptimizationProfile"),
    NativeClass(protocol=Config, name="IBuilderConfig"),
    NativeClass(protocol=TimedConfig, name="IBuilderConfig", kinds=("tensorrt",)),
    NativeClass(protocol=RtxConfig, name="IBuilderConfig", kinds=("tensorrt_rtx",)),
    NativeClass(protocol=Builder, name="Builder"),
    NativeClass(protocol=Runtime, name="Runtime"),
    NativeClass(protocol=Engine, name="ICudaEngine"),
    NativeClass(protocol=Context, name="IExecutionContext"),
)


def used_names() -> dict[str, tuple[Kind, ...]]:
    """Every dotted name that sam3-edge uses of TensorRT, with the kinds it is used of."""
    found: dict[str, tuple[Kind, ...]] = {}
    for native in NATIVE_CLASSES:
        own = {*vars(native.protocol), *native.protocol.__annotations__}
        for name in sorted(name for name in own if not name.startswith("_")):
            found[f"{native.name}.{name}".lstrip(".")] = native.kinds
    return found

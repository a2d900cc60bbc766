"""TensorRT 10.3, 10.16 and 11, and TensorRT-RTX, opened alike: the one place where they differ.

| | TensorRT | TensorRT-RTX |
|---|---|---|
| import | `tensorrt` | `tensorrt_rtx`, or `tensorrt_rtx_bindings` from the wheel of that name |
| compiles | for the GPU it runs on | for any compute capability it names, without a GPU too |
| timing cache | yes | none: its calls warn that they do nothing |

Networks are strongly typed, so no flag that TensorRT 11 removed is needed anywhere.
"""

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from sam3_edge.engines.tensorrt_engine import EngineContext, EngineTensor, LoadedEngine
from sam3_edge.engines.tensorrt_log import TensorRTLog, log_of
from sam3_edge.engines.tensorrt_types import (
    Buffer,
    Builder,
    Config,
    Kind,
    Module,
    Network,
    Parser,
    RtxConfig,
    RtxModule,
    TimedConfig,
)
from sam3_edge.errors import EngineError

__all__ = ["EngineContext", "EngineTensor", "Kind", "LoadedEngine", "TensorRT", "open_tensorrt"]

T = TypeVar("T")

_IMPORTS: dict[Kind, tuple[str, ...]] = {
    "tensorrt": ("tensorrt",),
    "tensorrt_rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings"),
}
NAMES: dict[Kind, str] = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}
_INSTALL: dict[Kind, str] = {
    "tensorrt": "on JetPack 6 and 7: `sudo apt install tensorrt python3-libnvinfer`, and make the "
    "environment with `python3 -m venv --system-site-packages`; on a PC: `pip install tensorrt`",
    "tensorrt_rtx": "on a PC: `pip install tensorrt_rtx`; to build where no GPU is: `pip install "
    "--only-binary=:all: tensorrt_rtx_cu13_libs tensorrt_rtx_cu13_bindings`; JetPack 6 and 7 have "
    "TensorRT instead: choose the tensorrt backend there",
}
_DRIVER = "install NVIDIA's driver, or start the container with the NVIDIA runtime"
# CUDA's codes for: no driver, one too old, no device, one that does not answer.
_NO_DEVICE = re.compile(
    r"libcuda|no CUDA-capable|CUDA driver|CUDA initialization failure"
    r"|cudaError (3|35|46|100|999)\b"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRT:
    """version: as the module says it, "10.3.0"."""

    kind: Kind
    version: str
    module: Module
    log: TensorRTLog

    @property
    def name(self) -> str:
        """For messages: "TensorRT 10.3.0"."""
        return f"{NAMES[self.kind]} {self.version}"

    @property
    def has_timing_cache(self) -> bool:
        return self.kind == "tensorrt"

    def create_builder(self) -> Builder:
        """Raises EngineError where there is no GPU, which TensorRT-RTX alone does without."""
        builder = self._create(self.module.Builder)
        if builder is None:
            raise EngineError(
                f"{self.name} cannot start a builder: {self.log.last_errors}; engines must be "
                f"built on the device that runs them: {_DRIVER} there"
            )
        return builder

    def create_network(self, builder: Builder) -> Network:
        """Empty and strongly typed. TensorRT 11 types strongly in any case."""
        return builder.create_network(
            1 << int(self.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        )

    def create_parser(self, network: Network) -> Parser:
        """It owns the weights it reads: keep it until the network is built."""
        return self.module.OnnxParser(network, self.log.native)

    def limit_workspace(self, config: Config, num_bytes: int) -> None:
        config.set_memory_pool_limit(self.module.MemoryPoolType.WORKSPACE, num_bytes)

    def timed_config(self, config: Config) -> TimedConfig:
        assert self.has_timing_cache, f"{self.kind} has no timing cache"
        return cast(TimedConfig, config)

    def compile_for(self, config: Config, compute_capability: str) -> None:
        """compute_capability: "8.6". Raises EngineError for one this version cannot compile for."""
        if self.kind != "tensorrt_rtx":
            raise EngineError(
                f"expected no compute capability, got {compute_capability}: {self.name} compiles "
                "for the GPU it runs on; leave the option out, and build on that device"
            )
        targets = {
            _dotted(name): value
            for name, value in cast(RtxModule, self.module).ComputeCapability.__members__.items()
            if name.startswith("SM")
        }
        if compute_capability not in targets:
            raise EngineError(
                f"{self.name} compiles for compute capabilities {', '.join(targets)}, got "
                f"{compute_capability}; choose one of them, or TensorRT on the device itself"
            )
        config = cast(RtxConfig, config)
        config.num_compute_capabilities = 1
        config.set_compute_capability(targets[compute_capability], 0)

    def load_engine(self, data: Buffer, source: Path) -> LoadedEngine:
        """data: a serialised engine, whose sha256 has been checked: TensorRT itself checks little.

        source: for messages. Raises EngineError for one that is damaged, or from another TensorRT
        or GPU, and where there is no GPU.
        """
        runtime = self._create(self.module.Runtime)
        if runtime is None:
            raise self._no_gpu(source)
        engine = runtime.deserialize_cuda_engine(data)
        if engine is None:
            raise self._not_loaded(source)
        return LoadedEngine(engine, runtime, source, self.log, self.module)

    def lacks_device(self) -> bool:
        """Whether the first error since the last call began was that no GPU answers."""
        return any(map(_NO_DEVICE.search, self.log.error_lines[:1]))

    def _create(self, native_class: Callable[[object], T]) -> T | None:
        """A builder or runtime; None if there is no GPU for it.

        Without a driver TensorRT 10 and 11 log the error, return an object all the same, and crash
        the process on its first use; or pybind11 refuses the null pointer with a TypeError.
        """
        self.log.forget_errors()
        try:
            created = native_class(self.log.native)
        except (TypeError, RuntimeError) as error:
            self.log.remember(str(error))
            return None
        return None if any(map(_NO_DEVICE.search, self.log.error_lines)) else created

    def _not_loaded(self, source: Path) -> EngineError:
        if self.lacks_device():
            return self._no_gpu(source)
        return EngineError(
            f"{source}: expected an engine that {self.name} built for this GPU, got one that is "
            f"damaged or from elsewhere: {self.log.last_errors}; build it again on this device"
        )

    def _no_gpu(self, source: Path) -> EngineError:
        return EngineError(
            f"{source}: {self.name} finds no GPU to load it on: {self.log.last_errors}; "
            f"{_DRIVER}, or use a bundle for onnxruntime"
        )


def open_tensorrt(kind: Kind) -> TensorRT:
    """Raises EngineError: not installed, or installed and broken."""
    module = _import(kind)
    return TensorRT(kind=kind, version=module.__version__, module=module, log=log_of(module))


def _import(kind: Kind) -> Module:
    for name in _IMPORTS[kind]:
        try:
            return cast(Module, importlib.import_module(name))
        except ModuleNotFoundError as error:
            if error.name != name:
                raise _broken(kind, name, error) from error
        except (ImportError, OSError, RuntimeError) as error:
            raise _broken(kind, name, error) from error
    raise EngineError(
        f"expected {NAMES[kind]}, got a Python without module {_IMPORTS[kind][0]}; {_INSTALL[kind]}"
    )


def _broken(kind: Kind, module: str, error: Exception) -> EngineError:
    reason = " ".join(str(error).split())
    advice = _DRIVER if _NO_DEVICE.search(reason) else f"install it again: {_INSTALL[kind]}"
    return EngineError(f"{NAMES[kind]}: module {module} cannot be imported: {reason}; {advice}")


def _dotted(member: str) -> str:
    """SM86 -> 8.6, SM120 -> 12.0"""
    return f"{member[2:-1]}.{member[-1]}"

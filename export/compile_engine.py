"""An ONNX graph becomes a TensorRT engine: parsed, typed as it is written, compiled, written whole."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from sam3_edge.engines.contract import NUM_PROMPTS
from sam3_edge.engines.tensorrt_api import TensorRT, open_tensorrt
from sam3_edge.engines.tensorrt_types import Builder, Config, HostMemory, Kind, Network, Parser
from sam3_edge.errors import EngineError, ExportError, UsageError
from sam3_edge.export.timing_cache import TimingCacheFile, timing_cache_file
from sam3_edge.export.write_file import write_file

Progress = Callable[[str], None]

_OUT_OF_MEMORY = re.compile(
    r"out.?of.?memory|insufficient memory|MemoryAllocation|bad_alloc|cudaError 2\b"
    r"|requested amount of (gpu|host) memory",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileOptions:
    """prompts: P, the fewest, the number to be fastest at, the most.

    workspace_bytes: scratch memory a layer may use; None leaves it to TensorRT.
    timing_cache: a folder; what one build measured need not be measured again.
    device: the GPU's name and compute capability, part of the cache's file name.
    compute_capability: "8.6", what TensorRT-RTX compiles for; None is the GPU of this machine.
    """

    prompts: tuple[int, int, int]
    workspace_bytes: int | None = None
    timing_cache: Path | None = None
    device: str | None = None
    compute_capability: str | None = None

    def __post_init__(self) -> None:
        fewest, best, most = self.prompts
        if not 1 <= fewest <= best <= most:
            raise UsageError(
                f"prompts: expected 1 <= MIN <= OPT <= MAX, got {fewest},{best},{most}"
            )
        if self.workspace_bytes is not None and self.workspace_bytes < 1 << 20:
            raise UsageError(
                f"workspace: expected at least 1 MiB, got {self.workspace_bytes} bytes"
            )
        target = self.compute_capability
        if target is not None and not re.fullmatch(r"\d+\.\d", target):
            raise UsageError(f"compute capability: expected one like 8.6, got {target!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledEngine:
    """device_memory_bytes: of one context; None where it was compiled for another machine's GPU.

    seconds: parsing to written. version: of the TensorRT that compiled it.
    """

    device_memory_bytes: int | None
    seconds: float
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parsed:
    """parser: owns the weights of the network, so it lives as long."""

    network: Network
    parser: Parser


def compile_engine(
    kind: Kind, onnx_path: Path, out_path: Path, options: CompileOptions, progress: Progress
) -> CompiledEngine:
    """Write the engine of one graph to `out_path`, which appears whole or not at all.

    progress: gets one line a stage. Raises ExportError, with TensorRT's own last lines, and
    EngineError where TensorRT or its GPU is missing.
    """
    started = perf_counter()
    tensorrt = open_tensorrt(kind)
    builder = tensorrt.create_builder()
    progress(f"{onnx_path.name}: reading it into {tensorrt.name}")
    parsed = _parse(tensorrt, builder, onnx_path)
    config = _configure(tensorrt, builder, parsed.network, onnx_path, options)
    cache = _timing_cache(tensorrt, onnx_path, options)
    if cache is not None:
        cache.attach(config, progress)
    progress(f"{onnx_path.name}: compiling it {_goal(options)}")
    engine = _build(tensorrt, builder, parsed, config, onnx_path)
    memory = _check_engine(tensorrt, engine, out_path, options)
    write_file(out_path, engine)
    if cache is not None:
        cache.store(config, progress)
    seconds = perf_counter() - started
    progress(f"{out_path.name}: {engine.nbytes / 1e6:.1f} MB in {seconds:.0f} s")
    return CompiledEngine(device_memory_bytes=memory, seconds=seconds, version=tensorrt.version)


def _parse(tensorrt: TensorRT, builder: Builder, path: Path) -> _Parsed:
    tensorrt.log.forget_errors()
    network = tensorrt.create_network(builder)
    parser = tensorrt.create_parser(network)
    if not path.is_file():
        raise ExportError(
            f"{path}: expected an ONNX file, got nothing; export the checkpoint again"
        )
    if not parser.parse_from_file(os.fspath(path)):
        raise ExportError(
            f"{path}: {tensorrt.name} cannot read it: {_parser_error(tensorrt, parser)}; "
            "export the checkpoint again with this version"
        )
    return _Parsed(network=network, parser=parser)


def _parser_error(tensorrt: TensorRT, parser: Parser) -> str:
    """The first, with the node it is about, in one line."""
    if not parser.num_errors:
        return tensorrt.log.last_errors
    error = parser.get_error(0)
    reason = " ".join(error.desc().split())
    if not error.node_operator():
        return reason
    return f"node {error.node_name()!r} ({error.node_operator()}): {reason}"


def _configure(
    tensorrt: TensorRT, builder: Builder, network: Network, path: Path, options: CompileOptions
) -> Config:
    config = builder.create_builder_config()
    if options.workspace_bytes is not None:
        tensorrt.limit_workspace(config, options.workspace_bytes)
    if options.compute_capability is not None:
        tensorrt.compile_for(config, options.compute_capability)
    shapes = _prompt_inputs(network, path)
    if shapes:
        profile = builder.create_optimization_profile()
        for name, rest in shapes.items():
            fewest, best, most = ((count, *rest) for count in options.prompts)
            profile.set_shape(name, fewest, best, most)
        if config.add_optimization_profile(profile) < 0:
            raise ExportError(
                f"{path}: {tensorrt.name} refuses prompts {_listed(options.prompts)}: "
                f"{tensorrt.log.last_errors}; choose other --prompts"
            )
    return config


def _prompt_inputs(network: Network, path: Path) -> dict[str, tuple[int, ...]]:
    """The inputs whose first axis is P, with their other sizes. ExportError if another is open."""
    found = {}
    for tensor in map(network.get_input, range(network.num_inputs)):
        shape = tuple(tensor.shape)
        for axis in (axis for axis, size in enumerate(shape) if size < 0):
            name = tensor.get_dimension_name(axis)
            if axis != 0 or name != NUM_PROMPTS:
                raise ExportError(
                    f"{path}: input {tensor.name}: expected fixed sizes but for a first axis "
                    f"called {NUM_PROMPTS}, got a dynamic axis {axis} called {name or 'nothing'}; "
                    "export the checkpoint with a fixed image size"
                )
            found[tensor.name] = shape[1:]
    return found


def _build(
    tensorrt: TensorRT, builder: Builder, parsed: _Parsed, config: Config, path: Path
) -> HostMemory:
    tensorrt.log.forget_errors()
    try:
        engine = builder.build_serialized_network(parsed.network, config)
    except MemoryError as error:
        raise _out_of_memory(path, "the machine's memory is full") from error
    if engine is not None:
        return engine
    reason = tensorrt.log.last_errors
    if any(map(_OUT_OF_MEMORY.search, tensorrt.log.error_lines)):
        raise _out_of_memory(path, reason)
    if tensorrt.lacks_device():
        raise ExportError(
            f"{path}: {tensorrt.name} finds no GPU to compile for: {reason}; give the compute "
            "capability of the GPU that will run it, or build there"
        )
    raise ExportError(
        f"{path}: {tensorrt.name} cannot compile it: {reason}; try --precision fp32, or another "
        "version of TensorRT"
    )


def _out_of_memory(path: Path, reason: str) -> ExportError:
    return ExportError(
        f"{path}: out of memory while compiling: {reason}; give a smaller --workspace, fewer "
        "--prompts, or stop other programs"
    )


def _check_engine(
    tensorrt: TensorRT, engine: HostMemory, out_path: Path, options: CompileOptions
) -> int | None:
    """Load it where it was compiled for this machine; the bytes that a context takes."""
    if options.compute_capability is not None:
        return None
    try:
        loaded = tensorrt.load_engine(engine, out_path)
    except EngineError as error:
        advice = "; or give the compute capability to compile for" * tensorrt.lacks_device()
        raise ExportError(f"compiled, but it cannot be loaded here: {error}{advice}") from error
    memory = loaded.device_memory_bytes
    loaded.close()
    return memory


def _timing_cache(
    tensorrt: TensorRT, onnx_path: Path, options: CompileOptions
) -> TimingCacheFile | None:
    if options.timing_cache is None or not tensorrt.has_timing_cache:
        return None
    return timing_cache_file(tensorrt, options.timing_cache, onnx_path, options.device)


def _goal(options: CompileOptions) -> str:
    target = options.compute_capability
    gpu = f"compute capability {target}" if target else "this GPU"
    return f"for {gpu} and {_listed(options.prompts)} prompts"


def _listed(prompts: tuple[int, int, int]) -> str:
    return ",".join(map(str, prompts))

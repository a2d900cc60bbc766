"""A bundle of ONNX graphs becomes a bundle of TensorRT engines, in the same folder."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sam3_edge.engines.bundle import Bundle, file_sha256, write_manifest
from sam3_edge.engines.manifest import BuiltOn, GraphSpec, Manifest, not_run
from sam3_edge.engines.tensorrt_api import open_tensorrt
from sam3_edge.engines.tensorrt_device import find_device
from sam3_edge.engines.tensorrt_types import Kind
from sam3_edge.errors import ExportError
from sam3_edge.export.compile_engine import CompiledEngine, CompileOptions, compile_engine

# What TensorRT-RTX compiles for where there is no GPU to ask: most of the cards it runs on.
USUAL_CAPABILITY = "8.6"
_TO_VERIFY = "not executed yet: run `sam3-edge verify` on the device"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """prompts: fewest, usual, most in one call. timing_cache: a folder, or None for none.

    compute_capability: "8.6": what to compile for; None is this machine's GPU.
    """

    kind: Kind
    prompts: tuple[int, int, int] = (1, 1, 8)
    workspace_bytes: int | None = None
    timing_cache: Path | None = None
    compute_capability: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The GPU engines are compiled for. here: whether it is this machine's, to execute them."""

    gpu_name: str
    compute_capability: str
    driver_version: str
    here: bool


def choose_target(options: EngineOptions) -> Target:
    """Raises EngineError without TensorRT, ExportError where full TensorRT has no GPU to ask."""
    open_tensorrt(options.kind)
    device = find_device(options.kind)
    wanted = options.compute_capability
    if device is not None and wanted in (None, device.compute_capability):
        return Target(
            gpu_name=device.gpu_name,
            compute_capability=device.compute_capability,
            driver_version=device.driver_version,
            here=True,
        )
    if options.kind == "tensorrt":
        got = "no GPU" if device is None else f"{device.gpu_name} ({device.compute_capability})"
        raise ExportError(
            f"TensorRT compiles on the device that will run the engine: expected "
            f"{'its GPU' if wanted is None else f'compute capability {wanted}'}, got {got}; build "
            "there, or use --backend tensorrt-rtx or onnxruntime here"
        )
    capability = wanted or USUAL_CAPABILITY
    return Target(gpu_name="", compute_capability=capability, driver_version="", here=False)


def write_engines(
    graphs: Bundle, options: EngineOptions, target: Target, progress: Callable[[str], None]
) -> Manifest:
    """Compile every graph, drop the ONNX files, and write the manifest, not yet verified.

    Raises ExportError, EngineError.
    """
    compiled: dict[str, CompiledEngine] = {}
    specs: dict[str, GraphSpec] = {}
    for name, spec in graphs.manifest.graphs.items():
        path = graphs.path / f"{name}.engine"
        compiled[name] = compile_engine(
            options.kind,
            graphs.graph_path(name),
            path,
            CompileOptions(
                prompts=options.prompts,
                workspace_bytes=options.workspace_bytes,
                timing_cache=options.timing_cache,
                device=f"{target.gpu_name or 'any'}-{target.compute_capability}",
                compute_capability=None if target.here else target.compute_capability,
            ),
            progress,
        )
        specs[name] = replace(
            spec, file=path.name, sha256=file_sha256(path), source_sha256=spec.sha256
        )
    manifest = replace(
        graphs.manifest,
        backend=options.kind,
        graphs=specs,
        max_prompts=options.prompts[2],
        verification_engine=not_run("FP32 graphs in ONNX Runtime", _TO_VERIFY),
        built_on=_built_on(options, target, compiled),
    )
    for name in specs:
        graphs.graph_path(name).unlink()
    write_manifest(graphs.path, manifest)
    return manifest


def _built_on(
    options: EngineOptions, target: Target, compiled: dict[str, CompiledEngine]
) -> BuiltOn:
    memory = [engine.device_memory_bytes for engine in compiled.values()]
    known = [amount for amount in memory if amount is not None]
    return BuiltOn(
        gpu_name=target.gpu_name,
        compute_capability=target.compute_capability,
        driver_version=target.driver_version,
        tensorrt_version=next(iter(compiled.values())).version,
        prompt_profile=options.prompts,
        device_memory_bytes=sum(known) if len(known) == len(memory) else None,
    )

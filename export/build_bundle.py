"""From an FP32 bundle to one for a device: written, compiled, verified, and only then in its place.

Each step of the ladder is built beside the target and compared with the FP32 graphs; the first one
that passes is kept. What stands at the target stays until then.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sam3_edge.engines.bundle import Bundle, write_manifest
from sam3_edge.engines.load import open_bundle
from sam3_edge.engines.manifest import Precision, Verification, not_run
from sam3_edge.errors import ExportError
from sam3_edge.export.evidence import Evidence
from sam3_edge.export.ladder import Step, ladder
from sam3_edge.export.speed import frame_times
from sam3_edge.export.verify import verify
from sam3_edge.export.write_engines import EngineOptions, Target, write_engines
from sam3_edge.export.write_step import REFERENCE, Recipe, write_step

Progress = Callable[[str], None]
_NOT_ASKED = "not compared, as asked; run `sam3-edge verify` before it is used"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """engine: for TensorRT and TensorRT-RTX, with the target chosen; None for ONNX Runtime.

    evidence: pictures to verify on; None for those the bundle carries. verify: False builds the
    first step and compares nothing.
    """

    precision: Precision
    engine: tuple[EngineOptions, Target] | None = None
    evidence: Evidence | None = None
    verify: bool = True


def build_bundle(
    recipe: Recipe, out: Path, options: BuildOptions, stage: Progress, detail: Progress
) -> Bundle:
    """Climb the ladder and put what passes at `out`, which must not exist.

    stage: takes one line for each thing that begins or is found out; detail: what goes on in it.
    Raises ExportError where no precision passes, EngineError, BundleError; `out` is not there then.
    """
    if out.exists():
        raise ExportError(f"{out}: expected a new folder, got one that exists; choose another path")
    attempts: list[str] = []
    for step in ladder(options.precision, recipe.backend, recipe.keeps()):
        with _scratch(out) as folder:
            stage(f"{step.name}: building")
            built = _attempt(recipe, step, folder, options, detail)
            verdict, reason = _judge(recipe, built, step, options, stage)
            attempts.append(f"{step.name}: {reason}")
            stage(attempts[-1])
            if not verdict:
                continue
            write_manifest(folder, replace(built.manifest, attempts=tuple(attempts)))
            folder.replace(out)
            return Bundle.open(out, verified_only=False, any_device=True)
    raise ExportError(
        f"{out} was not built: expected a precision that passes verification, got none: "
        f"{'; '.join(attempts)}"
    )


def _attempt(
    recipe: Recipe, step: Step, folder: Path, options: BuildOptions, detail: Progress
) -> Bundle:
    """The graphs, compared in ONNX Runtime, and the engines, compared where they can execute."""
    manifest = write_step(recipe, step, folder, detail)
    graphs = Bundle.open(folder, verified_only=False)
    manifest = replace(manifest, verification_onnx=_compare_graphs(graphs, recipe, options, detail))
    write_manifest(folder, manifest)
    graphs = Bundle.open(folder, verified_only=False)
    if options.engine is None or manifest.verification_onnx.state == "failed":
        return graphs
    engine, target = options.engine
    manifest = write_engines(graphs, engine, target, detail)
    if target.here and options.verify:
        built = open_bundle(folder, verified_only=False)
        manifest = replace(manifest, verification_engine=_compare(built, recipe, options, detail))
        write_manifest(folder, manifest)
    return Bundle.open(folder, verified_only=False, any_device=True)


def _compare_graphs(
    graphs: Bundle, recipe: Recipe, options: BuildOptions, detail: Progress
) -> Verification:
    """In ONNX Runtime. The source's own FP32 graphs keep the comparison with PyTorch they came
    with, after what they carry was replayed on this machine."""
    if graphs.manifest.precision != "fp32" or not options.verify:
        return _compare(graphs, recipe, options, detail)
    here = verify(graphs, None, None, progress=detail)
    return here if here.state == "failed" else recipe.source.manifest.verification_onnx


def _compare(
    bundle: Bundle, recipe: Recipe, options: BuildOptions, detail: Progress
) -> Verification:
    if not options.verify:
        return not_run(REFERENCE, _NOT_ASKED)
    return verify(bundle, recipe.source, options.evidence, progress=detail)


def _judge(
    recipe: Recipe, built: Bundle, step: Step, options: BuildOptions, stage: Progress
) -> tuple[bool, str]:
    """Whether to keep it, and why."""
    found = {
        "its graphs": built.manifest.verification_onnx,
        "its engine": built.manifest.verification_engine,
    }
    said = {what: _said(what, verdict) for what, verdict in found.items() if verdict is not None}
    for what, verdict in found.items():
        if verdict is not None and verdict.state == "failed":
            return False, said[what]
    reason = "; ".join(said.values())
    if step.precision != "int8" or not _executes_here(options):
        return True, reason
    stage(f"{step.name}: comparing its speed")
    return _worth_it(recipe, built, options, reason)


def _said(what: str, verdict: Verification) -> str:
    state = "not run" if verdict.state == "not_run" else verdict.state
    return f"{what} {state}: {verdict.message}"


def _executes_here(options: BuildOptions) -> bool:
    return options.engine is None or options.engine[1].here


def _worth_it(
    recipe: Recipe, built: Bundle, options: BuildOptions, reason: str
) -> tuple[bool, str]:
    """INT8 must be faster than the fastest safer precision of its backend: FP16, FP32 on a CPU."""
    with _scratch(built.path) as folder:
        safer = recipe.source
        if options.engine is not None:
            write_step(recipe, Step(precision="fp16"), folder, lambda _: None)
            graphs = Bundle.open(folder, verified_only=False)
            write_engines(graphs, *options.engine, lambda _: None)
            safer = open_bundle(folder, verified_only=False)
        mine = open_bundle(built.path, verified_only=False)
        ours, theirs = (time.total for time in frame_times([mine, safer]))
    name = safer.manifest.precision
    figures = f"{ours:.1f} ms a frame, {name} {theirs:.1f} ms"
    if ours > theirs:
        return False, f"refused, slower than {name}: {figures}"
    return True, f"{reason}; {figures}"


@contextmanager
def _scratch(beside: Path) -> Iterator[Path]:
    """An empty folder that is gone afterwards, unless it was renamed."""
    folder = beside.with_name(f".{beside.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        yield folder
    except OSError as error:
        raise ExportError(
            f"cannot write {beside}: {error.strerror}; check free space and permissions"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""One step of the ladder on disk: the FP32 bundle's graphs, written at the step's precision."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from sam3_edge.calib.calibration import CALIBRATION_NAME, Calibration, write_calibration
from sam3_edge.calib.quantise import Scheme, quantisable_layers, quantise
from sam3_edge.calib.sensitivity import ladder as growing_keeps
from sam3_edge.engines.bundle import Bundle, file_sha256, write_manifest
from sam3_edge.engines.manifest import (
    FP32,
    BackendName,
    CalibrationSpec,
    GraphPrecision,
    GraphSpec,
    Manifest,
    not_run,
)
from sam3_edge.export.ladder import Step
from sam3_edge.export.precision import to_fp16
from sam3_edge.export.stored_weights import halve_weights

REFERENCE = "FP32 graphs in ONNX Runtime"
_UNTRIED = "the build was interrupted before the comparison"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What every step of one build has in common.

    calibration: for INT8, else None. The graphs whose layers it measured are quantised: vision, and
    the decoder if that was asked for.
    """

    source: Bundle
    backend: BackendName
    calibration: Calibration | None = None

    @property
    def scheme(self) -> Scheme:
        return "asymmetric_uint8" if self.backend == "onnxruntime" else "symmetric_int8"

    @property
    def quantised_graphs(self) -> tuple[str, ...]:
        if self.calibration is None:
            return ()
        return tuple(self.calibration.sensitivity.get(self.scheme, {})) or ("vision",)

    def keeps(self) -> tuple[dict[str, tuple[str, ...]], ...]:
        """By graph, the layers to keep at each attempt: none at first, then more and more."""
        if self.calibration is None:
            return ()
        errors = self.calibration.sensitivity.get(self.scheme, {})
        rungs = {name: growing_keeps(found) for name, found in errors.items()}
        count = max(map(len, rungs.values()), default=1)
        return tuple(
            {name: steps[min(number, len(steps) - 1)] for name, steps in rungs.items()}
            for number in range(count)
        )


def write_step(
    recipe: Recipe, step: Step, folder: Path, progress: Callable[[str], None]
) -> Manifest:
    """Write a bundle of ONNX graphs into the empty `folder`, and its manifest, not yet verified."""
    manifest = recipe.source.manifest
    graphs = {}
    for name, spec in manifest.graphs.items():
        progress(f"{name}: writing it as {step.name}")
        graphs[name] = _write_graph(recipe, step, name, spec, folder)
    if recipe.source.references_path is not None:
        shutil.copy(recipe.source.references_path, folder)
    written = replace(
        manifest,
        precision=step.precision,
        graphs=graphs,
        calibration=_calibration_spec(recipe, folder) if step.precision == "int8" else None,
        verification_onnx=not_run(REFERENCE, _UNTRIED),
        attempts=(),
    )
    write_manifest(folder, written)
    return written


def _write_graph(recipe: Recipe, step: Step, name: str, spec: GraphSpec, folder: Path) -> GraphSpec:
    before = recipe.source.graph_path(name)
    path = folder / f"{name}.onnx"
    written = _rewritten(recipe, step, name, before)
    if written is None:
        shutil.copy(before, path)
        return replace(spec, file=path.name)
    model, precision = written
    halve_weights(model)
    path.write_bytes(model.SerializeToString())
    return replace(spec, file=path.name, sha256=file_sha256(path), precision=precision)


def _rewritten(
    recipe: Recipe, step: Step, name: str, path: Path
) -> tuple[onnx.ModelProto, GraphPrecision] | None:
    """The graph at the step's precision; None where it stays as it is."""
    calibration = recipe.calibration if step.precision == "int8" else None
    if calibration is not None and name in recipe.quantised_graphs:
        return _quantised(recipe, step, name, onnx.load(path), calibration)
    half = step.precision == "fp16" or (
        step.precision == "int8" and recipe.backend != "onnxruntime"
    )
    if not half:
        return None
    return to_fp16(onnx.load(path), attention_in_fp32=step.attention_in_fp32)


def _quantised(
    recipe: Recipe, step: Step, name: str, model: onnx.ModelProto, calibration: Calibration
) -> tuple[onnx.ModelProto, GraphPrecision]:
    kept = step.keep.get(name, ())
    layers = tuple(x for x in quantisable_layers(model, recipe.scheme) if x not in kept)
    quantised = quantise(model, calibration.ranges[name], recipe.scheme, kept)
    around = FP32
    if recipe.backend != "onnxruntime":
        quantised, around = to_fp16(quantised)
    return quantised, replace(around, arithmetic="int8", quantised=layers, kept=kept)


def _calibration_spec(recipe: Recipe, folder: Path) -> CalibrationSpec:
    assert recipe.calibration is not None
    path = folder / CALIBRATION_NAME
    write_calibration(path, recipe.calibration)
    method = recipe.calibration.method
    if recipe.calibration.percentile is not None:
        method_text = f"{method} {recipe.calibration.percentile:g}"
    else:
        method_text = str(method)
    return CalibrationSpec(
        file=path.name,
        sha256=file_sha256(path),
        method=method_text,
        num_images=len(recipe.calibration.images),
        scheme=recipe.scheme,
    )

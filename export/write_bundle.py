"""A checkpoint becomes a bundle: graphs, references, manifest, and a report on all of it."""

import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from sam3_edge import __version__
from sam3_edge.engines.bundle import MANIFEST_NAME, Bundle, file_sha256, write_manifest
from sam3_edge.engines.contract import graph_tensors
from sam3_edge.engines.manifest import (
    FORMAT_VERSION,
    FP32,
    GraphSpec,
    Manifest,
    ModelSpec,
    Phrase,
    Preprocessing,
    Provenance,
    ReferencesSpec,
    Verification,
    not_run,
)
from sam3_edge.engines.references import write_references
from sam3_edge.errors import ExportError
from sam3_edge.export.compare import verify_graphs
from sam3_edge.export.graphs import detector_graphs
from sam3_edge.export.onnx_files import MAX_PROMPTS, OPSET, write_graph
from sam3_edge.export.reference_images import demo_images, make_references, photos
from sam3_edge.runtime.scene import PHRASES
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.weights import WeightsMetadata, load_weights

LOG = logging.getLogger(__name__)
REFERENCES_NAME = "references.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """photos: folder with pictures to compare the graphs on, or None for the demo scenes.
    vocabulary: the phrases the model knows. default_threshold: for any other phrase, 0..1.
    """

    name: str
    photos: Path | None = None
    num_photos: int = 16
    vocabulary: tuple[Phrase, ...] = ()
    default_threshold: float = 0.3
    half_weights: bool = True


def export_checkpoint(
    checkpoint: Path,
    out: Path,
    options: ExportOptions,
    *,
    preset: str | None = None,
    image_size: int | None = None,
    progress: Callable[[str], None] = LOG.info,
) -> Manifest:
    """Write the bundle at `out`, which must be new, empty or a bundle to replace.

    Raises ExportError. What stands at `out` stays until the new bundle is whole.
    """
    _check_out(out)
    detector, metadata = load_weights(checkpoint, preset=preset, image_size=image_size)
    if options.half_weights:
        # The graphs store FP16 weights: the model they are compared with has the same ones.
        round_parameters(detector)
    building = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        building.mkdir(parents=True)
        manifest = _write(detector, metadata, checkpoint, building, options, progress)
        _replace(out, building)
    except OSError as error:
        raise ExportError(
            f"cannot write {out}: {error.strerror}; check free space and permissions"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return manifest


def _write(
    detector: Detector,
    metadata: WeightsMetadata,
    checkpoint: Path,
    folder: Path,
    options: ExportOptions,
    progress: Callable[[str], None],
) -> Manifest:
    model = _model_spec(detector)
    graphs = _write_graphs(detector, model, folder, options, progress)
    progress("rendering references")
    scenes = demo_images(model.image_size)
    references = folder / REFERENCES_NAME
    write_references(
        references, make_references(detector, scenes, PHRASES, options.default_threshold)
    )
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=options.name,
        model=model,
        precision="fp32",
        weights_storage="fp16" if options.half_weights else "fp32",
        opset=OPSET,
        backend="onnxruntime",
        graphs=graphs,
        preprocessing=Preprocessing(),
        tokenizer="clip-bpe-49408",
        max_prompts=MAX_PROMPTS,
        vocabulary=options.vocabulary,
        default_threshold=options.default_threshold,
        references=ReferencesSpec(
            file=REFERENCES_NAME, sha256=file_sha256(references), num_images=len(scenes)
        ),
        calibration=None,
        verification_onnx=not_run("PyTorch FP32", "export was interrupted before the comparison"),
        verification_engine=None,
        provenance=_provenance(checkpoint, metadata),
        built_on=None,
        attempts=(),
    )
    write_manifest(folder, manifest)
    progress("comparing with PyTorch")
    report = _compare(detector, Bundle.open(folder, verified_only=False), scenes, options)
    manifest = replace(manifest, verification_onnx=report)
    write_manifest(folder, manifest)
    return manifest


def _write_graphs(
    detector: Detector,
    model: ModelSpec,
    folder: Path,
    options: ExportOptions,
    progress: Callable[[str], None],
) -> dict[str, GraphSpec]:
    tensors = graph_tensors(model, detector.config.tokens_per_side)
    graphs = {}
    for name, graph in detector_graphs(detector).items():
        progress(f"exporting {name}")
        path = folder / f"{name}.onnx"
        write_graph(graph, path, half_weights=options.half_weights)
        graphs[name] = GraphSpec(
            file=path.name,
            sha256=file_sha256(path),
            source_sha256=None,
            precision=FP32,
            inputs=tensors[name].inputs,
            outputs=tensors[name].outputs,
        )
    return graphs


def _compare(
    detector: Detector, bundle: Bundle, scenes: NDArray[np.uint8], options: ExportOptions
) -> Verification:
    images, pictures = scenes, "demo scenes"
    if options.photos is not None:
        images = photos(options.photos, options.num_photos, bundle.manifest.model.image_size)
        pictures = "photos"
    phrases = [phrase.text for phrase in options.vocabulary] or list(PHRASES)
    compared = make_references(detector, images, phrases, options.default_threshold)
    return verify_graphs(detector, bundle, compared, pictures)


@torch.no_grad()
def round_parameters(detector: Detector) -> None:
    """Round every parameter to the nearest FP16 value, in place; tables of angles are kept."""
    for parameter in detector.parameters():
        parameter.copy_(parameter.half())


def read_vocabulary(path: Path) -> tuple[Phrase, ...]:
    """From the JSON list that `sam3-edge eval --vocabulary` writes. Raises ExportError."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return tuple(Phrase(**entry) for entry in entries)
    except (OSError, ValueError, TypeError) as error:
        raise ExportError(
            f"{path}: expected a JSON list of phrases with text, ap, ap50, threshold and source, "
            f"got: {error}; write it with `sam3-edge eval --vocabulary`"
        ) from error


def _check_out(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ExportError(f"{out}: expected a folder to write, got a file; choose another path")
    if out.is_dir() and any(out.iterdir()) and not (out / MANIFEST_NAME).is_file():
        raise ExportError(
            f"{out}: expected a new or empty folder or a bundle, got a folder with other files; "
            "choose another path"
        )


def _replace(out: Path, building: Path) -> None:
    old = building.with_suffix(".old")
    if out.exists():
        out.replace(old)
    building.replace(out)
    shutil.rmtree(old, ignore_errors=True)


def _model_spec(detector: Detector) -> ModelSpec:
    config = detector.config
    return ModelSpec(
        preset=config.preset,
        image_size=config.image_size,
        d_model=config.d_model,
        num_queries=config.num_queries,
        context_length=config.text.context_length,
        num_exemplars=config.geometry.num_exemplars,
        num_parameters=sum(p.numel() for p in detector.parameters()),
    )


def _provenance(checkpoint: Path, metadata: WeightsMetadata) -> Provenance:
    return Provenance(
        checkpoint_sha256=file_sha256(checkpoint),
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        sam3_edge_version=__version__,
        torch_version=torch.__version__,
        onnx_version=onnx.__version__,
        recipe=metadata.recipe,
        data=metadata.data,
        licence=metadata.licence,
    )

"""Is this engine the model it was made from? The gate every bundle passes before it is used.

Each graph alone and then the whole chain are compared with the FP32 graphs in ONNX Runtime, on
real pictures. Cosine is reported and judges nothing: logits three times as large keep it at 1.
"""

import numpy as np
from numpy.typing import NDArray

from sam3_edge.engines.backend import Backend
from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.load import load_backend
from sam3_edge.engines.manifest import Verification
from sam3_edge.engines.references import References, read_references
from sam3_edge.engines.text_prompts import text_only_prompts
from sam3_edge.errors import BundleError, UsageError
from sam3_edge.export.agreement import DetectionTally, ReferenceOutput, stored_output
from sam3_edge.export.compare_graphs import (
    GraphComparison,
    Progress,
    compare_graphs,
    compare_stored,
)
from sam3_edge.export.evidence import Evidence, check_unseen, own_pictures
from sam3_edge.export.graph_runner import OnnxRuntimeGraphs, open_graphs
from sam3_edge.export.verdict import Measured, verification
from sam3_edge.runtime.tokenizer import Tokenizer


def verify(
    bundle: Bundle,
    reference: Bundle | None,
    evidence: Evidence | None,
    *,
    num_threads: int | None = None,
    progress: Progress = lambda _: None,
) -> Verification:
    """The verdict on what `measure` measures: as it goes into the manifest."""
    measured = measure(bundle, reference, evidence, num_threads=num_threads, progress=progress)
    return verification(bundle.manifest, measured)


def measure(
    bundle: Bundle,
    reference: Bundle | None,
    evidence: Evidence | None,
    *,
    num_threads: int | None = None,
    progress: Progress = lambda _: None,
) -> Measured:
    """bundle: opened for this machine, unverified. reference: its FP32 ONNX graphs; None for what
    the bundle itself carries, where the vision and exemplar graphs are not compared alone.
    evidence: None for the pictures the bundle carries.

    Raises BundleError for a reference of another model, CalibrationError for pictures the ranges
    were made from, EngineError where a graph cannot be executed.
    """
    if reference is None:
        if evidence is not None:
            raise UsageError(
                "expected a reference for these pictures, got none; add the FP32 bundle: "
                "--reference BUNDLE"
            )
        return _measure_with_own(bundle, stored_references(bundle), num_threads, progress)
    check_reference(bundle, reference)
    shown = own_pictures(stored_references(bundle)) if evidence is None else evidence
    check_unseen(bundle, shown)
    return _measure_with_reference(bundle, reference, shown, num_threads, progress)


def check_reference(bundle: Bundle, reference: Bundle) -> None:
    """Raises BundleError unless `reference` is the FP32 ONNX bundle of the same checkpoint."""
    mine, theirs = bundle.manifest, reference.manifest
    if theirs.precision != "fp32" or theirs.backend != "onnxruntime":
        raise BundleError(
            f"{reference.path}: expected FP32 ONNX graphs as reference, got {theirs.precision} "
            f"for {theirs.backend}; give the bundle that `sam3-edge export` wrote"
        )
    if mine.model != theirs.model:
        raise BundleError(
            f"{reference.path}: expected a reference of the model {mine.model.preset} at "
            f"{mine.model.image_size} pixels, got {theirs.model.preset} at "
            f"{theirs.model.image_size}; give the bundle this one was built from"
        )
    checkpoint = mine.provenance.checkpoint_sha256
    if checkpoint != theirs.provenance.checkpoint_sha256:
        raise BundleError(
            f"{reference.path}: expected a reference of the checkpoint {checkpoint[:12]}..., got "
            f"{theirs.provenance.checkpoint_sha256[:12]}...; give the bundle this one was built from"
        )
    for name in mine.graphs:
        if name not in theirs.graphs:
            raise BundleError(
                f"{reference.path}: expected a reference with the graph {name}, got none; "
                "give the bundle this one was built from"
            )


def _measure_with_reference(
    bundle: Bundle,
    reference: Bundle,
    evidence: Evidence,
    num_threads: int | None,
    progress: Progress,
) -> Measured:
    token_ids = Tokenizer().encode(evidence.phrases)
    trusted = OnnxRuntimeGraphs(reference, num_threads=num_threads)
    runner = open_graphs(bundle, num_threads=num_threads)
    try:
        comparison, expected = compare_graphs(
            bundle, runner, reference, trusted, evidence, token_ids, progress
        )
    finally:
        runner.close()
        trusted.close()
    tally = _tally(bundle, evidence, token_ids, expected, num_threads, progress)
    ap = reference_ap = None
    if evidence.annotated is not None and tally.finite:
        from sam3_edge.export.box_ap import box_ap  # needs pycocotools

        progress("box AP of the reference")
        reference_ap = box_ap(reference, evidence.annotated, num_threads=num_threads)
        progress("box AP")
        ap = box_ap(bundle, evidence.annotated, num_threads=num_threads)
    return Measured(
        reference="FP32 graphs in ONNX Runtime",
        images=len(evidence),
        pictures=evidence.pictures,
        outputs=comparison.outputs,
        without_twin=comparison.without_twin,
        detections=tally.result(),
        extra=tally.extra,
        finite=tally.finite,
        ap=ap,
        reference_ap=reference_ap,
    )


def _tally(
    bundle: Bundle,
    evidence: Evidence,
    token_ids: NDArray[np.int64],
    expected: list[ReferenceOutput],
    num_threads: int | None,
    progress: Progress,
) -> DetectionTally:
    """What the whole chain finds, against what the reference found."""
    tally = DetectionTally()
    backend = load_backend(bundle, num_threads=num_threads)
    try:
        text = backend.encode_text(token_ids)
        prompts = text_only_prompts(text, bundle.manifest.model.num_exemplars)
        for number, (image, wanted) in enumerate(zip(evidence.images, expected, strict=True), 1):
            progress(f"the whole chain: picture {number} of {len(evidence)}")
            backend.image_slot(0)[...] = image
            tally.add(wanted, backend.submit(0, prompts).result())
    finally:
        backend.close()
    return tally


def _measure_with_own(
    bundle: Bundle, references: References, num_threads: int | None, progress: Progress
) -> Measured:
    """Against the outputs the bundle carries: text alone, then the whole chain."""
    comparison, tally = GraphComparison(), DetectionTally()
    backend = load_backend(bundle, num_threads=num_threads)
    try:
        _compare_text(backend, references, comparison)
        text = backend.encode_text(references.token_ids)
        prompts = text_only_prompts(text, references.num_exemplars)
        for index, image in enumerate(references.images):
            progress(f"the whole chain: picture {index + 1} of {len(references)}")
            backend.image_slot(0)[...] = image
            got = backend.submit(0, prompts).result()
            compare_stored(comparison, references, index, got)
            tally.add(stored_output(references, index), got)
    finally:
        backend.close()
    return Measured(
        reference="the FP32 outputs in the bundle",
        images=len(references),
        pictures=own_pictures(references).pictures,
        outputs=comparison.outputs,
        without_twin=comparison.without_twin,
        detections=tally.result(),
        extra=tally.extra,
        finite=tally.finite,
    )


def _compare_text(backend: Backend, references: References, comparison: GraphComparison) -> None:
    text = backend.encode_text(references.token_ids)
    comparison.note(
        "text", {"text_features": references.text_features}, {"text_features": text.features}
    )
    comparison.note("text", {"text_mask": references.text_mask}, {"text_mask": text.mask})


def stored_references(bundle: Bundle) -> References:
    if bundle.references_path is None:
        raise BundleError(
            f"{bundle.path} carries no reference pictures: expected some to compare with, got "
            "none; add --reference BUNDLE and --images FOLDER"
        )
    return read_references(bundle.references_path)

"""Exported graphs against PyTorch: every output, then every detection."""

from collections.abc import Iterator, Sequence

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.drift import replay
from sam3_edge.engines.manifest import OutputDifference, Verification
from sam3_edge.engines.onnxruntime_backend import OnnxRuntimeBackend
from sam3_edge.engines.references import References
from sam3_edge.export.graphs import detector_graphs
from sam3_edge.export.output_difference import note_difference, output_difference
from sam3_edge.training.model.detector import Detector

TOLERANCE = 1e-3


def verify_graphs(
    detector: Detector, bundle: Bundle, references: References, pictures: str
) -> Verification:
    """Run the bundle's graphs in ONNX Runtime on `references` and compare with the detector.

    Passed: every output of every graph within TOLERANCE of PyTorch's for the same inputs, and
    every detection found by both when the graphs run one after the other.
    pictures: what the images are, for the report.
    """
    differences = graph_differences(detector, bundle, references)
    matched = _detections_matched(bundle, references)
    worst = max(differences, key=lambda name: _largest(differences[name]))
    largest = _largest(differences[worst])
    passed = largest <= TOLERANCE and matched == 1.0
    return Verification(
        state="passed" if passed else "failed",
        reference="PyTorch FP32",
        images=len(references),
        pictures=pictures,
        outputs=differences,
        detections=None,
        ap=None,
        reference_ap=None,
        message=(
            f"{len(references)} pictures ({pictures}): largest difference "
            f"{largest:.2g} in {worst}, tolerance {TOLERANCE:g}; "
            f"{matched:.1%} of detections the same"
        ),
    )


def graph_differences(
    detector: Detector, bundle: Bundle, references: References
) -> dict[str, OutputDifference]:
    """By "graph.output", the worst of all pictures."""
    differences: dict[str, OutputDifference] = {}
    for name, graph in detector_graphs(detector).items():
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(bundle.graph_path(name), options)
        for inputs in _inputs(name, detector, references):
            with torch.inference_mode():
                expected = graph.module(**inputs)
            feed = {key: value.numpy() for key, value in inputs.items()}
            got = session.run(list(graph.outputs), feed)
            if name == "decoder":
                got = _in_order_of(expected, got)
            outputs = (expected,) if isinstance(expected, Tensor) else expected
            for key, wanted, came in zip(graph.outputs, outputs, got, strict=True):
                difference = output_difference(key, wanted.numpy(), came)
                note_difference(differences, f"{name}.{key}", difference)
    return differences


def _inputs(name: str, detector: Detector, references: References) -> Iterator[dict[str, Tensor]]:
    """What one graph is asked, picture by picture; for exemplars the reference's own boxes."""
    if name == "text":
        yield {"token_ids": torch.from_numpy(references.token_ids)}
        return
    prompts = references.prompts()
    for index, image in enumerate(references.images):
        picture = torch.from_numpy(image[None])
        if name == "vision":
            yield {"image": picture}
            continue
        with torch.inference_mode():
            features = detector.encode_image(picture)
        if name == "exemplar":
            yield {"features_1x": features.maps[2], **_exemplars(detector, references, index)}
            continue
        names = ("features_4x", "features_2x", "features_1x", "image_token")
        yield {
            **dict(zip(names, (*features.maps, features.image_token), strict=True)),
            "text_features": torch.from_numpy(prompts.text_features),
            "exemplar_features": torch.from_numpy(prompts.exemplar_features),
            "prompt_mask": torch.from_numpy(prompts.prompt_mask),
        }


def _exemplars(detector: Detector, references: References, index: int) -> dict[str, Tensor]:
    """The best boxes of each prompt as exemplars, every third one unwanted, the last slot empty."""
    slots = detector.config.geometry.num_exemplars - 1
    best = np.argsort(-references.logits[index], axis=1)[:, :slots]
    boxes = np.take_along_axis(references.boxes[index], best[..., None], axis=1)
    labels = np.broadcast_to(np.arange(slots) % 3 != 2, best.shape).astype(np.int64)
    padding = np.broadcast_to(np.arange(slots) == slots - 1, best.shape)
    arrays = {"boxes": boxes, "labels": labels, "box_mask": padding}
    return {key: torch.from_numpy(np.array(value)) for key, value in arrays.items()}


def _in_order_of(
    expected: Sequence[Tensor], got: Sequence[NDArray[np.float32]]
) -> list[NDArray[np.float32]]:
    """The decoder's outputs with each query next to its twin.

    Queries are a set: where they are proposals, a difference in the last bit of two scores swaps
    them in TopK, and nothing else follows from their order. Queries without a twin stay in place.
    """
    logits, presence, boxes, masks = got
    came = np.concatenate((logits[..., None], boxes), axis=-1)
    wanted = torch.cat((expected[0][..., None], expected[2]), dim=-1).numpy()
    twins = np.abs(wanted[:, :, None] - came[:, None]).max(axis=-1).argmin(axis=2)
    for prompt, order in enumerate(twins):
        if len(set(order.tolist())) < len(order):
            twins[prompt] = np.arange(len(order))
    return [
        np.take_along_axis(logits, twins, axis=1),
        presence,
        np.take_along_axis(boxes, twins[..., None], axis=1),
        np.take_along_axis(masks, twins[..., None, None], axis=1),
    ]


def _detections_matched(bundle: Bundle, references: References) -> float:
    backend = OnnxRuntimeBackend(bundle)
    try:
        drifts = [replay(backend, references, index) for index in range(len(references))]
    finally:
        backend.close()
    return float(np.mean([drift.detections_matched for drift in drifts]))


def _largest(difference: OutputDifference) -> float:
    return float("inf") if difference.max_abs is None else difference.max_abs

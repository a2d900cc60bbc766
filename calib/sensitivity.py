"""How much each layer, quantised alone, changes what its graph gives; and which layers to keep.

Errors of single layers add up like independent noise: on the default model the root of the sum of
their squares foretells the error of all of them together within a fifth, over a range of ten.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from sam3_edge.calib.calibration import Calibration
from sam3_edge.calib.collect import GraphFeeds, Progress, no_progress
from sam3_edge.calib.images import CalibrationImages
from sam3_edge.calib.quantise import Scheme
from sam3_edge.calib.switched_graph import SwitchedGraph
from sam3_edge.engines.bundle import Bundle

SCHEMES: tuple[Scheme, ...] = ("symmetric_int8", "asymmetric_uint8")
NUM_IMAGES = 4
# Predicted relative L2 errors to try in turn, after the graph with all layers quantised. Measured
# on the default model, in both schemes: 0.05 finds 94 to 96 % of the FP32 detections again, 0.04
# 96 to 97 %, 0.03 97 %, 0.02 98 %; with nothing kept (0.15) it is 84 %.
TARGETS = (0.05, 0.04, 0.03, 0.02)

Feed = Mapping[str, NDArray[Any]]


def measure_sensitivity(
    bundle: Bundle,
    calibration: Calibration,
    images: CalibrationImages,
    *,
    schemes: Sequence[Scheme] = SCHEMES,
    count: int = NUM_IMAGES,
    progress: Progress = no_progress,
) -> dict[str, dict[str, dict[str, float]]]:
    """By scheme, graph and layer; `count` of the calibration's images, evenly spread, are used.

    Errors of a decoder that picks its queries by score are not what they seem: the same objects
    in another order count as wrong here.
    """
    feeds = _feeds(bundle, calibration, images, count)
    measured: dict[str, dict[str, dict[str, float]]] = {}
    for scheme in schemes:
        measured[scheme] = {}
        for name in calibration.ranges:
            model = onnx.load(bundle.graph_path(name))
            graph = SwitchedGraph(model, calibration.ranges[name], scheme)
            measured[scheme][name] = layer_errors(
                graph,
                feeds[name],
                f"{name} layers, {scheme}",
                progress,
            )
    return measured


def layer_errors(
    graph: SwitchedGraph,
    feeds: Sequence[Feed],
    what: str = "layers",
    progress: Progress = no_progress,
) -> dict[str, float]:
    """By layer: relative L2 error of the outputs (`relative_error`) when it alone is INT8."""
    exact = [graph.run(feed, ()) for feed in feeds]
    errors = {}
    for done, layer in enumerate(graph.layers):
        progress(what, done, len(graph.layers))
        errors[layer] = relative_error(exact, [graph.run(feed, (layer,)) for feed in feeds])
    progress(what, len(graph.layers), len(graph.layers))
    return errors


def relative_error(
    expected: Sequence[Sequence[NDArray[Any]]], got: Sequence[Sequence[NDArray[Any]]]
) -> float:
    """Of several runs with several outputs: |got - expected| / |expected| of each output over all
    runs, then the root of the mean square over the outputs."""
    squares = []
    for output in range(len(expected[0])):
        difference = size = 0.0
        for a, b in zip(expected, got, strict=True):
            difference += float(np.sum(np.square(b[output] - a[output], dtype=np.float64)))
            size += float(np.sum(np.square(a[output], dtype=np.float64)))
        squares.append(difference / size if size else float(difference > 0))
    return math.sqrt(sum(squares) / len(squares))


def worst_layers(errors: Mapping[str, float], count: int) -> tuple[str, ...]:
    """The `count` layers with the largest errors, worst first."""
    return tuple(sorted(errors, key=lambda layer: -errors[layer])[:count])


def predicted_error(errors: Mapping[str, float], keep: Sequence[str] = ()) -> float:
    """What quantising every layer but those in `keep` will give."""
    return math.sqrt(sum(error**2 for layer, error in errors.items() if layer not in keep))


def layers_to_keep(errors: Mapping[str, float], target: float) -> tuple[str, ...]:
    """The fewest layers, worst first, without which the predicted error is at most `target`."""
    for count in range(len(errors)):
        keep = worst_layers(errors, count)
        if predicted_error(errors, keep) <= target:
            return keep
    return worst_layers(errors, len(errors))


def ladder(errors: Mapping[str, float]) -> tuple[tuple[str, ...], ...]:
    """What to keep at each step of a build: first nothing, then for each target in TARGETS more.

    A step that keeps what the one before it kept, and one that keeps everything, are left out.
    """
    steps: list[tuple[str, ...]] = [()]
    for target in TARGETS:
        keep = layers_to_keep(errors, target)
        if len(steps[-1]) < len(keep) < len(errors):
            steps.append(keep)
    return tuple(steps)


def _feeds(
    bundle: Bundle, calibration: Calibration, images: CalibrationImages, count: int
) -> dict[str, list[Feed]]:
    source = GraphFeeds(bundle, calibration.phrases)
    feeds: dict[str, list[Feed]] = {name: [] for name in calibration.ranges}
    for image in images.spread(count).pictures(bundle.manifest.model.image_size):
        for name, batches in source.of(image).items():
            feeds[name] += batches
    return feeds

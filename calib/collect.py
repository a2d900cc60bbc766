"""What the tensors around the layers of the vision and decoder graphs reach on real pictures."""

import contextlib
import importlib.metadata
import io
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
from onnxruntime.quantization.calibrate import CalibraterBase, create_calibrator

from sam3_edge import __version__
from sam3_edge.calib.calibration import (
    FORMAT_VERSION,
    Calibration,
    CalibrationImage,
    Method,
    Range,
)
from sam3_edge.calib.images import CalibrationImages
from sam3_edge.calib.quantise import FOLDED, LAYERS, float_weights, ranged_tensors
from sam3_edge.engines.backend import TextFeatures
from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.onnxruntime_session import available_processors, load_session
from sam3_edge.engines.text_prompts import text_only_prompts
from sam3_edge.errors import CalibrationError
from sam3_edge.runtime.tokenizer import Tokenizer

GRAPHS = ("vision", "decoder")
DEFAULT_METHOD: Method = "percentile"
DEFAULT_PERCENTILE = 99.99
# Fewer are coarse, and more take minutes: each candidate limit is one pass over the histogram.
_ENTROPY_BINS = 512

Feed = dict[str, NDArray[Any]]
Progress = Callable[[str, int, int], None]
"""(what is being done, how much of it is done, how much there is)"""


def no_progress(_what: str, _done: int, _total: int) -> None:
    """Tells nobody."""


def calibrate(
    bundle: Bundle,
    images: CalibrationImages,
    phrases: Sequence[str] = (),
    *,
    method: Method = DEFAULT_METHOD,
    percentile: float = DEFAULT_PERCENTILE,
    progress: Progress = no_progress,
) -> Calibration:
    """Run the FP32 `bundle` over the pictures, one at a time, and note the ranges.

    phrases: what the decoder is asked for; without any it is left out. INT8 does not pay in the
        default model's decoder, and looking at it takes most of the time.
    percentile: 0..100, for that method.
    Sensitivities stay empty: `sensitivity.measure_sensitivity` fills them in.
    Raises CalibrationError for a bundle that is not FP32 ONNX, and for values that are not finite.
    """
    check_calibratable(bundle)
    feeds = GraphFeeds(bundle, phrases)
    with tempfile.TemporaryDirectory(prefix="sam3-edge-calibrate.") as folder:
        collectors = {
            name: _collector(bundle, name, Path(folder), method, percentile)
            for name in feeds.graphs
            if _ranged_tensors(bundle, name)
        }
        size = bundle.manifest.model.image_size
        for done, image in enumerate(images.pictures(size)):
            progress("ranges", done, len(images))
            batches = feeds.of(image)
            for name, collector in collectors.items():
                _collect(collector, batches[name], f"{images.names[done]}: {name}")
        progress("ranges", len(images), len(images))
        measured = {name: _ranges(bundle, name, collectors[name]) for name in collectors}
    return Calibration(
        format_version=FORMAT_VERSION,
        model=bundle.manifest.name,
        model_sha256={name: spec.sha256 for name, spec in bundle.manifest.graphs.items()},
        method=method,
        percentile=percentile if method == "percentile" else None,
        versions=_versions(),
        phrases=tuple(phrases),
        images=tuple(
            CalibrationImage(name=name, sha256=sha256)
            for name, sha256 in zip(images.names, images.sha256, strict=True)
        ),
        ranges={name: measured.get(name, {}) for name in feeds.graphs},
        sensitivity={},
    )


def check_calibratable(bundle: Bundle) -> None:
    manifest = bundle.manifest
    if manifest.precision != "fp32" or manifest.backend != "onnxruntime":
        raise CalibrationError(
            f"{bundle.path}: expected an FP32 bundle for onnxruntime, got {manifest.precision} for "
            f"{manifest.backend}; calibrate the bundle that `sam3-edge export` wrote"
        )


def phrases_for(bundle: Bundle, phrases: Sequence[str] | None) -> tuple[str, ...]:
    """The given phrases, or the bundle's own. Raises CalibrationError where there are none."""
    chosen = tuple(phrases or (phrase.text for phrase in bundle.manifest.vocabulary))
    if not chosen:
        raise CalibrationError(
            f"{bundle.path}: expected phrases to ask for, got a bundle without a vocabulary; "
            "give some with --prompt"
        )
    return chosen


@dataclass(slots=True)
class GraphFeeds:
    """What each graph is fed for a picture: the decoder with the FP32 features of that picture.

    graphs: their names; without phrases there is no decoder.
    """

    graphs: tuple[str, ...]
    _vision: onnxruntime.InferenceSession
    _feature_names: list[str]
    _prompts: list[Feed]

    def __init__(self, bundle: Bundle, phrases: Sequence[str]) -> None:
        self.graphs = GRAPHS if phrases else GRAPHS[:1]
        specs, threads = bundle.manifest.graphs, available_processors()
        self._vision = load_session(bundle.graph_path("vision"), specs["vision"], threads)
        self._feature_names = [tensor.name for tensor in specs["vision"].outputs]
        text = load_session(bundle.graph_path("text"), specs["text"], threads)
        self._prompts = list(_prompt_batches(bundle, text, phrases))

    def of(self, image: NDArray[np.uint8]) -> dict[str, list[Feed]]:
        """image: (S, S, 3) uint8 RGB. By graph: one feed for each run of it."""
        vision = {"image": image[None]}
        if not self._prompts:
            return {"vision": [vision]}
        features = self._vision.run(self._feature_names, vision)
        maps = dict(zip(self._feature_names, features, strict=True))
        return {"vision": [vision], "decoder": [{**maps, **prompts} for prompts in self._prompts]}


def _prompt_batches(
    bundle: Bundle, text: onnxruntime.InferenceSession, phrases: Sequence[str]
) -> Iterator[Feed]:
    """Text prompts without exemplars, in chunks as long as the runtime's."""
    ids, most = Tokenizer().encode(phrases), bundle.manifest.max_prompts
    for start in range(0, len(ids), most):
        chunk = {"token_ids": ids[start : start + most]}
        features, mask = text.run(["text_features", "text_mask"], chunk)
        prompts = text_only_prompts(
            TextFeatures(features=features, mask=mask), bundle.manifest.model.num_exemplars
        )
        yield {
            "text_features": prompts.text_features,
            "exemplar_features": prompts.exemplar_features,
            "prompt_mask": prompts.prompt_mask,
        }


class _Feeds(CalibrationDataReader):  # type: ignore[misc]
    """Hands over a few feeds and is empty: statistics stay, activations do not pile up."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def _collector(
    bundle: Bundle, name: str, folder: Path, method: Method, percentile: float
) -> CalibraterBase:
    path = folder / f"{name}.onnx"
    onnx.save(float_weights(onnx.load(bundle.graph_path(name))), path)
    options: dict[Method, tuple[CalibrationMethod, dict[str, object]]] = {
        "minmax": (CalibrationMethod.MinMax, {}),
        "entropy": (CalibrationMethod.Entropy, {"num_bins": _ENTROPY_BINS}),
        "percentile": (
            CalibrationMethod.Percentile,
            {"percentile": percentile, "symmetric": False},
        ),
    }
    kind, extra = options[method]
    return create_calibrator(
        os.fspath(path),
        [*LAYERS["symmetric_int8"], *FOLDED],
        augmented_model_path=os.fspath(folder / f"{name}.augmented.onnx"),
        calibrate_method=kind,
        extra_options=extra,
    )


def _collect(collector: CalibraterBase, feeds: Sequence[Feed], what: str) -> None:
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it says so once a call
            for feed in feeds:
                collector.collect_data(_Feeds([feed]))
    except Exception as error:  # NumPy's for values that are not finite, ONNX Runtime's own
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise CalibrationError(
            f"{what} graph: expected finite values, got: {reason}; "
            "check the bundle with `sam3-edge verify`"
        ) from error


def _ranges(bundle: Bundle, name: str, collector: CalibraterBase) -> dict[str, Range]:
    """Only of the tensors that quantising needs, rounded as they are used: to float32."""
    with contextlib.redirect_stdout(io.StringIO()):  # it talks about its bins
        measured = collector.compute_data()
    ranges = {}
    for tensor in _ranged_tensors(bundle, name):
        low, high = (float(np.float32(value).item()) for value in measured[tensor].range_value)
        if not (np.isfinite(low) and np.isfinite(high)):
            raise CalibrationError(
                f"{name} graph: expected finite values of {tensor}, got {low} to {high}; "
                "check the bundle with `sam3-edge verify`"
            )
        ranges[tensor] = (low, high)
    return ranges


def _ranged_tensors(bundle: Bundle, name: str) -> tuple[str, ...]:
    return ranged_tensors(onnx.load(bundle.graph_path(name), load_external_data=False))


def _versions() -> dict[str, str]:
    packages = ("numpy", "onnx", "onnxruntime")
    return {"sam3_edge": __version__, **{p: importlib.metadata.version(p) for p in packages}}

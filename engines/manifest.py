"""What `manifest.json` of a bundle says: identity, tensors, words, verification, origin."""

from dataclasses import dataclass
from typing import Literal

from sam3_edge.engines.strict_json import from_json, to_json_text

FORMAT_VERSION = 2

Dtype = Literal["uint8", "int64", "bool", "float32"]
State = Literal["passed", "failed", "not_run"]
Precision = Literal["fp32", "fp16", "int8"]
BackendName = Literal["onnxruntime", "tensorrt", "tensorrt_rtx"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """The sizes every tensor follows from.

    image_size: S, pixels, the side of the network's square.
    d_model: C. num_queries: Q. context_length: text tokens per prompt, 32.
    num_exemplars: E, exemplar slots per prompt, the exemplar encoder's class token included.
    """

    preset: str
    image_size: int
    d_model: int
    num_queries: int
    context_length: int
    num_exemplars: int
    num_parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output of a graph. An axis is a size, or "P", the number of prompts."""

    name: str
    dtype: Dtype
    shape: tuple[int | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphPrecision:
    """The arithmetic that stands in a graph, and where it differs from it on purpose.

    around: what an INT8 graph computes in around its quantised layers; else the same again.
    fp32_islands: nodes an FP16 graph computes in FP32, counted by the rule that says so.
    quantised: layers (node names) of an INT8 graph with Q/DQ before them.
    kept: layers that could be quantised and are not, for accuracy, worst first.
    """

    arithmetic: Precision
    around: Literal["fp32", "fp16"]
    fp32_islands: dict[str, int]
    quantised: tuple[str, ...]
    kept: tuple[str, ...]


FP32 = GraphPrecision(arithmetic="fp32", around="fp32", fp32_islands={}, quantised=(), kept=())


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSpec:
    """One graph or compiled engine.

    file: its name inside the bundle. sha256: of the file, 64 hexadecimal digits.
    source_sha256: of the ONNX graph an engine was compiled from; None for a graph.
    inputs, outputs: as outside callers see them, the same in every precision.
    """

    file: str
    sha256: str
    source_sha256: str | None
    precision: GraphPrecision
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """How a frame becomes the (S, S, 3) picture the vision graph takes."""

    resize: Literal["square"] = "square"
    filter: Literal["bilinear_antialias"] = "bilinear_antialias"
    color: Literal["RGB"] = "RGB"
    dtype: Literal["uint8"] = "uint8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """A phrase the model was trained on.

    ap, ap50: validation box AP at IoU 0.50:0.95 and at 0.50, 0..1; None where not measured.
    threshold: the score, 0..1, that serves this phrase best. source: the data it comes from.
    """

    text: str
    ap: float | None
    ap50: float | None
    threshold: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencesSpec:
    file: str
    sha256: str
    num_images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationSpec:
    """Where the ranges of an INT8 bundle come from.

    file: the calibration inside the bundle: it names its images, model and ranges.
    method: e.g. "percentile 99.99". scheme: how activations are quantised.
    """

    file: str
    sha256: str
    method: str
    num_images: int
    scheme: Literal["symmetric_int8", "asymmetric_uint8"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputDifference:
    """One output of one graph against the reference, the worst picture of all.

    relative_l2: ||got - expected|| / ||expected||; of logits, relative to at least one a value.
    cosine: of the two as vectors.
    None where a value was not finite, or was not measured.
    """

    max_abs: float | None
    relative_l2: float | None
    cosine: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionAgreement:
    """The whole chain against the reference's detections of score 0.3 or more.

    reference_detections: how many those are. matched: the share of them, 0..1, with a partner
    for the same prompt at box IoU 0.9, one to one.
    score_difference, box_iou, mask_iou: medians over the matched pairs.
    presence_difference: largest difference of sigmoid(presence), over pictures and prompts.
    None where there was nothing to compare.
    """

    reference_detections: int
    matched: float | None
    score_difference: float | None
    box_iou: float | None
    mask_iou: float | None
    presence_difference: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """One numerical comparison with a trusted source.

    reference: what was compared with. images: how many; pictures: what they are.
    outputs: by "graph.output". detections: None where the chain was not run.
    ap, reference_ap: box AP at IoU 0.50:0.95, 0..1; None without annotations.
    message: one line for a person.
    """

    state: State
    reference: str
    images: int
    pictures: str
    outputs: dict[str, OutputDifference]
    detections: DetectionAgreement | None
    ap: float | None
    reference_ap: float | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where the bundle comes from. created_utc: ISO 8601. data: data sets trained on."""

    checkpoint_sha256: str
    created_utc: str
    sam3_edge_version: str
    torch_version: str | None
    onnx_version: str | None
    recipe: str
    data: tuple[str, ...]
    licence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltOn:
    """The device an engine was compiled for.

    gpu_name: empty where it was compiled without a GPU. compute_capability: e.g. "8.7".
    driver_version: empty likewise. prompt_profile: fewest, usual and most prompts in one call.
    device_memory_bytes: what executing all its graphs takes beside their weights.
    """

    gpu_name: str
    compute_capability: str
    driver_version: str
    tensorrt_version: str
    prompt_profile: tuple[int, ...]
    device_memory_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """`manifest.json`, whole.

    graphs: by name: "vision", "text", "decoder" and, where exemplars are supported, "exemplar".
    max_prompts: the most prompts the decoder and text graphs take in one call.
    default_threshold: score, 0..1, for a phrase that is not in the vocabulary.
    calibration: of INT8. verification_onnx: of the graphs, in ONNX Runtime.
    verification_engine: None for exported graphs; an engine needs its own.
    built_on: None for graphs that run anywhere.
    attempts: what the build tried, in order, one line each; the last is what this is.
    """

    format_version: int
    name: str
    model: ModelSpec
    precision: Precision
    weights_storage: Literal["fp32", "fp16"]
    opset: int
    backend: BackendName
    graphs: dict[str, GraphSpec]
    preprocessing: Preprocessing
    tokenizer: Literal["clip-bpe-49408"]
    max_prompts: int
    vocabulary: tuple[Phrase, ...]
    default_threshold: float
    references: ReferencesSpec | None
    calibration: CalibrationSpec | None
    verification_onnx: Verification
    verification_engine: Verification | None
    provenance: Provenance
    built_on: BuiltOn | None
    attempts: tuple[str, ...]


def not_run(reference: str, message: str) -> Verification:
    """The verdict on what was not compared. message: why, and what to do."""
    return Verification(
        state="not_run",
        reference=reference,
        images=0,
        pictures="",
        outputs={},
        detections=None,
        ap=None,
        reference_ap=None,
        message=message,
    )


def manifest_from_json(value: object) -> Manifest:
    """From parsed JSON. ValueError naming the key, what was expected and what came."""
    manifest = from_json(Manifest, value)
    _check_values(manifest)
    return manifest


def manifest_to_json_text(manifest: Manifest) -> str:
    """ValueError for a value the reader would refuse."""
    _check_values(manifest)
    return to_json_text(manifest)


def _check_values(manifest: Manifest) -> None:
    for name in ("image_size", "d_model", "num_queries", "context_length", "num_exemplars"):
        _check_positive(f"model.{name}", getattr(manifest.model, name))
    _check_positive("max_prompts", manifest.max_prompts)
    _check_share("default_threshold", manifest.default_threshold)
    for index, phrase in enumerate(manifest.vocabulary):
        _check_share(f"vocabulary[{index}].threshold", phrase.threshold)
    files = {f"graphs.{name}.file": graph.file for name, graph in manifest.graphs.items()}
    if manifest.references is not None:
        files["references.file"] = manifest.references.file
    if manifest.calibration is not None:
        files["calibration.file"] = manifest.calibration.file
    for key, file in files.items():
        # A bundle may come from anywhere: it must not name files outside its own folder.
        if not file or file in (".", "..") or any(mark in file for mark in "/\\:\0"):
            raise ValueError(f"{key}: expected a plain file name, got {file!r}")


def _check_positive(key: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{key}: expected at least 1, got {value}")


def _check_share(key: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{key}: expected 0 to 1, got {value}")

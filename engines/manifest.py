"""What `manifest.json` of a bundle says: identity, tensors, words, verification, origin."""

from dataclasses import dataclass
from typing import Literal

from sam3_edge.engines.strict_json import from_json, to_json_text

FORMAT_VERSION = 1

Dtype = Literal["uint8", "int64", "bool", "float32"]
State = Literal["passed", "failed", "not_run"]


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
class GraphSpec:
    """file: its name inside the bundle. sha256: of the file, 64 hexadecimal digits."""

    file: str
    sha256: str
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
class Verification:
    """One numerical comparison with a trusted source.

    reference: what was compared with. max_abs_difference: by "graph.output"; None where a value
        was not finite. detections_matched: share of the detections found by both, 0..1.
    images: how many pictures were compared. message: one line for a person.
    """

    state: State
    reference: str
    max_abs_difference: dict[str, float | None]
    detections_matched: float | None
    images: int
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
    """The device an engine was compiled for, e.g. compute capability "8.7"."""

    gpu_name: str
    compute_capability: str
    driver_version: str
    tensorrt_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """`manifest.json`, whole.

    graphs: by name: "vision", "text", "decoder" and, where exemplars are supported, "exemplar".
    max_prompts: the most prompts the decoder and text graphs take in one call.
    default_threshold: score, 0..1, for a phrase that is not in the vocabulary.
    verification_engine: None for exported graphs; an engine needs its own.
    built_on: None for graphs that run anywhere.
    """

    format_version: int
    name: str
    model: ModelSpec
    precision: Literal["fp32", "fp16", "int8"]
    weights_storage: Literal["fp32", "fp16"]
    opset: int
    backend: Literal["onnxruntime", "tensorrt", "tensorrt_rtx"]
    graphs: dict[str, GraphSpec]
    preprocessing: Preprocessing
    tokenizer: Literal["clip-bpe-49408"]
    max_prompts: int
    vocabulary: tuple[Phrase, ...]
    default_threshold: float
    references: ReferencesSpec | None
    verification_onnx: Verification
    verification_engine: Verification | None
    provenance: Provenance
    built_on: BuiltOn | None


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

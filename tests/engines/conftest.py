"""A whole bundle with graphs of a few numbers, so that engine tests need no model."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from sam3_edge.engines.bundle import Bundle, file_sha256, write_manifest
from sam3_edge.engines.contract import GraphTensors, graph_tensors
from sam3_edge.engines.manifest import (
    FORMAT_VERSION,
    FP32,
    GraphSpec,
    Manifest,
    ModelSpec,
    OutputDifference,
    Phrase,
    Preprocessing,
    Provenance,
    TensorSpec,
    Verification,
)
from sam3_edge.engines.onnxruntime_backend import OnnxRuntimeBackend
from sam3_edge.engines.references import References, record_references
from sam3_edge.engines.text_prompts import text_only_prompts

MODEL = ModelSpec(
    preset="tiny",
    image_size=28,
    d_model=4,
    num_queries=5,
    context_length=32,
    num_exemplars=3,
    num_parameters=1,
)
GRID = 2
_TYPES = {
    "uint8": TensorProto.UINT8,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
    "float32": TensorProto.FLOAT,
}


def vision_graph() -> tuple[list[onnx.NodeProto], dict[str, NDArray[Any]]]:
    """Cast, transpose, mix the colours, average over cells; the token is the mean."""
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "mix"], ["mixed"]),
        helper.make_node(
            "AveragePool", ["mixed"], ["features_4x"], kernel_shape=[7, 7], strides=[3, 3]
        ),
        helper.make_node(
            "AveragePool", ["mixed"], ["features_2x"], kernel_shape=[7, 7], strides=[7, 7]
        ),
        helper.make_node(
            "AveragePool", ["mixed"], ["features_1x"], kernel_shape=[14, 14], strides=[14, 14]
        ),
        helper.make_node("GlobalAveragePool", ["mixed"], ["mean"]),
        helper.make_node("Reshape", ["mean", "token_shape"], ["image_token"]),
    ]
    mix = np.random.default_rng(1).normal(size=(4, 3, 1, 1)).astype(np.float32) / 64
    return nodes, {"mix": mix, "token_shape": np.array([1, 1, 4])}


def text_graph() -> tuple[list[onnx.NodeProto], dict[str, NDArray[Any]]]:
    nodes = [
        helper.make_node("Gather", ["words", "token_ids"], ["text_features"]),
        helper.make_node("Equal", ["token_ids", "zero"], ["text_mask"]),
    ]
    words = np.random.default_rng(2).normal(size=(100, 4)).astype(np.float32)
    return nodes, {"words": words, "zero": np.array(0)}


def decoder_graph() -> tuple[list[onnx.NodeProto], dict[str, NDArray[Any]]]:
    """The sum of the unmasked prompt tokens times the picture's mean, then one matrix each."""
    make = helper.make_node
    nodes = [
        make("Shape", ["text_features"], ["num_prompts"], start=0, end=1),
        make("Concat", ["num_prompts", "one_by_width"], ["token_shape"], axis=0),
        make("Expand", ["image_token", "token_shape"], ["token"]),
        make("Concat", ["text_features", "token", "exemplar_features"], ["prompt"], axis=1),
        make("Not", ["prompt_mask"], ["attended"]),
        make("Cast", ["attended"], ["weight"], to=TensorProto.FLOAT),
        make("Unsqueeze", ["weight", "last"], ["weights"]),
        make("Mul", ["prompt", "weights"], ["weighted"]),
        make("ReduceSum", ["weighted", "middle"], ["summed"], keepdims=0),
        make("GlobalAveragePool", ["features_1x"], ["mean"]),
        make("Reshape", ["mean", "row"], ["picture"]),
        make("Mul", ["summed", "picture"], ["seen"]),
        make("MatMul", ["seen", "to_logits"], ["logits"]),
        make("MatMul", ["seen", "to_presence"], ["presence"]),
        make("MatMul", ["seen", "to_boxes"], ["flat_boxes"]),
        make("Reshape", ["flat_boxes", "box_shape"], ["raw_boxes"]),
        make("Sigmoid", ["raw_boxes"], ["boxes"]),
        make("MatMul", ["seen", "to_queries"], ["flat_queries"]),
        make("Reshape", ["flat_queries", "query_shape"], ["queries"]),
        make("Reshape", ["features_4x", "pixel_shape"], ["pixels"]),
        make("MatMul", ["queries", "pixels"], ["flat_masks"]),
        make("GlobalAveragePool", ["features_2x"], ["mean_2x"]),
        make("ReduceSum", ["mean_2x"], ["offset"], keepdims=0),
        make("Add", ["flat_masks", "offset"], ["offset_masks"]),
        make("Reshape", ["offset_masks", "mask_shape"], ["masks"]),
    ]
    random = np.random.default_rng(3)
    arrays: dict[str, NDArray[Any]] = {
        "one_by_width": np.array([1, 4]),
        "last": np.array([2]),
        "middle": np.array([1]),
        "row": np.array([1, 4]),
        "box_shape": np.array([-1, 5, 4]),
        "query_shape": np.array([-1, 5, 4]),
        "pixel_shape": np.array([4, 64]),
        "mask_shape": np.array([-1, 5, 8, 8]),
    }
    columns = {"to_logits": 5, "to_presence": 1, "to_boxes": 20, "to_queries": 20}
    for name, width in columns.items():
        arrays[name] = random.normal(size=(4, width)).astype(np.float32)
    return nodes, arrays


GRAPHS = {"vision": vision_graph, "text": text_graph, "decoder": decoder_graph}


def save_graph(path: Path, name: str, tensors: GraphTensors, changes: dict[str, float]) -> None:
    """changes: initialisers by name, and what is added to their first value."""
    nodes, arrays = GRAPHS[name]()
    for array, amount in changes.items():
        arrays[array].flat[0] += amount
    graph = helper.make_graph(
        nodes,
        name,
        [_value(tensor) for tensor in tensors.inputs],
        [_value(tensor) for tensor in tensors.outputs],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9), path
    )


def _value(tensor: TensorSpec) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, _TYPES[tensor.dtype], tensor.shape)


def verification(state: str = "passed") -> Verification:
    return Verification(
        state=state,  # type: ignore[arg-type]
        reference="the tests",
        images=1,
        pictures="noise",
        outputs={
            "decoder.logits": OutputDifference(max_abs=0.0, relative_l2=0.0, cosine=1.0),
            "decoder.masks": OutputDifference(max_abs=None, relative_l2=None, cosine=None),
        },
        detections=None,
        ap=None,
        reference_ap=None,
        message="" if state == "passed" else "logits differ by 3",
    )


def tiny_manifest(graphs: dict[str, GraphSpec], max_prompts: int) -> Manifest:
    return Manifest(
        format_version=FORMAT_VERSION,
        name="tiny",
        model=MODEL,
        precision="fp32",
        weights_storage="fp32",
        opset=19,
        backend="onnxruntime",
        graphs=graphs,
        preprocessing=Preprocessing(),
        tokenizer="clip-bpe-49408",
        max_prompts=max_prompts,
        vocabulary=(Phrase(text="fish", ap=0.5, ap50=None, threshold=0.4, source="tests"),),
        default_threshold=0.5,
        references=None,
        calibration=None,
        verification_onnx=verification(),
        verification_engine=None,
        provenance=Provenance(
            checkpoint_sha256="0" * 64,
            created_utc="2025-01-01T00:00:00Z",
            sam3_edge_version="0.1.0",
            torch_version=None,
            onnx_version=None,
            recipe="none",
            data=("none",),
            licence="Apache-2.0",
        ),
        built_on=None,
        attempts=(),
    )


def build_bundle(
    path: Path, *, max_prompts: int = 16, changes: dict[str, float] | None = None
) -> Path:
    path.mkdir(parents=True)
    contract = graph_tensors(MODEL, GRID)
    graphs = {}
    for name in GRAPHS:
        file = path / f"{name}.onnx"
        mine = {k: v for k, v in (changes or {}).items() if k in GRAPHS[name]()[1]}
        save_graph(file, name, contract[name], mine)
        graphs[name] = GraphSpec(
            file=file.name,
            sha256=file_sha256(file),
            source_sha256=None,
            precision=FP32,
            inputs=contract[name].inputs,
            outputs=contract[name].outputs,
        )
    write_manifest(path, tiny_manifest(graphs, max_prompts))
    return path


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """make_bundle(name, max_prompts=16, changes={initialiser: amount}) -> its folder."""

    def make(name: str = "bundle", **options: Any) -> Path:
        return build_bundle(tmp_path / name, **options)

    return make


@pytest.fixture
def bundle_path(make_bundle: Callable[..., Path]) -> Path:
    return make_bundle()


@pytest.fixture
def open_backend() -> Iterator[Callable[..., OnnxRuntimeBackend]]:
    """open_backend(folder) -> OnnxRuntimeBackend, closed when the test ends."""
    opened: list[OnnxRuntimeBackend] = []

    def open_one(path: Path, **options: Any) -> OnnxRuntimeBackend:
        backend = OnnxRuntimeBackend(Bundle.open(path), num_threads=1, **options)
        opened.append(backend)
        return backend

    yield open_one
    for backend in opened:
        backend.close()


@pytest.fixture
def pictures() -> NDArray[np.uint8]:
    """(4, 28, 28, 3) uint8, all different."""
    shape = (4, MODEL.image_size, MODEL.image_size, 3)
    return np.random.default_rng(5).integers(0, 256, shape).astype(np.uint8)


@pytest.fixture
def token_ids() -> NDArray[np.int64]:
    """(5, 32) int64: five prompts of one to five tokens, then padding."""
    ids = np.random.default_rng(6).integers(1, 100, (5, 32))
    ids[np.arange(32) >= np.arange(1, 6)[:, None]] = 0
    return ids


@pytest.fixture
def make_references(
    pictures: NDArray[np.uint8], token_ids: NDArray[np.int64]
) -> Callable[[OnnxRuntimeBackend], References]:
    """make_references(backend): what this backend makes of `pictures` and `token_ids`."""

    def make(backend: OnnxRuntimeBackend) -> References:
        text = backend.encode_text(token_ids)
        prompts = text_only_prompts(text, MODEL.num_exemplars)
        outputs = []
        for picture in pictures:
            backend.image_slot(0)[...] = picture
            outputs.append(backend.submit(0, prompts).result())
        return record_references(
            images=pictures,
            phrases=tuple(f"phrase {number}" for number in range(len(token_ids))),
            token_ids=token_ids,
            text=text,
            num_exemplars=MODEL.num_exemplars,
            threshold=0.5,
            outputs=outputs,
        )

    return make

"""A tiny bundle whose vision and decoder graphs have layers, and pictures to calibrate it on."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from sam3_edge.engines.bundle import (
    Bundle,
    default_bundle_path,
    file_sha256,
    read_manifest,
    write_manifest,
)
from sam3_edge.engines.contract import graph_tensors
from sam3_edge.engines.manifest import FP32, GraphSpec, ModelSpec

MODEL = ModelSpec(
    preset="toy",
    image_size=28,
    d_model=4,
    num_queries=3,
    context_length=32,
    num_exemplars=2,
    num_parameters=1,
)
HEADER = '<ir_version: 9, opset_import: ["" : 19]>'
VISION = """
    vision (uint8[1,28,28,3] image) => (float[1,4,8,8] features_4x, float[1,4,4,4] features_2x,
            float[1,4,2,2] features_1x, float[1,1,4] image_token)
    <float inverse = {0.0078125}, int64[2] places = {2,3}, int64[3] token = {1,1,4}> {
        numbers = Cast<to = 1>(image)
        scaled = Mul(numbers, inverse)
        planes = Transpose<perm = [0,3,1,2]>(scaled)
        first = Conv<strides = [3,3]>(planes, w0)
        features_4x = Relu(first)
        features_2x = Conv<strides = [2,2]>(features_4x, w1)
        features_1x = Conv<strides = [2,2]>(features_2x, w2)
        mean = ReduceMean<keepdims = 0>(features_1x, places)
        image_token = Reshape(mean, token)
    }"""
TEXT = """
    text (int64[P,32] token_ids) => (float[P,32,4] text_features, bool[P,32] text_mask)
    <int64[3] width = {1,1,4}, int64[1] last = {2}, int64 zero = {0}, float tiny = {0.0001}> {
        numbers = Cast<to = 1>(token_ids)
        small = Mul(numbers, tiny)
        column = Unsqueeze(small, last)
        text_features = Expand(column, width)
        text_mask = Equal(token_ids, zero)
    }"""
DECODER = """
    decoder (float[1,4,8,8] features_4x, float[1,4,4,4] features_2x, float[1,4,2,2] features_1x,
             float[1,1,4] image_token, float[P,32,4] text_features,
             float[P,2,4] exemplar_features, bool[P,35] prompt_mask)
            => (float[P,3] logits, float[P,1] presence, float[P,3,4] boxes, float[P,3,8,8] masks)
    <int64[1] within = {1}, int64[1] one = {1}, int64[1] last = {2}, int64[3] spread = {1,1,4},
     int64[1] deep = {3}, int64[4] sheet = {1,1,8,8}> {
        words = ReduceMean<keepdims = 0>(text_features, within)
        logits = MatMul(words, v0)
        presence = ReduceMean<keepdims = 1>(logits, one)
        deeper = Unsqueeze(logits, last)
        boxes = Expand(deeper, spread)
        deepest = Unsqueeze(deeper, deep)
        masks = Expand(deepest, sheet)
    }"""


def add_weights(model: onnx.ModelProto, weights: Mapping[str, tuple[int, ...]]) -> onnx.ModelProto:
    generator = np.random.default_rng(0)
    for name, shape in weights.items():
        values = generator.normal(size=shape).astype(np.float32) * 0.2
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return model


def toy_graphs() -> dict[str, onnx.ModelProto]:
    vision = {"w0": (4, 3, 7, 7), "w1": (4, 4, 2, 2), "w2": (4, 4, 2, 2)}
    return {
        "vision": add_weights(onnx.parser.parse_model(HEADER + VISION), vision),
        "text": onnx.parser.parse_model(HEADER + TEXT),
        "decoder": add_weights(onnx.parser.parse_model(HEADER + DECODER), {"v0": (4, 3)}),
    }


def write_toy_bundle(folder: Path) -> Bundle:
    folder.mkdir()
    contract, graphs = graph_tensors(MODEL, 2), {}
    for name, model in toy_graphs().items():
        file = folder / f"{name}.onnx"
        onnx.save(model, file)
        graphs[name] = GraphSpec(
            file=file.name,
            sha256=file_sha256(file),
            source_sha256=None,
            precision=FP32,
            inputs=contract[name].inputs,
            outputs=contract[name].outputs,
        )
    manifest = read_manifest(default_bundle_path())
    write_manifest(
        folder,
        dataclasses.replace(
            manifest, name="toy", model=MODEL, graphs=graphs, references=None, max_prompts=2
        ),
    )
    return Bundle.open(folder)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Not to be changed."""
    return write_toy_bundle(tmp_path_factory.mktemp("calib") / "toy")


def write_pictures(folder: Path, count: int) -> Path:
    folder.mkdir(exist_ok=True)
    for index in range(count):
        picture = np.random.default_rng(index).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        assert cv2.imwrite(str(folder / f"{index:02}.png"), picture)
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of noise. Not to be changed."""
    return write_pictures(tmp_path_factory.mktemp("pictures") / "noise", 6)

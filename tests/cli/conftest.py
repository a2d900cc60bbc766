"""A whole bundle of three graphs that always find the same two objects, and the command line."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from sam3_edge.engines.bundle import Bundle, file_sha256, write_manifest
from sam3_edge.engines.contract import graph_tensors
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
    ReferencesSpec,
    Verification,
)
from sam3_edge.engines.onnxruntime_backend import OnnxRuntimeBackend
from sam3_edge.engines.references import record_references, write_references
from sam3_edge.engines.text_prompts import text_only_prompts
from sam3_edge.runtime.tokenizer import Tokenizer

MODEL = ModelSpec(
    preset="stand-in",
    image_size=28,
    d_model=4,
    num_queries=3,
    context_length=32,
    num_exemplars=2,
    num_parameters=1234,
)
HEADER = '<ir_version: 9, opset_import: ["" : 19]>'

# Scores 0.88, 0.5 and 0.01 (before presence, which is nearly certain), masks everywhere.
GRAPHS = {
    "vision": """
        vision (uint8[1,28,28,3] image) => (float[1,4,8,8] features_4x, float[1,4,4,4] features_2x,
                float[1,4,2,2] features_1x, float[1,1,4] image_token)
        <int64[4] big = {1,4,8,8}, int64[4] middle = {1,4,4,4}, int64[4] small = {1,4,2,2},
         int64[3] token = {1,1,4}, int64[1] one = {1}> {
            numbers = Cast<to = 1>(image)
            mean = ReduceMean<keepdims = 0>(numbers)
            features_4x = Expand(mean, big)
            features_2x = Expand(mean, middle)
            features_1x = Expand(mean, small)
            image_token = Expand(mean, token)
        }""",
    "text": """
        text (int64[P,32] token_ids) => (float[P,32,4] text_features, bool[P,32] text_mask)
        <int64[3] width = {1,1,4}, int64[1] last = {2}, int64 zero = {0}> {
            numbers = Cast<to = 1>(token_ids)
            column = Unsqueeze(numbers, last)
            text_features = Expand(column, width)
            text_mask = Equal(token_ids, zero)
        }""",
    "decoder": """
        decoder (float[1,4,8,8] features_4x, float[1,4,4,4] features_2x, float[1,4,2,2] features_1x,
                 float[1,1,4] image_token, float[P,32,4] text_features,
                 float[P,2,4] exemplar_features, bool[P,35] prompt_mask)
                => (float[P,3] logits, float[P,1] presence, float[P,3,4] boxes, float[P,3,8,8] masks)
        <float[1,3] scores = {2.0, 0.0, -5.0}, float nothing = {0.0}, float certain = {9.0},
         float[1,3,4] places = {0.5,0.5,0.4,0.4, 0.2,0.2,0.1,0.3, 0.8,0.8,0.1,0.1},
         int64[2] flat = {-1,1}, int64[3] cube = {-1,1,1}, int64[4] sheet = {1,3,8,8},
         int64[4] hyper = {-1,1,1,1}, int64[2] within = {1,2}> {
            sums = ReduceSum<keepdims = 0>(text_features, within)
            zeros = Mul(sums, nothing)
            column = Reshape(zeros, flat)
            logits = Add(column, scores)
            presence = Add(column, certain)
            deep = Reshape(zeros, cube)
            boxes = Add(deep, places)
            deeper = Reshape(presence, hyper)
            masks = Expand(deeper, sheet)
        }""",
}


def _manifest(graphs: dict[str, GraphSpec]) -> Manifest:
    return Manifest(
        format_version=FORMAT_VERSION,
        name="stand-in",
        model=MODEL,
        precision="fp32",
        weights_storage="fp32",
        opset=19,
        backend="onnxruntime",
        graphs=graphs,
        preprocessing=Preprocessing(),
        tokenizer="clip-bpe-49408",
        max_prompts=16,
        vocabulary=(
            Phrase(text="fish", ap=0.5, ap50=0.75, threshold=0.6, source="tests"),
            Phrase(text="crab", ap=None, ap50=None, threshold=0.3, source="tests"),
        ),
        default_threshold=0.25,
        references=None,
        calibration=None,
        verification_onnx=Verification(
            state="passed",
            reference="the tests",
            images=1,
            pictures="noise",
            outputs={"decoder.logits": OutputDifference(max_abs=0.0, relative_l2=0.0, cosine=1.0)},
            detections=None,
            ap=None,
            reference_ap=None,
            message="all the same",
        ),
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


def _write_graphs(folder: Path) -> dict[str, GraphSpec]:
    graphs, contract = {}, graph_tensors(MODEL, 2)
    for name, text in GRAPHS.items():
        file = folder / f"{name}.onnx"
        onnx.save(onnx.parser.parse_model(HEADER + text), file)
        graphs[name] = GraphSpec(
            file=file.name,
            sha256=file_sha256(file),
            source_sha256=None,
            precision=FP32,
            inputs=contract[name].inputs,
            outputs=contract[name].outputs,
        )
    return graphs


def _add_references(folder: Path) -> None:
    bundle = Bundle.open(folder)
    backend = OnnxRuntimeBackend(bundle, num_threads=1)
    ids = Tokenizer().encode(["fish"])
    text = backend.encode_text(ids)
    references = record_references(
        images=np.zeros((1, 28, 28, 3), np.uint8),
        phrases=("fish",),
        token_ids=ids,
        text=text,
        num_exemplars=MODEL.num_exemplars,
        threshold=0.3,
        outputs=[backend.submit(0, text_only_prompts(text, MODEL.num_exemplars)).result()],
    )
    backend.close()
    file = folder / "references.npz"
    write_references(file, references)
    spec = ReferencesSpec(file=file.name, sha256=file_sha256(file), num_images=1)
    write_manifest(folder, dataclasses.replace(bundle.manifest, references=spec))


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's folder. Not to be changed: copy it."""
    folder = tmp_path_factory.mktemp("bundle") / "stand-in"
    folder.mkdir()
    write_manifest(folder, _manifest(_write_graphs(folder)))
    _add_references(folder)
    return folder


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def sam3_edge(tmp_path: Path) -> Command:
    """sam3_edge("run", ...): the real command in a process of its own, in an empty folder."""

    def call(
        *arguments: str | Path, python: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *(python or ("-m", "sam3_edge")), *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "COLUMNS": "80"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return call

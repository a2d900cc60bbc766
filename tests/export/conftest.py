"""Copies of the default bundle in which something is wrong."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from sam3_edge.engines.bundle import (
    Bundle,
    default_bundle_path,
    file_sha256,
    read_manifest,
    write_manifest,
)
from sam3_edge.engines.manifest import GraphPrecision, Precision
from sam3_edge.engines.references import read_references
from sam3_edge.export.evidence import Evidence

Change = Callable[[onnx.ModelProto], onnx.ModelProto]


@pytest.fixture(scope="session")
def default_bundle() -> Bundle:
    return Bundle.open(default_bundle_path(), verified_only=False)


@pytest.fixture(scope="session")
def one_picture(default_bundle: Bundle) -> Evidence:
    """One demo scene with 44 detections of three phrases."""
    path = default_bundle.references_path
    assert path is not None
    references = read_references(path)
    return Evidence(
        images=references.images[4:5], phrases=references.phrases, pictures="a demo scene"
    )


@pytest.fixture
def changed_bundle(tmp_path: Path) -> Callable[..., Bundle]:
    """changed_bundle({graph: change}, precision="fp16"): every graph claims that precision."""

    def make(
        changes: dict[str, Change], *, precision: Precision = "fp16", name: str = "changed"
    ) -> Bundle:
        folder = tmp_path / name
        shutil.copytree(default_bundle_path(), folder, copy_function=os.symlink)
        manifest = read_manifest(folder)
        claim = GraphPrecision(
            arithmetic=precision, around="fp32", fp32_islands={}, quantised=(), kept=()
        )
        graphs = {name: replace(spec, precision=claim) for name, spec in manifest.graphs.items()}
        for graph, change in changes.items():
            path = folder / graphs[graph].file
            model = change(onnx.load(path))
            path.unlink()
            onnx.save(model, path)
            graphs[graph] = replace(graphs[graph], sha256=file_sha256(path))
        (folder / "manifest.json").unlink()
        write_manifest(folder, replace(manifest, graphs=graphs, precision=precision))
        return Bundle.open(folder, verified_only=False)

    return make

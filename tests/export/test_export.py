"""A checkpoint becomes a bundle that computes what PyTorch does."""

import json
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
import torch

from sam3_edge.engines.bundle import Bundle
from sam3_edge.errors import CalibrationError, ExportError
from sam3_edge.export.compare import TOLERANCE, graph_differences
from sam3_edge.export.compile_engine import CompileOptions, compile_engine
from sam3_edge.export.precision import to_fp16
from sam3_edge.export.reference_images import demo_images, make_references, photos
from sam3_edge.export.write_bundle import ExportOptions, export_checkpoint, read_vocabulary
from sam3_edge.training.model.config import preset
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.weights import WeightsMetadata, load_weights, save_weights

pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed")


@pytest.fixture(scope="module", params=["tiny", "nano"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    name = str(request.param)
    model = Detector(preset(name))
    if model.proposals is not None:
        # A fresh head scores every cell nearly alike, and TopK among equals is anyone's choice.
        with torch.no_grad():
            model.proposals.embed.weight.mul_(100.0)
    path = tmp_path_factory.mktemp(name) / f"{name}.safetensors"
    metadata = WeightsMetadata(
        preset=name,
        image_size=model.config.image_size,
        recipe="random",
        data=("none",),
        licence="Apache-2.0",
    )
    save_weights(model, path, metadata, half=True)
    return path


@pytest.fixture(scope="module")
def bundle(checkpoint: Path) -> Bundle:
    out = checkpoint.with_suffix(".bundle")
    export_checkpoint(checkpoint, out, ExportOptions(name="test"))
    return Bundle.open(out, verified_only=False)


def test_every_output_is_pytorchs(bundle: Bundle) -> None:
    report = bundle.manifest.verification_onnx
    assert report.state == "passed", report.message
    outputs = {f"{g}.{t.name}" for g, s in bundle.manifest.graphs.items() for t in s.outputs}
    assert set(report.outputs) == outputs
    largest = [difference.max_abs for difference in report.outputs.values()]
    assert all(d is not None and d < TOLERANCE for d in largest)


def test_only_prompts_are_dynamic(bundle: Bundle) -> None:
    for name, spec in bundle.manifest.graphs.items():
        model = onnx.load(bundle.graph_path(name))
        for tensor in (*model.graph.input, *model.graph.output):
            dynamic = [d.dim_param for d in tensor.type.tensor_type.shape.dim if d.dim_param]
            assert dynamic in ([], ["P"]), f"{name}.{tensor.name}"
        ops = {node.op_type for node in model.graph.node}
        assert not ops & {"Attention", "RoiAlign", "GridSample", "If", "Loop", "STFT"}, name
        assert model.opset_import[0].version in (19, 20)
        assert [t.name for t in spec.inputs] == [t.name for t in model.graph.input]


def test_a_wrong_weight_is_noticed(bundle: Bundle, checkpoint: Path) -> None:
    detector, _ = load_weights(checkpoint)
    references = make_references(
        detector, demo_images(detector.config.image_size)[:1], ("fish",), 0.3
    )
    with torch.no_grad():
        detector.geometry_encoder.encode_norm.bias.add_(0.01)
    differences = graph_differences(detector, bundle, references)
    assert (differences["vision.image_token"].max_abs or 0.0) > TOLERANCE


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("graph", ["vision", "text", "exemplar", "decoder"])
def test_compiles_in_tensorrt_rtx(
    bundle: Bundle, graph: str, precision: str, tmp_path: Path
) -> None:
    path, engine = bundle.graph_path(graph), tmp_path / "engine"
    if precision == "fp16":
        model, _ = to_fp16(onnx.load(path))
        path = tmp_path / "half.onnx"
        onnx.save(model, path)
    options = CompileOptions(prompts=(1, 2, 8), compute_capability="8.6")
    compile_engine("tensorrt_rtx", path, engine, options, lambda _: None)
    assert engine.stat().st_size > 10_000


def test_vocabulary_is_read(tmp_path: Path) -> None:
    entry = {"text": "fish", "ap": 0.2, "ap50": 0.4, "threshold": 0.35, "source": "scenes"}
    (tmp_path / "v.json").write_text(json.dumps([entry]))
    assert read_vocabulary(tmp_path / "v.json")[0].threshold == 0.35
    (tmp_path / "v.json").write_text(json.dumps([{"word": "fish"}]))
    with pytest.raises(ExportError, match="expected a JSON list of phrases"):
        read_vocabulary(tmp_path / "v.json")


def test_wrong_checkpoints_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    options = ExportOptions(name="test")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(ExportError, match="expected a readable"):
        export_checkpoint(broken, tmp_path / "out", options)
    with pytest.raises(ExportError, match="the file was trained with, got small"):
        export_checkpoint(checkpoint, tmp_path / "out", options, preset="small")
    assert list(tmp_path.iterdir()) == [broken]


def test_foreign_folders_are_left_alone(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ExportError, match="got a folder with other files"):
        export_checkpoint(checkpoint, tmp_path, ExportOptions(name="test"))
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_broken_photo_is_named(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="expected a folder with"):
        photos(tmp_path, 4, 28)
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(CalibrationError, match=r"a\.jpg: expected a whole picture"):
        photos(tmp_path, 4, 28)


def test_build_engine_runs_as_a_script(root: Path) -> None:
    script = [sys.executable, "export/build_engine.py", "--help"]
    done = subprocess.run(script, cwd=root, capture_output=True, text=True, check=True)
    assert "Build a bundle for this machine" in done.stdout

"""A build ends with a bundle that was compared with its source, or with nothing at all."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from sam3_edge.calib.calibration import Calibration, write_calibration
from sam3_edge.calib.collect import calibrate
from sam3_edge.calib.images import open_images
from sam3_edge.calib.sensitivity import measure_sensitivity
from sam3_edge.engines.bundle import Bundle, default_bundle_path, file_sha256, write_manifest
from sam3_edge.engines.drift import check_drift, replay
from sam3_edge.engines.load import load_backend, open_bundle
from sam3_edge.engines.manifest import FP32, State, Verification, not_run
from sam3_edge.engines.references import read_references
from sam3_edge.errors import (
    BundleError,
    CalibrationError,
    EngineError,
    ExportError,
    Sam3EdgeError,
    UsageError,
)
from sam3_edge.export import build_bundle as building
from sam3_edge.export.build_bundle import BuildOptions, build_bundle
from sam3_edge.export.build_engine import build
from sam3_edge.export.ladder import Step, ladder
from sam3_edge.export.speed import FrameTime
from sam3_edge.export.write_step import Recipe, write_step
from sam3_edge.runtime.scene import Scene

DEFAULT = default_bundle_path()


def run_build(*arguments: object) -> Result:
    """The command; errors of ours come out as they are."""
    return CliRunner().invoke(build, [str(a) for a in arguments], catch_exceptions=False)


def ignore(_line: str) -> None:
    pass


def verdict(state: State, message: str = "as told") -> Verification:
    return replace(not_run("the test", message), state=state)


@pytest.fixture
def source() -> Bundle:
    return Bundle.open(DEFAULT)


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """judge(*states): what comparisons will find, the last one for ever; the precisions seen."""

    def install(*states: State) -> list[str]:
        seen: list[str] = []

        def told(bundle: Bundle, *_: Any, **__: Any) -> Verification:
            state = states[min(len(seen), len(states) - 1)]
            seen.append(bundle.manifest.precision)
            return verdict(state, f"number {len(seen)}")

        monkeypatch.setattr(building, "verify", told)
        return seen

    return install


def names(steps: Any) -> list[str]:
    return [step.name for step in steps]


def test_the_ladder_goes_from_what_was_asked_to_fp32() -> None:
    keeps: tuple[dict[str, tuple[str, ...]], ...] = (
        {},
        {"vision": ("a",)},
        {"vision": ("a", "b")},
    )
    assert names(ladder("int8", "tensorrt", keeps)) == [
        "int8",
        "int8 with the worst 1 layers kept",
        "int8 with the worst 2 layers kept",
        "fp16",
        "fp16 with fp32 attention",
        "fp32",
    ]
    assert names(ladder("fp16", "tensorrt_rtx")) == ["fp16", "fp16 with fp32 attention", "fp32"]
    assert names(ladder("fp32", "onnxruntime")) == ["fp32"]
    # FP16 on a CPU is FP32 with roundings: no way down from INT8.
    assert names(ladder("int8", "onnxruntime", keeps))[-2:] == [
        "int8 with the worst 2 layers kept",
        "fp32",
    ]


def test_what_fails_is_built_again_one_step_safer(
    source: Bundle, tmp_path: Path, judge: Callable[..., list[str]]
) -> None:
    seen = judge("failed", "failed", "passed")
    lines: list[str] = []
    recipe = Recipe(source=source, backend="onnxruntime")
    options = BuildOptions(precision="fp16")
    built = build_bundle(recipe, tmp_path / "out", options, lines.append, ignore)
    assert seen == ["fp16", "fp16", "fp32"]
    assert built.manifest.precision == "fp32"
    attempts = built.manifest.attempts
    assert [a.partition(":")[0] for a in attempts] == ["fp16", "fp16 with fp32 attention", "fp32"]
    assert "its graphs failed: number 1" in attempts[0]
    assert set(attempts) <= set(lines)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_where_nothing_passes_nothing_is_left(
    source: Bundle, tmp_path: Path, judge: Callable[..., list[str]]
) -> None:
    judge("failed")
    recipe = Recipe(source=source, backend="onnxruntime")
    with pytest.raises(
        ExportError, match="expected a precision that passes verification, got"
    ) as e:
        build_bundle(recipe, tmp_path / "out", BuildOptions(precision="fp16"), ignore, ignore)
    assert "fp16: its graphs failed: number 1; fp16 with fp32 attention:" in str(e.value)
    assert "\n" not in str(e.value)
    assert not list(tmp_path.iterdir())


def test_what_could_not_be_compared_is_built_and_refused_later(
    source: Bundle, tmp_path: Path, judge: Callable[..., list[str]]
) -> None:
    judge("not_run")
    recipe = Recipe(source=source, backend="onnxruntime")
    build_bundle(recipe, tmp_path / "out", BuildOptions(precision="fp16"), ignore, ignore)
    with pytest.raises(BundleError, match="expected its graphs to have passed, got not_run"):
        Bundle.open(tmp_path / "out")


def test_slower_int8_is_refused(
    source: Bundle,
    tmp_path: Path,
    judge: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    step_writer: list[Step],
) -> None:
    judge("passed")
    times = [FrameTime(vision=12.0, decoder=9.0), FrameTime(vision=12.0, decoder=8.0)]
    monkeypatch.setattr(building, "frame_times", lambda _: times)
    recipe = Recipe(source=source, backend="onnxruntime")
    out = tmp_path / "out"
    built = build_bundle(recipe, out, BuildOptions(precision="int8"), ignore, ignore)
    assert built.manifest.precision == "fp32"
    assert built.manifest.attempts[0] == (
        "int8: refused, slower than fp32: 21.0 ms a frame, fp32 20.0 ms"
    )
    times.reverse()
    built = build_bundle(recipe, tmp_path / "b", BuildOptions(precision="int8"), ignore, ignore)
    assert built.manifest.precision == "int8"
    assert "20.0 ms a frame, fp32 21.0 ms" in built.manifest.attempts[0]


@pytest.fixture
def step_writer(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """INT8 steps are written as FP32 graphs that claim to be INT8; the steps asked for."""
    asked: list[Step] = []

    def write(recipe: Recipe, step: Step, folder: Path, progress: Any) -> Any:
        asked.append(step)
        manifest = write_step(recipe, replace(step, precision="fp32", keep={}), folder, progress)
        manifest = replace(manifest, precision=step.precision)
        write_manifest(folder, manifest)
        return manifest

    monkeypatch.setattr(building, "write_step", write)
    return asked


def test_a_failure_half_way_leaves_nothing(
    source: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sam3_edge.export.write_step.shutil.copy", full)
    recipe = Recipe(source=source, backend="onnxruntime")
    with pytest.raises(ExportError, match="No space left on device; check free space"):
        build_bundle(recipe, tmp_path / "out", BuildOptions(precision="fp16"), ignore, ignore)
    assert not list(tmp_path.iterdir())


def test_fp16_for_the_cpu(tmp_path: Path) -> None:
    out = tmp_path / "half"
    done = run_build(DEFAULT, "-o", out, "--precision", "fp16")
    assert done.exit_code == 0, done.output
    assert "fp16: its graphs passed: 8 pictures" in done.stderr
    assert done.stdout.startswith(f"{out}: onnxruntime, fp16,")
    bundle = open_bundle(out)
    assert bundle.manifest.verification_onnx.state == "passed"
    for spec in bundle.manifest.graphs.values():
        assert spec.precision.arithmetic == "fp16"
        assert spec.precision.fp32_islands
    assert replayed(bundle)


def replayed(bundle: Bundle) -> bool:
    """What `run` does with it at the start."""
    assert bundle.references_path is not None
    references = read_references(bundle.references_path)
    backend = load_backend(bundle)
    try:
        check_drift(replay(backend, references, 0, encode_text=True), bundle.manifest.precision)
    finally:
        backend.close()
    return True


def test_fp32_keeps_the_graphs_and_their_comparison_with_pytorch(
    source: Bundle, tmp_path: Path
) -> None:
    assert run_build(DEFAULT, "-o", tmp_path / "out").exit_code == 0
    built = open_bundle(tmp_path / "out").manifest
    assert built.graphs == source.manifest.graphs
    assert built.verification_onnx == source.manifest.verification_onnx
    assert built.verification_onnx.reference == "PyTorch FP32"


def test_tensorrt_rtx_without_a_gpu(source: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed")
    out = tmp_path / "rtx"
    done = run_build(
        DEFAULT, "-o", out, "--backend", "tensorrt-rtx", "--prompts", "1,2,4",
        "--compute-capability", "8.9",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "warning: compiling for compute capability 8.9" in done.stderr
    assert "warning: not verified" in done.stderr
    bundle = Bundle.open(out, verified_only=False, any_device=True)
    manifest = bundle.manifest
    assert manifest.verification_onnx.state == "passed"
    assert manifest.verification_engine is not None
    assert manifest.verification_engine.state == "not_run"
    assert manifest.built_on is not None
    assert manifest.built_on.compute_capability == "8.9"
    assert manifest.built_on.prompt_profile == (1, 2, 4)
    assert manifest.max_prompts == 4
    for name, spec in manifest.graphs.items():
        assert spec.file == f"{name}.engine"
        assert spec.source_sha256 not in (None, spec.sha256, source.manifest.graphs[name].sha256)
        assert file_sha256(out / spec.file) == spec.sha256
    assert not list(out.glob("*.onnx"))
    with pytest.raises(EngineError):  # no GPU to execute it
        open_bundle(out, verified_only=False)


def test_tensorrt_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(EngineError, match="JetPack 6 and 7") as e:
        run_build(DEFAULT, "-o", tmp_path / "out", "--backend", "tensorrt")
    assert "--system-site-packages" in str(e.value)
    assert "pip install tensorrt" in str(e.value)
    assert not list(tmp_path.iterdir())


def test_wrong_uses(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="expected --calib beside --precision int8"):
        run_build(DEFAULT, "-o", out, "--precision", "int8")
    for prompts in ("1,2", "a,b,c", "3,2,4", "0,1,2"):
        done = run_build(DEFAULT, "-o", out, "--backend", "tensorrt-rtx", "--prompts", prompts)
        assert done.exit_code == 2
        assert "expected" in done.stderr
    (tmp_path / "there").mkdir()
    with pytest.raises(ExportError, match="expected a new folder, got one that exists"):
        run_build(DEFAULT, "-o", tmp_path / "there")


def test_only_fp32_graphs_are_built_from(
    changed_bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    half = changed_bundle({}, precision="fp16")
    with pytest.raises(ExportError, match=r"expected an FP32 bundle of ONNX graphs.*got fp16"):
        run_build(half.path, "-o", tmp_path / "out")


def test_a_checkpoint_needs_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = tmp_path / "model.safetensors"
    checkpoint.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "sam3_edge.export.write_bundle", None)
    with pytest.raises(ExportError, match="a checkpoint needs"):
        run_build(checkpoint, "-o", tmp_path / "out")


def test_building_from_a_bundle_needs_no_torch(root: Path, tmp_path: Path) -> None:
    """An 8 GB board builds its engines without it."""
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from sam3_edge.export.build_engine import build\n"
        f"build([{str(DEFAULT)!r}, '-o', {str(tmp_path / 'out')!r}, '--precision', 'fp16'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["verification_onnx"]["state"] == "passed"


def test_a_wrong_source_is_noticed(changed_bundle: Callable[..., Bundle], tmp_path: Path) -> None:
    """FP32 graphs that do not give what PyTorch gave never become a bundle."""

    def shifted(model: Any) -> Any:
        for weight in model.graph.initializer:
            values = np.frombuffer(weight.raw_data, np.float32) if weight.data_type == 1 else None
            if values is not None and values.size > 50:
                weight.raw_data = (values * np.float32(1.3)).tobytes()
        return model

    wrong = changed_bundle({"vision": shifted}, precision="fp32")
    with pytest.raises(Sam3EdgeError, match="its graphs failed"):
        run_build(wrong.path, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four demo scenes as files."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(4):
        assert cv2.imwrite(str(folder / f"{seed}.png"), Scene(seed, "train", 320, 240).frame(0))
    return folder


@pytest.fixture(scope="module")
def calibration(photos: Path) -> Calibration:
    """Of the default model, with one photo's sensitivities for both schemes."""
    source, images = Bundle.open(DEFAULT), open_images(photos)
    measured = calibrate(source, images, method="minmax")
    errors = measure_sensitivity(source, measured, images, count=1)
    return replace(measured, sensitivity=errors)


def test_int8_for_the_cpu_climbs_until_it_passes(calibration: Calibration, tmp_path: Path) -> None:
    file = tmp_path / "calibration.json"
    write_calibration(file, calibration)
    out = tmp_path / "int8"
    done = run_build(DEFAULT, "-o", out, "--precision", "int8", "--calib", file)
    assert done.exit_code == 0, done.output
    manifest = open_bundle(out).manifest
    assert manifest.attempts
    vision = manifest.graphs["vision"].precision
    if manifest.precision == "int8":  # or it was not faster on this machine
        assert vision.around == "fp32"
        assert vision.quantised
        assert manifest.calibration is not None
        assert manifest.calibration.scheme == "asymmetric_uint8"
        assert file_sha256(out / manifest.calibration.file) == manifest.calibration.sha256
        assert replayed(open_bundle(out))
    assert manifest.graphs["text"].precision == FP32
    assert manifest.graphs["decoder"].precision == FP32


def test_int8_for_tensorrt_compiles(calibration: Calibration, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed")
    file = tmp_path / "calibration.json"
    write_calibration(file, calibration)
    out = tmp_path / "rtx"
    done = run_build(
        DEFAULT, "-o", out, "--precision", "int8", "--calib", file, "--backend", "tensorrt-rtx",
        "--no-verify",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    manifest = Bundle.open(out, verified_only=False, any_device=True).manifest
    vision = manifest.graphs["vision"].precision
    assert (vision.arithmetic, vision.around) == ("int8", "fp16")
    assert vision.quantised
    assert vision.fp32_islands["layer_norm"] > 0
    for name in ("text", "decoder", "exemplar"):
        assert manifest.graphs[name].precision.arithmetic == "fp16"
    assert (out / "vision.engine").stat().st_size > 100_000
    assert manifest.verification_onnx.state == "not_run"


def test_what_a_step_keeps_grows(source: Bundle, calibration: Calibration, tmp_path: Path) -> None:
    recipe = Recipe(source=source, backend="tensorrt", calibration=calibration)
    keeps = recipe.keeps()
    assert keeps[0] == {"vision": ()}
    sizes = [len(keep["vision"]) for keep in keeps]
    assert sizes == sorted(set(sizes))
    folder = tmp_path / "step"
    folder.mkdir()
    manifest = write_step(recipe, Step(precision="int8", keep=keeps[-1]), folder, ignore)
    vision = manifest.graphs["vision"].precision
    assert vision.kept == keeps[-1]["vision"]
    assert not set(vision.kept) & set(vision.quantised)
    made = {n.name: n for n in onnx.load(folder / "vision.onnx").graph.node}
    before = {name for n in made.values() if n.op_type == "DequantizeLinear" for name in n.output}
    for layer in vision.quantised:
        assert set(made[layer].input) & before, layer
    for layer in vision.kept:
        assert not set(made[layer].input) & before, layer


def test_photos_are_not_used_twice(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="expected pictures that are not judged by, got"):
        run_build(
            DEFAULT, "-o", tmp_path / "out", "--precision", "int8", "--calib", photos,
            "--images", photos,
        )  # fmt: skip


def test_a_calibration_of_another_model_is_refused(
    calibration: Calibration, tmp_path: Path
) -> None:
    other = replace(calibration, model_sha256={"vision": "0" * 64})
    write_calibration(tmp_path / "other.json", other)
    with pytest.raises(CalibrationError, match="expected the model this calibration was measured"):
        run_build(
            DEFAULT, "-o", tmp_path / "out", "--precision", "int8", "--calib",
            tmp_path / "other.json",
        )  # fmt: skip

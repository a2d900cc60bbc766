"""`sam3-edge calibrate` writes a calibration that is for its bundle, or says what is wrong."""

import dataclasses
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import numpy_helper

from sam3_edge.calib.calibration import check_calibration, read_calibration
from sam3_edge.command_calibrate import calibrate
from sam3_edge.engines.bundle import Bundle, file_sha256, write_manifest
from sam3_edge.errors import CalibrationError
from sam3_edge.runtime.scene import Scene

VISION = """
    <ir_version: 9, opset_import: ["" : 19]>
    vision (uint8[1,28,28,3] image) => (float[1,4,8,8] features_4x, float[1,4,4,4] features_2x,
            float[1,4,2,2] features_1x, float[1,1,4] image_token)
    <int64[2] places = {2,3}, int64[3] token = {1,1,4}> {
        numbers = Cast<to = 1>(image)
        planes = Transpose<perm = [0,3,1,2]>(numbers)
        features_4x = Conv<strides = [3,3]>(planes, w0)
        features_2x = Conv<strides = [2,2]>(features_4x, w1)
        features_1x = Conv<strides = [2,2]>(features_2x, w1)
        mean = ReduceMean<keepdims = 0>(features_1x, places)
        image_token = Reshape(mean, token)
    }"""


@pytest.fixture(scope="module")
def bundle(stand_in: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in with a vision graph that has layers."""
    folder = tmp_path_factory.mktemp("calibrate") / "bundle"
    shutil.copytree(stand_in, folder)
    model = onnx.parser.parse_model(VISION)
    for name, shape in {"w0": (4, 3, 7, 7), "w1": (4, 4, 2, 2)}.items():
        values = np.random.default_rng(0).normal(size=shape).astype(np.float32) * 0.1
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    onnx.save(model, folder / "vision.onnx")
    manifest = Bundle.open(stand_in).manifest
    vision = dataclasses.replace(
        manifest.graphs["vision"], sha256=file_sha256(folder / "vision.onnx")
    )
    write_manifest(
        folder, dataclasses.replace(manifest, graphs={**manifest.graphs, "vision": vision})
    )
    return folder


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    for seed in range(3):
        picture = Scene(seed, "train", 160, 120).frame(0)
        assert cv2.imwrite(str(folder / f"{seed}.png"), picture)
    return folder


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(calibrate, [str(argument) for argument in arguments])


def test_it_writes_a_calibration_and_a_report(bundle: Path, scenes: Path, tmp_path: Path) -> None:
    out, report = tmp_path / "reef.json", tmp_path / "report"
    done = call(
        bundle,
        "--images",
        scenes,
        "-o",
        out,
        "--report",
        report,
        "--sensitivity",
        "2",
        "--json",
        "--decoder",
    )
    assert done.exit_code == 0, done.output
    calibration = read_calibration(out)
    check_calibration(calibration, Bundle.open(bundle))
    assert [image.name for image in calibration.images] == ["0.png", "1.png", "2.png"]
    assert calibration.phrases == ("fish", "crab")
    assert (calibration.method, calibration.percentile) == ("percentile", 99.99)
    assert set(calibration.sensitivity) == {"symmetric_int8", "asymmetric_uint8"}
    rows = json.loads(done.stdout)
    assert {row["layer"] for row in rows} == set(
        calibration.sensitivity["symmetric_int8"]["vision"]
    )
    assert "warning: 3 photos" in done.stderr
    assert "symmetric_int8: keep" in done.stderr
    names = {path.name for path in report.iterdir()}
    assert names == {
        "sensitivity.csv",
        "sensitivity_symmetric_int8_vision.png",
        "sensitivity_asymmetric_uint8_vision.png",
    }


def test_options_reach_the_calibration(bundle: Path, scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.json"
    done = call(
        *(bundle, "--images", scenes, "-o", out, "--method", "minmax", "--count", "2"),
        *("--prompt", "sea star", "--sensitivity", "0"),
    )
    assert done.exit_code == 0, done.output
    calibration = read_calibration(out)
    assert [image.name for image in calibration.images] == ["0.png", "1.png"]
    assert (calibration.method, calibration.percentile) == ("minmax", None)
    assert calibration.phrases == ("sea star",)
    assert calibration.sensitivity == {}
    assert done.stdout == ""


def test_a_broken_picture_leaves_no_file(bundle: Path, scenes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(scenes, folder)
    (folder / "1.png").write_bytes(b"no picture")
    done = call(bundle, "--images", folder, "-o", tmp_path / "c.json")
    assert isinstance(done.exception, CalibrationError)
    assert "1.png: expected a whole picture" in str(done.exception)
    assert not (tmp_path / "c.json").exists()

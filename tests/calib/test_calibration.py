"""A calibration file gives back what was written, for the model it was made on, or says why not."""

import dataclasses
import json
from pathlib import Path

import pytest

from sam3_edge.calib.calibration import (
    FORMAT_VERSION,
    Calibration,
    CalibrationImage,
    check_calibration,
    check_disjoint,
    read_calibration,
    write_calibration,
)
from sam3_edge.engines.bundle import Bundle
from sam3_edge.errors import CalibrationError


@pytest.fixture
def calibration(toy: Bundle) -> Calibration:
    return Calibration(
        format_version=FORMAT_VERSION,
        model="toy",
        model_sha256={name: spec.sha256 for name, spec in toy.manifest.graphs.items()},
        method="percentile",
        percentile=99.99,
        versions={"onnxruntime": "1.23.2"},
        phrases=("fish", "sea star"),
        images=(CalibrationImage(name="a.jpg", sha256="a" * 64),),
        ranges={"vision": {"first": (-1.5, 2.25), "still": (0.0, 0.0)}, "decoder": {}},
        sensitivity={"symmetric_int8": {"vision": {"Conv_first": 0.125}}},
    )


def test_what_was_written_is_read(calibration: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "new" / "calibration.json"
    write_calibration(path, calibration)
    assert read_calibration(path) == calibration
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(calibration: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    write_calibration(path, calibration)
    broken = dataclasses.replace(calibration, ranges={"vision": {"first": (0.0, float("nan"))}})
    with pytest.raises(CalibrationError, match="was not written"):
        write_calibration(path, broken)
    assert read_calibration(path) == calibration
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "expected calibration format version 1, got 2"),
        ({"method": "guess"}, "method: expected one of"),
        ({"surprise": 1}, "surprise: expected no such key"),
        ({"ranges": {"vision": {"first": [2.0, 1.0]}}}, r"ranges\.vision\.first: expected"),
        ({"ranges": {"vision": {"first": [1.0]}}}, r"ranges\.vision\.first: expected"),
        ({"ranges": {"vision": {"first": ["low", 1.0]}}}, r"first\[0\]: expected a finite number"),
    ],
)
def test_a_damaged_file_is_refused(
    calibration: Calibration, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "calibration.json"
    write_calibration(path, calibration)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CalibrationError, match=message) as error:
        read_calibration(path)
    assert "sam3-edge calibrate" in str(error.value)


@pytest.mark.parametrize("text", ["", "{", '{"format_version": 1, "format_version": 1}', "[]"])
def test_what_is_no_calibration_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "calibration.json"
    with pytest.raises(CalibrationError, match="expected a calibration file"):
        read_calibration(path)
    path.write_text(text)
    with pytest.raises(CalibrationError, match="calibrate again"):
        read_calibration(path)


def test_it_is_for_one_model(calibration: Calibration, toy: Bundle) -> None:
    check_calibration(calibration, toy)
    other = {**calibration.model_sha256, "vision": "0" * 64}
    with pytest.raises(CalibrationError, match=r"vision graph 000000000000.*calibrate this bundle"):
        check_calibration(dataclasses.replace(calibration, model_sha256=other), toy)


def test_verification_sees_other_pictures(calibration: Calibration) -> None:
    check_disjoint(calibration, ["b" * 64, "c" * 64])
    with pytest.raises(CalibrationError, match=r"got a\.jpg"):
        check_disjoint(calibration, ["b" * 64, "a" * 64])

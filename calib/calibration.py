"""A calibration file: the ranges of one model's tensors, and what they were measured on."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.strict_json import from_json, parse_json, to_json_text
from sam3_edge.errors import CalibrationError

FORMAT_VERSION = 1
CALIBRATION_NAME = "calibration.json"

Method = Literal["minmax", "entropy", "percentile"]
Range = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationImage:
    """name: of the file. sha256: of the file, 64 hexadecimal digits."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What the tensors of a model's graphs reach on real pictures.

    model_sha256: of each graph file of the FP32 bundle, by the graph's name.
    percentile: share of a tensor's values inside its range, 0..100; None for other methods.
    versions: of the packages that measured, by name.
    ranges: by graph, then tensor: (low, high), low <= high.
    sensitivity: by scheme, graph and layer: relative L2 error of the graph's outputs when this
        layer alone is quantised. Empty where it was not measured.
    """

    format_version: int
    model: str
    model_sha256: dict[str, str]
    method: Method
    percentile: float | None
    versions: dict[str, str]
    phrases: tuple[str, ...]
    images: tuple[CalibrationImage, ...]
    ranges: dict[str, dict[str, Range]]
    sensitivity: dict[str, dict[str, dict[str, float]]]


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write or replace the file in one step. Raises CalibrationError."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        text = to_json_text(calibration)
    except ValueError as error:
        raise CalibrationError(
            f"{path} was not written: {error}; the model gives values that are not finite: "
            "check it with `sam3-edge verify`"
        ) from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CalibrationError(
            f"cannot write {path}: {error.strerror}; check free space and permissions"
        ) from error


def read_calibration(path: Path) -> Calibration:
    """Raises CalibrationError for a file that is not there, damaged, or of another version."""
    again = "calibrate again with `sam3-edge calibrate`"
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CalibrationError(
            f"{path}: expected a calibration file, got: {error.strerror}; {again}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise CalibrationError(f"{path} is damaged: expected JSON, got {error}; {again}") from error
    version = value.get("format_version") if isinstance(value, dict) else None
    if version != FORMAT_VERSION:
        raise CalibrationError(
            f"{path}: expected calibration format version {FORMAT_VERSION}, got {version!r}; {again}"
        )
    try:
        calibration = from_json(Calibration, value)
        _check_ranges(calibration)
    except ValueError as error:
        raise CalibrationError(f"{path} is damaged: {error}; {again}") from error
    return calibration


def check_calibration(calibration: Calibration, bundle: Bundle) -> None:
    """Raises CalibrationError if it was measured on another model than the FP32 `bundle`."""
    got = {name: spec.sha256 for name, spec in bundle.manifest.graphs.items()}
    for name, expected in calibration.model_sha256.items():
        if got.get(name) != expected:
            raise CalibrationError(
                f"{bundle.path}: expected the model this calibration was measured on "
                f"({calibration.model}, {name} graph {expected[:12]}), got "
                f"{(got.get(name) or 'no such graph')[:13]}; calibrate this bundle with "
                f"`sam3-edge calibrate {bundle.path}`"
            )


def check_disjoint(calibration: Calibration, sha256s: Sequence[str]) -> None:
    """sha256s: of the files that will be judged on. Raises CalibrationError naming one in both."""
    names = {image.sha256: image.name for image in calibration.images}
    for sha256 in sha256s:
        if sha256 in names:
            raise CalibrationError(
                f"expected pictures the calibration has not seen, got {names[sha256]}, which it "
                "was made from; verify on other pictures"
            )


def _check_ranges(calibration: Calibration) -> None:
    for graph, ranges in calibration.ranges.items():
        for tensor, limits in ranges.items():
            if len(limits) != 2 or not all(map(math.isfinite, limits)) or limits[0] > limits[1]:
                raise ValueError(
                    f"ranges.{graph}.{tensor}: expected [low, high], got {list(limits)}"
                )

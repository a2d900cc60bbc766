"""A folder with `manifest.json` and the graphs it names: read whole or refused."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from sam3_edge.engines.contract import check_contract
from sam3_edge.engines.manifest import (
    FORMAT_VERSION,
    BuiltOn,
    Manifest,
    Verification,
    manifest_from_json,
    manifest_to_json_text,
)
from sam3_edge.engines.strict_json import parse_json
from sam3_edge.errors import BundleError

MANIFEST_NAME = "manifest.json"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle whose files are all there and are the ones the manifest speaks of."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        verified_only: bool = True,
        device: BuiltOn | None = None,
        any_device: bool = False,
    ) -> "Bundle":
        """Read and check everything but the graphs' insides.

        verified_only: refuse a bundle that did not pass its verification.
        device: this machine's, for engines; None where there is none. `load.open_bundle` asks.
        any_device: do not compare it: for looking at a bundle, not for executing it.
        Raises BundleError.
        """
        manifest = read_manifest(path)
        _check_files(path, manifest)
        if not any_device:
            _check_device(path, manifest, device)
        if verified_only:
            _check_verification(path, manifest)
        return cls(path=path, manifest=manifest)

    def graph_path(self, name: str) -> Path:
        return self.path / self.manifest.graphs[name].file

    @property
    def references_path(self) -> Path | None:
        references = self.manifest.references
        return None if references is None else self.path / references.file

    @property
    def calibration_path(self) -> Path | None:
        calibration = self.manifest.calibration
        return None if calibration is None else self.path / calibration.file


def default_bundle_path() -> Path:
    """Where the bundle that is installed with the package lies."""
    return Path(__file__).parent / "default"


def read_manifest(path: Path) -> Manifest:
    """The manifest of the bundle at `path`, its files unchecked. Raises BundleError."""
    file = path / MANIFEST_NAME
    try:
        text = file.read_text(encoding="utf-8")
        value = parse_json(text)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BundleError(
            f"{path} is not a bundle: expected a folder with {MANIFEST_NAME}, got none; "
            "give the folder that `sam3-edge export` wrote"
        ) from error
    except OSError as error:
        raise BundleError(f"cannot read {file}: {error.strerror}; check its permissions") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"{file} is damaged: expected JSON, got {error}; copy or export the bundle again"
        ) from error
    _check_format_version(file, value)
    try:
        manifest = manifest_from_json(value)
        check_contract(manifest)
    except ValueError as error:
        raise BundleError(f"{file}: {error}; export the bundle again") from error
    return manifest


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write or replace the manifest of the bundle at `path` in one step. Raises BundleError."""
    file = path / MANIFEST_NAME
    temporary = path / f"{MANIFEST_NAME}.{os.getpid()}.tmp"
    try:
        check_contract(manifest)
        text = manifest_to_json_text(manifest)
    except ValueError as error:
        raise BundleError(f"{file} was not written: {error}") from error
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BundleError(
            f"cannot write {file}: {error.strerror}; check free space and permissions"
        ) from error


def file_sha256(path: Path) -> str:
    """64 hexadecimal digits, read in pieces: graphs may be larger than memory allows."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _check_format_version(file: Path, value: object) -> None:
    """Before anything else: other versions have other keys."""
    version = value.get("format_version") if isinstance(value, dict) else None
    if type(version) is int and version == FORMAT_VERSION:
        return
    newer = isinstance(version, int) and version > FORMAT_VERSION
    advice = "update sam3-edge" if newer else "export the bundle again"
    raise BundleError(
        f"{file}: expected format version {FORMAT_VERSION}, got {version!r}; {advice}"
    )


def _check_files(path: Path, manifest: Manifest) -> None:
    files = {graph.file: graph.sha256 for graph in manifest.graphs.values()}
    if manifest.references is not None:
        files[manifest.references.file] = manifest.references.sha256
    if manifest.calibration is not None:
        files[manifest.calibration.file] = manifest.calibration.sha256
    for name, expected in files.items():
        try:
            got = file_sha256(path / name)
        except FileNotFoundError as error:
            raise BundleError(
                f"{path} is incomplete: expected the file {name}, got none; "
                "copy or export the bundle again"
            ) from error
        except OSError as error:
            raise BundleError(
                f"cannot read {path / name}: {error.strerror}; check its permissions"
            ) from error
        if got != expected:
            raise BundleError(
                f"{path / name} is damaged: expected sha256 {expected[:12]}..., got {got[:12]}...; "
                "copy or export the bundle again"
            )


def _check_device(path: Path, manifest: Manifest, device: BuiltOn | None) -> None:
    """An engine runs only on the GPU model and TensorRT version it was compiled for."""
    built_on = manifest.built_on
    if built_on is None:
        if manifest.backend != "onnxruntime":
            raise BundleError(
                f"{path / MANIFEST_NAME}: built_on: expected the device of the "
                f"{manifest.backend} engine, got nothing; build the engine again"
            )
        return
    if device is None or not _is_same_device(manifest, built_on, device):
        got = "none" if device is None else _device_text(device)
        raise BundleError(
            f"{path} was built for another device: expected {_device_text(built_on)}, got {got}; "
            "build the engine on this device with `sam3-edge build`"
        )


def _is_same_device(manifest: Manifest, built_on: BuiltOn, device: BuiltOn) -> bool:
    """TensorRT-RTX finishes compiling where it runs: any GPU of the architecture will do."""
    same_gpu = manifest.backend == "tensorrt_rtx" or built_on.gpu_name == device.gpu_name
    return (
        same_gpu
        and built_on.compute_capability == device.compute_capability
        and built_on.tensorrt_version == device.tensorrt_version
    )


def _device_text(device: BuiltOn) -> str:
    return (
        f"{device.gpu_name or 'a GPU'} (compute capability {device.compute_capability}) with "
        f"TensorRT {device.tensorrt_version}"
    )


def _check_verification(path: Path, manifest: Manifest) -> None:
    _check_passed(path, "its graphs", manifest.verification_onnx)
    if manifest.verification_engine is not None:
        _check_passed(path, "its engine", manifest.verification_engine)
    elif manifest.backend != "onnxruntime":
        _refuse_unverified(path, "its engine", "not_run")


def _check_passed(path: Path, part: str, verification: Verification) -> None:
    if verification.state != "passed":
        why = f" ({verification.message})" if verification.message else ""
        _refuse_unverified(path, part, verification.state + why)


def _refuse_unverified(path: Path, part: str, state: str) -> NoReturn:
    raise BundleError(
        f"{path} is not verified: expected {part} to have passed, got {state}; "
        "export or build it again, or pass --unverified to use it all the same"
    )

"""A bundle is read whole or refused in one line that says what to do."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sam3_edge.engines.bundle import Bundle, default_bundle_path, read_manifest, write_manifest
from sam3_edge.engines.contract import graph_tensors
from sam3_edge.engines.load import load_backend
from sam3_edge.engines.manifest import (
    FORMAT_VERSION,
    FP32,
    BuiltOn,
    GraphSpec,
    ReferencesSpec,
    Verification,
    not_run,
)
from sam3_edge.errors import BundleError, EngineError

ORIN = BuiltOn(
    gpu_name="Orin",
    compute_capability="8.7",
    driver_version="540.4",
    tensorrt_version="10.3.0",
    prompt_profile=(1, 1, 8),
    device_memory_bytes=100,
)


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Change the parsed manifest behind the writer's back."""
    file = path / "manifest.json"
    value = json.loads(file.read_text())
    change(value)
    file.write_text(json.dumps(value))


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(BundleError) as caught:
        Bundle.open(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def verification(state: Any) -> Verification:
    return dataclasses.replace(not_run("tests", "why not"), state=state)


def test_a_whole_bundle_opens(bundle_path: Path) -> None:
    bundle = Bundle.open(bundle_path)
    assert bundle.manifest.name == "tiny"
    assert bundle.graph_path("vision") == bundle_path / "vision.onnx"
    assert bundle.references_path is None


def test_the_manifest_survives_a_round_trip(bundle_path: Path) -> None:
    manifest = read_manifest(bundle_path)
    before = (bundle_path / "manifest.json").read_bytes()
    write_manifest(bundle_path, manifest)
    assert (bundle_path / "manifest.json").read_bytes() == before
    assert read_manifest(bundle_path) == manifest


def test_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for name in ("empty", "file", "absent"):
        message = refusal(tmp_path / name)
        assert "expected a folder with manifest.json, got none; give the folder" in message


@pytest.mark.parametrize("text", [b'{"format_version": 1,', b"\xff\xfe", b"", b"[" * 100_000])
def test_a_manifest_that_is_not_json(bundle_path: Path, text: bytes) -> None:
    (bundle_path / "manifest.json").write_bytes(text)
    assert "is damaged: expected JSON" in refusal(bundle_path)


@pytest.mark.parametrize(
    ("version", "advice"),
    [
        (FORMAT_VERSION + 1, "update sam3-edge"),
        (FORMAT_VERSION - 1, "export"),
        (None, "export"),
        (str(FORMAT_VERSION), "export"),
        (True, "export"),
    ],
)
def test_another_format_version(bundle_path: Path, version: object, advice: str) -> None:
    # Whatever else a later format changes, it is the version that must be named.
    (bundle_path / "manifest.json").write_text(json.dumps({"format_version": version, "new": 1}))
    message = refusal(bundle_path)
    assert f"expected format version {FORMAT_VERSION}, got {version!r}; {advice}" in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(surprise=1), "surprise: expected no such key, got it"),
        (lambda m: m.pop("opset"), "opset: expected this key, got nothing"),
        (lambda m: m["model"].update(d_model="4"), "model.d_model: expected a whole number"),
        (lambda m: m["model"].update(num_queries=0), "model.num_queries: expected at least 1"),
        (lambda m: m.update(default_threshold=1.5), "default_threshold: expected 0 to 1, got 1.5"),
        (lambda m: m["vocabulary"][0].update(threshold=-1), r"vocabulary[0].threshold: expected"),
        (lambda m: m["preprocessing"].update(color="BGR"), "color: expected one of 'RGB'"),
        (lambda m: m["graphs"].pop("text"), "graphs.text: expected this graph, got nothing"),
        (lambda m: m["graphs"].update(tracker=m["graphs"]["text"]), "graphs.tracker: expected one"),
        (lambda m: m["model"].update(image_size=56), "graphs.vision.inputs.image: expected shape"),
        (lambda m: m["graphs"]["text"]["inputs"][0].update(dtype="bool"), "expected int64, got"),
        (lambda m: m["graphs"]["text"]["outputs"].pop(), "graphs.text.outputs: expected text_f"),
        (lambda m: m["graphs"]["vision"]["outputs"].clear(), "expected features_1x of shape"),
    ],
)
def test_a_manifest_that_does_not_fit(
    bundle_path: Path, change: Callable[[Any], object], message: str
) -> None:
    edit(bundle_path, change)
    refused = refusal(bundle_path)
    assert message in refused
    assert refused.endswith("export the bundle again")


@pytest.mark.parametrize("file", ["../vision.onnx", "/etc/passwd", "..", "", "a\\b", "c:x"])
def test_files_outside_the_bundle_are_not_touched(bundle_path: Path, file: str) -> None:
    edit(bundle_path, lambda m: m["graphs"]["vision"].update(file=file))
    assert "graphs.vision.file: expected a plain file name" in refusal(bundle_path)


@pytest.mark.parametrize("name", ["vision", "text", "decoder"])
def test_a_missing_graph_file(bundle_path: Path, name: str) -> None:
    (bundle_path / f"{name}.onnx").unlink()
    assert f"is incomplete: expected the file {name}.onnx, got none" in refusal(bundle_path)


@pytest.mark.parametrize("name", ["vision", "text", "decoder"])
@pytest.mark.parametrize("damage", ["truncated", "one bit", "longer"])
def test_a_damaged_graph_file(bundle_path: Path, name: str, damage: str) -> None:
    file = bundle_path / f"{name}.onnx"
    data = bytearray(file.read_bytes())
    if damage == "truncated":
        del data[-1]
    elif damage == "longer":
        data.append(0)
    else:
        data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert f"{name}.onnx is damaged: expected sha256" in refusal(bundle_path)
    # the override is for what was not verified, not for what is broken
    assert "is damaged" in refusal(bundle_path, verified_only=False)


def test_references_are_checked_like_graphs(bundle_path: Path) -> None:
    manifest = read_manifest(bundle_path)
    spec = ReferencesSpec(file="references.npz", sha256="0" * 64, num_images=8)
    write_manifest(bundle_path, dataclasses.replace(manifest, references=spec))
    assert "expected the file references.npz, got none" in refusal(bundle_path)
    (bundle_path / "references.npz").write_bytes(b"something else")
    assert "references.npz is damaged: expected sha256 000000000000..." in refusal(bundle_path)


@pytest.mark.parametrize("state", ["failed", "not_run"])
def test_an_unverified_bundle_needs_the_override(bundle_path: Path, state: str) -> None:
    manifest = read_manifest(bundle_path)
    changed = dataclasses.replace(manifest, verification_onnx=verification(state))
    write_manifest(bundle_path, changed)
    message = refusal(bundle_path)
    assert f"expected its graphs to have passed, got {state} (why not)" in message
    assert "--unverified" in message
    assert Bundle.open(bundle_path, verified_only=False).manifest == changed


def test_an_engine_is_verified_apart_from_its_graphs(bundle_path: Path) -> None:
    manifest = dataclasses.replace(
        read_manifest(bundle_path), backend="tensorrt", built_on=ORIN, precision="fp16"
    )
    for engine, state in ((None, "not_run"), (verification("failed"), "failed")):
        write_manifest(bundle_path, dataclasses.replace(manifest, verification_engine=engine))
        message = refusal(bundle_path, device=ORIN)
        assert f"expected its engine to have passed, got {state}" in message
    passed = dataclasses.replace(manifest, verification_engine=verification("passed"))
    write_manifest(bundle_path, passed)
    assert Bundle.open(bundle_path, device=ORIN).manifest == passed


@pytest.mark.parametrize(
    "device",
    [
        None,
        dataclasses.replace(ORIN, tensorrt_version="10.16.2"),
        dataclasses.replace(ORIN, compute_capability="8.9"),
        dataclasses.replace(ORIN, gpu_name="RTX 4090"),
    ],
)
def test_an_engine_of_another_device(bundle_path: Path, device: BuiltOn | None) -> None:
    manifest = dataclasses.replace(
        read_manifest(bundle_path),
        backend="tensorrt",
        built_on=ORIN,
        verification_engine=verification("passed"),
    )
    write_manifest(bundle_path, manifest)
    for verified_only in (True, False):
        message = refusal(bundle_path, device=device, verified_only=verified_only)
        assert "expected Orin (compute capability 8.7) with TensorRT 10.3.0, got" in message
        assert "`sam3-edge build`" in message
    newer_driver = dataclasses.replace(ORIN, driver_version="999")
    assert Bundle.open(bundle_path, device=newer_driver).manifest.built_on == ORIN


def test_an_engine_must_say_where_it_was_built(bundle_path: Path) -> None:
    edit(bundle_path, lambda m: m.update(backend="tensorrt"))
    assert "built_on: expected the device" in refusal(bundle_path, verified_only=False)


def test_a_backend_this_machine_has_not(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise EngineError("CUDA is not here; install it")

    monkeypatch.setattr("sam3_edge.engines.tensorrt_backend.open_device", missing)
    manifest = dataclasses.replace(
        read_manifest(bundle_path),
        backend="tensorrt",
        built_on=ORIN,
        verification_engine=verification("passed"),
    )
    write_manifest(bundle_path, manifest)
    with pytest.raises(EngineError, match="CUDA is not here; install it"):
        load_backend(Bundle.open(bundle_path, device=ORIN))


def test_the_exemplar_graph_may_be_there(bundle_path: Path) -> None:
    manifest = read_manifest(bundle_path)
    tensors = graph_tensors(manifest.model, 2)["exemplar"]
    text = manifest.graphs["text"]
    spec = GraphSpec(
        file=text.file,
        sha256=text.sha256,
        source_sha256=None,
        precision=FP32,
        inputs=tensors.inputs,
        outputs=tensors.outputs,
    )
    graphs = {**manifest.graphs, "exemplar": spec}
    write_manifest(bundle_path, dataclasses.replace(manifest, graphs=graphs))
    assert Bundle.open(bundle_path).manifest.graphs["exemplar"] == spec


def test_writing_replaces_the_manifest_in_one_step(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (bundle_path / "manifest.json").read_bytes()
    manifest = read_manifest(bundle_path)

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(BundleError, match="No space left on device; check free space"):
        write_manifest(bundle_path, dataclasses.replace(manifest, name="other"))
    assert (bundle_path / "manifest.json").read_bytes() == before
    assert len(list(bundle_path.iterdir())) == 4


def test_what_could_not_be_read_is_not_written(bundle_path: Path) -> None:
    manifest = dataclasses.replace(read_manifest(bundle_path), max_prompts=0)
    with pytest.raises(BundleError, match="max_prompts: expected at least 1, got 0"):
        write_manifest(bundle_path, manifest)


def test_the_default_bundle_lies_in_the_package() -> None:
    assert default_bundle_path().parts[-2:] == ("engines", "default")

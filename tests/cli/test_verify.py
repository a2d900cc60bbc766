import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from sam3_edge.engines.bundle import (
    default_bundle_path,
    file_sha256,
    read_manifest,
    write_manifest,
)
from sam3_edge.engines.manifest import BuiltOn
from sam3_edge.engines.tensorrt_device import find_device
from sam3_edge.runtime.scene import Scene
from tests.export.sabotage import after_output

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the default bundle that may be written to."""
    folder = tmp_path / "copy"
    shutil.copytree(default_bundle_path(), folder, copy_function=os.symlink)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(3):
        cv2.imwrite(str(folder / f"{seed}.png"), Scene(9000 + seed).frame(0))
    return folder


def edit(folder: Path, **changes: object) -> None:
    manifest = read_manifest(folder)
    (folder / "manifest.json").unlink()
    write_manifest(folder, replace(manifest, **changes))  # type: ignore[arg-type]


def test_a_good_bundle_passes_and_says_so(sam3_edge: Command, copy: Path) -> None:
    edit(copy, verification_onnx=replace(read_manifest(copy).verification_onnx, state="failed"))
    ran = sam3_edge("verify", copy)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "chain.logits" in ran.stdout
    assert "detections matched" in ran.stdout
    assert "passed: 8 pictures" in ran.stdout
    written = read_manifest(copy).verification_onnx
    assert written.state == "passed"
    assert written.detections is not None


def test_photos_and_a_reference(sam3_edge: Command, copy: Path, photos: Path) -> None:
    more = (
        "--images",
        photos,
        "--num-images",
        "2",
        "--phrases",
        "fish, jellyfish, starfish",
        "--json",
    )
    ran = sam3_edge("verify", copy, "--reference", default_bundle_path(), *more)
    assert (ran.returncode, ran.stderr) == (0, "")
    said = json.loads(ran.stdout)
    assert said["verification"]["state"] == "passed"
    assert said["verification"]["images"] == 2
    assert "vision.features_1x" in said["verification"]["outputs"]
    assert said["tolerances"]["relative_l2"] == 1e-3


def test_a_wrong_bundle_fails(sam3_edge: Command, copy: Path) -> None:
    manifest = read_manifest(copy)
    path = copy / manifest.graphs["text"].file
    changed = after_output(onnx.load(path), "text_features", "Mul", [np.array([1.1], np.float32)])
    path.unlink()
    onnx.save(changed, path)
    text = replace(manifest.graphs["text"], sha256=file_sha256(path))
    edit(copy, graphs={**manifest.graphs, "text": text})
    ran = sam3_edge("verify", copy, "--reference", default_bundle_path(), "--bisect")
    assert ran.returncode == 1
    assert "failed: 8 pictures" in ran.stdout
    assert "text.text_features relative L2 error 0.1, at most 0.001" in ran.stdout
    assert "bisect: the first to leave 0.001 in the text graph" in ran.stderr
    assert "tensor text_features" in ran.stderr
    assert read_manifest(copy).verification_onnx.state == "failed"
    refused = sam3_edge("run", "--bundle", copy, "--source", "demo", "--prompt", "fish")
    assert refused.returncode == 1
    assert "is not verified" in refused.stderr


def test_nothing_to_compare_is_no_pass(sam3_edge: Command, stand_in: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(stand_in, copy)
    before = read_manifest(copy).verification_onnx
    ran = sam3_edge("verify", copy)
    assert ran.returncode == 1
    assert "nothing to compare" in ran.stdout
    assert read_manifest(copy).verification_onnx == before


def test_an_engine_that_cannot_run_here_is_left(
    sam3_edge: Command, stand_in: Path, tmp_path: Path
) -> None:
    if find_device("tensorrt") is not None:
        pytest.skip("this machine has a GPU and TensorRT")
    copy = tmp_path / "copy"
    shutil.copytree(stand_in, copy)
    built_on = BuiltOn(
        gpu_name="Orin",
        compute_capability="8.7",
        driver_version="540.4.0",
        tensorrt_version="10.3.0",
        prompt_profile=(1, 4, 16),
        device_memory_bytes=None,
    )
    edit(copy, backend="tensorrt", built_on=built_on)
    ran = sam3_edge("verify", copy)
    assert ran.returncode == 0
    (line,) = ran.stderr.splitlines()
    assert line.startswith("sam3-edge: warning: ")
    assert "was not verified" in line
    written = read_manifest(copy).verification_engine
    assert written is not None
    assert written.state == "not_run"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--images", "photos"), "--reference"),
        (("--phrases", "fish"), "--reference"),
        (("--bisect",), "--reference"),
        (("--reference", "COPY", "--phrases", "fish"), "--images"),
        (("--num-images", "0"), "num-images"),
    ],
)
def test_wrong_use_is_one_line(
    sam3_edge: Command, stand_in: Path, arguments: tuple[str, ...], word: str
) -> None:
    given = [str(stand_in) if text == "COPY" else text for text in arguments]
    ran = sam3_edge("verify", stand_in, *given)
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert word in line


def test_what_cannot_be_compared_is_one_line(
    sam3_edge: Command, copy: Path, stand_in: Path, photos: Path, tmp_path: Path
) -> None:
    reference = ("--reference", default_bundle_path())
    (photos / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n half")
    (tmp_path / "empty").mkdir()
    (tmp_path / "wrong.json").write_text(json.dumps({"images": [], "annotations": {}}))
    for arguments, word in (
        (("--reference", stand_in), "expected a reference of the model"),
        ((*reference, "--images", photos), "0.png"),
        ((*reference, "--images", tmp_path / "empty"), "pictures"),
        ((*reference, "--annotations", tmp_path / "wrong.json"), "wrong.json"),
    ):
        ran = sam3_edge("verify", copy, *arguments)
        assert ran.returncode == 1
        (line,) = ran.stderr.splitlines()
        assert line.startswith("sam3-edge: error: ")
        assert word in line


def test_annotations_give_ap(sam3_edge: Command, copy: Path, photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    images: list[dict[str, object]] = []
    entries: list[dict[str, object]] = []
    for seed in range(3):
        images.append({"id": seed, "file_name": f"{seed}.png", "width": 640, "height": 480})
        for found in Scene(9000 + seed).objects(0):
            x1, y1, x2, y2 = map(float, found.box)
            entries.append(
                {
                    "id": len(entries) + 1,
                    "image_id": seed,
                    "category_id": 1 if found.phrase == "fish" else 2,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": float(np.count_nonzero(found.mask)),
                    "iscrowd": 0,
                }
            )
    names = [{"id": 1, "name": "fish"}, {"id": 2, "name": "jellyfish"}]
    file = tmp_path / "scenes.json"
    file.write_text(json.dumps({"images": images, "annotations": entries, "categories": names}))
    more = ("--annotations", file, "--images", photos, "--num-images", "2", "--json")
    ran = sam3_edge("verify", copy, "--reference", default_bundle_path(), *more)
    assert (ran.returncode, ran.stderr) == (0, "")
    said = json.loads(ran.stdout)["verification"]
    assert said["ap"] == said["reference_ap"]
    assert said["ap"] > 0.05

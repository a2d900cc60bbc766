import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from sam3_edge.engines.manifest import manifest_from_json

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_a_person_reads_what_it_is(sam3_edge: Command, stand_in: Path) -> None:
    ran = sam3_edge("info", stand_in)
    assert (ran.returncode, ran.stderr) == (0, "")
    for text in (
        str(stand_in),
        "28 x 28 pixels, 3 objects a prompt",
        "any machine (onnxruntime)",
        "fp32, weights stored as fp32",
        "passed against the tests: all the same",
        "Apache-2.0",
        "0.25 for phrases not listed",
        "text.onnx",
        "every graph intact",
    ):
        assert text in ran.stdout
    rows = [line.split() for line in ran.stdout.splitlines()]
    assert ["fish", "0.500", "0.750", "0.60", "tests"] in rows
    assert ["crab", "-", "-", "0.30", "tests"] in rows


def test_a_program_reads_the_manifest(sam3_edge: Command, stand_in: Path) -> None:
    value = json.loads(sam3_edge("info", stand_in, "--json").stdout)
    manifest = manifest_from_json(value["manifest"])
    assert manifest.name == "stand-in"
    assert value["path"] == str(stand_in)
    sizes = {path.name: path.stat().st_size for path in stand_in.iterdir()}
    assert value["file_bytes"] == sizes
    assert value["total_bytes"] == sum(sizes.values())


def test_a_damaged_bundle_is_one_line(sam3_edge: Command, stand_in: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(stand_in, copy)
    with (copy / "vision.onnx").open("ab") as stream:
        stream.write(b"more")
    ran = sam3_edge("info", copy)
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line.startswith("sam3-edge: error: ")
    assert "vision.onnx is damaged" in line


def test_what_is_no_bundle(sam3_edge: Command, tmp_path: Path) -> None:
    ran = sam3_edge("info", tmp_path)
    assert ran.returncode == 1
    assert "is not a bundle" in ran.stderr

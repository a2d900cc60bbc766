"""What is wrong is an error of the element on the bus, and a status that is not 0."""

import dataclasses
import shutil
from pathlib import Path

import onnx
import pytest

from sam3_edge.engines.bundle import file_sha256, read_manifest, write_manifest
from tests.runtime.gstreamer.element.runs import Pipelines


@pytest.fixture
def broken(stand_in: Path, tmp_path: Path) -> Path:
    """A bundle whose decoder answers with what is no number."""
    folder = tmp_path / "broken"
    shutil.copytree(stand_in, folder)
    model = onnx.load(folder / "decoder.onnx")
    scores = next(tensor for tensor in model.graph.initializer if tensor.name == "scores")
    scores.ClearField("raw_data")
    scores.float_data[:] = [float("nan")] * 3
    onnx.save(model, folder / "decoder.onnx")
    manifest = read_manifest(folder)
    decoder = dataclasses.replace(
        manifest.graphs["decoder"], sha256=file_sha256(folder / "decoder.onnx")
    )
    graphs = {**manifest.graphs, "decoder": decoder}
    write_manifest(folder, dataclasses.replace(manifest, graphs=graphs))
    return folder


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("bundle=/nowhere prompt=fish", "/nowhere is not a bundle"),
        ("bundle=here", "expected at least one prompt, got none"),
        ("bundle=here prompt=fish;FISH", "which are the same"),
        ("bundle=here prompt=fish draw=all", "draw: expected none, boxes, masks, got 'all'"),
    ],
)
def test_a_pipeline_does_not_start_with_what_cannot_be(
    setting: str, reason: str, pipelines: Pipelines, stand_in: Path
) -> None:
    setting = setting.replace("bundle=here", f"bundle={stand_in}")
    ran = pipelines.launch("videotestsrc num-buffers=2 ! sam3edge", setting, "! fakesink")
    assert ran.returncode != 0
    (error,) = [line for line in ran.stderr.splitlines() if reason in line and "from el" in line]
    assert error.startswith("ERROR: from element /GstPipeline:pipeline0/GstSam3Edge:sam3edge0")
    assert "Traceback" not in ran.stderr
    assert "CRITICAL" not in ran.stderr


def test_caps_that_are_not_taken_do_not_link(pipelines: Pipelines, element: str) -> None:
    ran = pipelines.launch(
        "videotestsrc num-buffers=2 ! video/x-raw,format=GRAY8 !", element, "prompt=fish ! fakesink"
    )
    assert ran.returncode != 0
    assert "can't handle caps video/x-raw, format=(string)GRAY8" in ran.stderr


LONG = "videotestsrc is-live=true num-buffers=200 ! video/x-raw,framerate=100/1 !"


@pytest.mark.parametrize(
    ("pictures", "how"),
    [
        (LONG, "async=false"),
        (LONG, "async=true"),
        ("videotestsrc num-buffers=1 !", "async=true"),  # the last is no success either
    ],
)
def test_an_engine_that_fails_ends_the_stream(
    pictures: str, how: str, pipelines: Pipelines, broken: Path
) -> None:
    ran = pipelines.launch(
        pictures, f"sam3edge prompt=fish bundle={broken} self-check=false {how}", "! fakesink"
    )
    assert ran.returncode != 0
    assert "logits: expected finite numbers from the decoder graph, got NaN" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_an_engine_that_is_not_the_one_that_was_verified_does_not_start(
    pipelines: Pipelines, broken: Path
) -> None:
    ran = pipelines.launch(
        f"videotestsrc num-buffers=2 ! sam3edge prompt=fish bundle={broken} ! fakesink"
    )
    assert ran.returncode != 0
    assert "ERROR: from element" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("/nowhere/lib/python3.11/site-packages", "found no such folder"),
        ("python2.7", "expected packages of GStreamer's own python3"),
        ("", "No module named 'sam3_edge'; run `sam3-edge gstreamer --install`"),
    ],
)
def test_an_environment_that_does_not_fit_is_said_at_every_start(
    folder: str, reason: str, pipelines: Pipelines, tmp_path: Path
) -> None:
    if folder == "python2.7":
        folder = str(tmp_path / folder)
        Path(folder).mkdir()
    for _ in range(2):  # the second time GStreamer has it in its registry
        ran = pipelines.launch(
            "videotestsrc num-buffers=2 ! sam3edge prompt=fish async=true every=2 ! fakesink",
            SAM3_EDGE_SITE_PACKAGES=folder,
            GST_REGISTRY=str(tmp_path / "registry"),
        )
        assert ran.returncode != 0
        assert f"sam3edge cannot be loaded: {'' if folder == '' else 'expected'}" in ran.stderr
        assert reason in ran.stderr

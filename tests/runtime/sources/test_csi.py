"""The pipeline of a CSI camera with stand-ins for NVIDIA's elements: its syntax, its properties and
whether its caps agree. It was not run on hardware."""

import math
from collections.abc import Iterator
from itertools import islice

import pytest

from sam3_edge.errors import SourceError, UsageError
from sam3_edge.runtime.gstreamer.appsink import parse_pipeline
from sam3_edge.runtime.sources import rtsp
from sam3_edge.runtime.sources.csi import csi_pipeline, open_csi
from sam3_edge.runtime.sources.gstreamer import open_gstreamer
from tests.runtime.sources import argus_stand_ins

pytestmark = pytest.mark.usefixtures("gst")


@pytest.fixture
def jetson(gst: object) -> Iterator[None]:
    argus_stand_ins.register()
    yield
    argus_stand_ins.unregister()


def test_not_a_jetson() -> None:
    with pytest.raises(
        SourceError, match=r"csi:0: expected .*nvarguscamerasrc, found none: this is"
    ):
        open_csi("csi:0")


def test_pictures_in_the_format_and_mode_asked_for(jetson: None) -> None:
    source = open_csi("csi:1", width=322, height=240, fps=60)
    frames = list(islice(source.frames(), 3))
    source.close()
    assert (source.name, source.live, source.fps) == ("csi:1", True, 60.0)
    assert not source.may_reopen
    assert [(frame.format, frame.size) for frame in frames] == [("NV12", (240, 322))] * 3
    assert (frames[0].planes[0] == 128).all()


def test_a_pipeline_that_names_the_camera_is_not_opened_again_either(jetson: None) -> None:
    source = open_gstreamer("gst:" + csi_pipeline(0, 320, 240, 30.0))
    source.close()
    assert (source.live, source.may_reopen) == (True, False)


def test_the_sensor_and_the_default_mode(jetson: None) -> None:
    pipeline, _ = parse_pipeline(csi_pipeline(1, 1280, 720, 30.0))
    (camera,) = [
        element
        for element in pipeline.children
        if element.get_factory().get_name() == "nvarguscamerasrc"
    ]
    assert camera.get_property("sensor-id") == 1
    source = open_csi("csi:0")
    assert next(source.frames()).size == (720, 1280)
    source.close()


@pytest.mark.parametrize(
    ("fps", "text"),
    [(30.0, "30/1"), (29.97, "2997/100"), (59.94005994, "60000/1001"), (0.5, "1/2")],
)
def test_rates_are_fractions(fps: float, text: str) -> None:
    assert f"framerate={text} " in csi_pipeline(0, 1280, 720, fps)


def test_a_connector_with_nothing_on_it(jetson: None) -> None:
    with pytest.raises(
        SourceError, match=r"csi:7: expected a picture, got: .*; check the camera's"
    ):
        open_csi("csi:7")


@pytest.mark.parametrize(
    "text", ["csi:", "csi:x", "csi:-1", "csi:" + "9" * 5000, "csi:0 ! filesink", "csi:²", "0"]
)
def test_what_is_no_camera(text: str) -> None:
    with pytest.raises(UsageError, match="expected csi: and a camera's number"):
        open_csi(text)


@pytest.mark.parametrize(
    ("width", "fps"),
    [(-1, 30.0), (99_999_999_999, 30.0), (640, -1.0), (640, 1e-6), (640, 1e9), (640, math.nan)],
)
def test_modes_that_none_has(width: int, fps: float) -> None:
    with pytest.raises(UsageError, match="csi:0: expected a width and height of 1 to 16384 pixels"):
        open_csi("csi:0", width=width, fps=fps)


def test_the_pixel_format_asked_for_is_given_or_refused(jetson: None) -> None:
    text = csi_pipeline(0, 320, 240, 30.0, "bgrx")
    assert text.endswith("! nvvidconv ! video/x-raw,format=BGRx")
    parse_pipeline(text)
    with pytest.raises(
        UsageError, match="csi:0: expected a pixel format of NV12 or BGRx, got 'MJPG'"
    ):
        open_csi("csi:0", pixel_format="MJPG")


def test_a_boards_decoder_is_followed_by_its_converter(jetson: None) -> None:
    text = rtsp.pipeline_text()
    assert text.endswith("decodebin ! nvvidconv ! video/x-raw")
    parse_pipeline(text)

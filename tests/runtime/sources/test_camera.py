import errno
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sam3_edge.errors import SourceError
from sam3_edge.runtime.sources import v4l2
from sam3_edge.runtime.sources.camera import CameraSource, open_camera
from tests.runtime.sources.v4l2_stand_ins import GRABBER, INFRARED, WEBCAM, Driver

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="V4L2 is Linux'")


class Capture:
    """OpenCV's capture as its V4L2 part is: what is set it gives, with rows as the driver has them.

    pictures: what `read` gives one after another; None for a failure. opens: whether it does.
    """

    def __init__(self, *pictures: Any, opens: bool = True) -> None:
        self.pictures, self.opens = list(pictures), opens
        self.opened_with: tuple[Any, ...] = ()
        self.properties: dict[int, float] = {cv2.CAP_PROP_FPS: 25.0}
        self.order: list[int] = []
        self.released = False

    def __call__(self, *where: Any) -> "Capture":
        self.opened_with = where
        return self

    def isOpened(self) -> bool:  # noqa: N802 -- OpenCV's name
        return self.opens

    def set(self, key: int, value: float) -> bool:
        self.order.append(key)
        self.properties[key] = value
        return True

    def get(self, key: int) -> float:
        return self.properties.get(key, 0.0)

    def read(self, _room: Any = None) -> tuple[bool, Any]:
        image = self.pictures.pop(0) if self.pictures else None
        return image is not None, image

    def release(self) -> None:
        self.released = True


Use = Callable[[Capture], Capture]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Let OpenCV open this capture; /dev/video3 is there."""

    def put(capture: Capture) -> Capture:
        monkeypatch.setattr(cv2, "VideoCapture", capture)
        monkeypatch.setattr(CameraSource, "_is_gone", lambda _: False)
        return capture

    return put


def bgr(value: int, height: int = 4, width: int = 6) -> Any:
    return np.full((height, width, 3), value, np.uint8)


def test_frames_then_the_plug() -> None:
    capture = Capture(bgr(0), bgr(1))
    source = CameraSource("camera:3", capture)  # type: ignore[arg-type]
    frames = source.frames()
    one, two = next(frames), next(frames)
    assert (source.fps, source.num_frames, one.source) == (25.0, None, "camera:3")
    assert (source.live, source.may_reopen) == (True, True)
    assert (one.time_s, one.index, two.index) == (0.0, 0, 1)
    assert two.time_s > 0
    assert two.captured_ns > one.captured_ns
    with pytest.raises(
        SourceError, match="camera:3 stopped: expected another frame after 2, got n"
    ):
        next(frames)
    source.close()
    source.close()
    assert capture.released


def test_an_unplugged_device_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "video0"
    path.touch()
    capture = Capture(bgr(0), None, bgr(1))
    source = CameraSource("camera:0", capture, path=str(path))  # type: ignore[arg-type]
    frames = source.frames()
    next(frames)
    path.unlink()
    with pytest.raises(SourceError, match=r"after 1, got no .*video0 any more; check its cable"):
        next(frames)
    assert len(capture.pictures) == 1, "a device that is gone was read again"


def test_a_bad_picture_is_left_out_and_counted() -> None:
    capture = Capture(bgr(0), None, None, bgr(1), bgr(2))
    frames = list(map(lambda _, frame: frame, range(3), CameraSource("c", capture).frames()))  # type: ignore[arg-type]
    assert [int(frame.bgr()[0, 0, 0]) for frame in frames] == [0, 1, 2]
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert [frame.dropped for frame in frames] == [0, 2, 2]


def test_stopped_is_over() -> None:
    source = CameraSource("c", Capture(bgr(0), bgr(1)))  # type: ignore[arg-type]
    frames = source.frames()
    next(frames)
    source.stop()
    assert list(frames) == []


@pytest.mark.parametrize(
    ("age_s", "is_taken"), [(0.05, True), (3.0, False), (-1.0, False)], ids=["new", "old", "wall"]
)
def test_the_drivers_time_stamp_where_it_can_be_true(age_s: float, is_taken: bool) -> None:
    capture = Capture(bgr(0))
    stamp_s = time.monotonic() - age_s
    capture.properties[cv2.CAP_PROP_POS_MSEC] = stamp_s * 1e3
    frame = next(CameraSource("c", capture).frames())  # type: ignore[arg-type]
    assert (abs(frame.captured_ns / 1e9 - stamp_s) < 1e-5) == is_taken
    age_ns = time.monotonic_ns() - frame.captured_ns
    assert age_ns >= 0
    assert abs(time.time_ns() - age_ns - frame.utc_ns) < 1e9


@on_linux
def test_jpeg_where_raw_is_too_slow(use: Use) -> None:
    capture = use(Capture(bgr(9, 720, 1280)))
    driver = Driver(WEBCAM)
    source = open_camera(3, device=driver.open)
    assert capture.opened_with == ("/dev/video3", cv2.CAP_V4L2)
    assert (source.name, str(source.mode)) == ("camera:3", "MJPG 1280x720 at 30")
    assert source.fps == 30
    assert capture.order[-1] == cv2.CAP_PROP_FPS, "a size that is set later sets the rate anew"
    assert cv2.CAP_PROP_CONVERT_RGB not in capture.order
    frame = next(source.frames())
    assert (frame.format, frame.size) == ("BGR", (720, 1280))
    assert driver.num_open == 0


@on_linux
@pytest.mark.parametrize(
    ("driver", "shape", "format_", "planes"),
    [
        (Driver(WEBCAM, stride=1280), (480, 640, 2), "YUY2", [(480, 1280)]),
        (Driver(WEBCAM, stride=1280), (1, 480 * 1280), "YUY2", [(480, 1280)]),
        (Driver({"NV12": {(640, 480): (30.0,)}}), (720, 640), "NV12", [(480, 640), (240, 640)]),
        (Driver({"GREY": {(640, 480): (30.0,)}}), (480, 640), "GRAY8", [(480, 640)]),
        (
            Driver({"YU12": {(640, 480): (30.0,)}}, stride=640),
            (720, 640),
            "I420",
            [(480, 640), (240, 320), (240, 320)],
        ),
        (
            Driver(WEBCAM, stride=1280),
            (480, 640, 3),
            "BGR",
            [(480, 1920)],
        ),  # converted all the same
    ],
    ids=["YUYV", "one row", "NV12", "GREY", "YU12", "BGR"],
)
def test_raw_pictures_are_handed_over_as_they_come(
    use: Use, driver: Driver, shape: tuple[int, ...], format_: str, planes: list[tuple[int, int]]
) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    capture = use(Capture(picture))
    source = open_camera("/dev/video3", 640, 480, device=driver.open)
    assert source.name == "camera:/dev/video3"
    assert capture.properties[cv2.CAP_PROP_CONVERT_RGB] == 0
    frame = next(source.frames())
    assert (frame.format, frame.size) == (format_, (480, 640))
    assert [plane.shape for plane in frame.planes] == planes
    assert all(np.shares_memory(plane, picture) for plane in frame.planes)
    joined = np.concatenate([plane.reshape(-1) for plane in frame.planes])
    np.testing.assert_array_equal(joined, picture.reshape(-1))
    assert frame.bgr().shape == (480, 640, 3)


@on_linux
def test_a_raw_picture_that_is_not_whole_is_left_out(use: Use) -> None:
    whole = np.zeros((480, 640, 2), np.uint8)
    use(Capture(whole[:-1], whole))
    source = open_camera(3, 640, 480, device=Driver(WEBCAM).open)
    assert next(source.frames()).dropped == 1


@on_linux
def test_the_mode_is_what_the_driver_made_of_it(use: Use) -> None:
    class Stubborn(Capture):
        def get(self, key: int) -> float:
            return 352.0 if key == cv2.CAP_PROP_FRAME_WIDTH else super().get(key)

    capture = use(Stubborn(np.zeros((480, 352, 2), np.uint8)))
    source = open_camera(3, height=480, device=Driver(WEBCAM).open)
    assert str(source.mode) == "YUYV 352x480 at 30"
    assert next(source.frames()).size == (480, 352)
    with pytest.raises(
        SourceError, match=r"camera:3: .* of 640x480, got one with YUYV 352x480 at 30, which is"
    ):
        open_camera(3, 640, 480, device=Driver(WEBCAM).open)
    assert capture.released


@on_linux
def test_a_format_that_the_driver_changes_is_read_as_what_it_is(use: Use) -> None:
    class Stubborn(Capture):
        def get(self, key: int) -> float:
            is_format = key == cv2.CAP_PROP_FOURCC
            return cv2.VideoWriter.fourcc(*"MJPG") if is_format else super().get(key)

    capture = use(Stubborn(bgr(5, 480, 640)))
    source = open_camera(3, 640, 480, device=Driver(WEBCAM).open)
    assert cv2.CAP_PROP_CONVERT_RGB not in capture.order, "JPEG would come as it is"
    assert next(source.frames()).format == "BGR"
    with pytest.raises(SourceError, match="with YUYV of 640x480, got one with MJPG 640x480 at 30"):
        open_camera(3, 640, 480, pixel_format="YUYV", device=Driver(WEBCAM).open)


@on_linux
@pytest.mark.parametrize("fps", [None, 12.5])
def test_a_rate_is_asked_for_where_the_driver_lists_none(use: Use, fps: float | None) -> None:
    capture = use(Capture(bgr(0)))
    driver = Driver(WEBCAM, failures={v4l2.ENUM_FRAMEINTERVALS: errno.ENOTTY})
    open_camera(3, fps=fps, device=driver.open)
    assert (cv2.CAP_PROP_FPS in capture.order) == (fps is not None)


def test_a_picture_that_cannot_be_converted_is_left_out() -> None:
    class Torn(Capture):
        def read(self, room: Any = None) -> tuple[bool, Any]:
            there, image = super().read(room)
            if there and image.shape[0] == 1:
                raise cv2.error("the conversion of a torn picture")
            return there, image

    capture = Torn(bgr(0), bgr(1, height=1), bgr(2))
    frames = CameraSource("c", capture).frames()  # type: ignore[arg-type]
    next(frames)
    frame = next(frames)
    assert (frame.index, frame.dropped) == (1, 1)


@on_linux
def test_rows_with_bytes_between_them_are_refused(use: Use) -> None:
    capture = use(Capture())
    with pytest.raises(SourceError, match=r"expected rows of 1920 bytes for NV12 .*, got 2048"):
        open_camera(3, fps=60, device=Driver(GRABBER, stride=2048).open)
    assert capture.released


@on_linux
def test_a_driver_that_lets_one_in_is_not_asked_again(use: Use) -> None:
    use(Capture())
    driver = Driver(INFRARED, failures={v4l2.G_FMT: errno.EBUSY})
    assert str(open_camera(3, device=driver.open).mode) == "GREY 640x360 at 15"
    driver.failures[v4l2.G_FMT] = errno.ENODEV
    with pytest.raises(SourceError, match="expected its row size, got: the system's word"):
        open_camera(3, device=driver.open)


@on_linux
def test_what_cannot_be_had_is_said_before_opencv_is_asked(use: Use) -> None:
    capture = use(Capture())
    busy = Driver(WEBCAM, failures={v4l2.REQBUFS: errno.EBUSY})
    with pytest.raises(SourceError, match="camera 3: expected a camera that is free"):
        open_camera(3, device=busy.open)
    with pytest.raises(SourceError, match=r"camera 3: .* 640x481, got .* MJPG 640x480 at 30"):
        open_camera(3, 640, 481, device=Driver(WEBCAM).open)
    assert capture.opened_with == ()


@on_linux
def test_taken_by_another_just_now(use: Use) -> None:
    capture = use(Capture(opens=False))
    with pytest.raises(
        SourceError, match="expected a camera that opens, got none from /dev/video3"
    ):
        open_camera(3, device=Driver(WEBCAM).open)
    assert capture.released


def test_no_camera() -> None:
    with pytest.raises(SourceError, match="camera 97: expected a camera, found none that opens"):
        open_camera(97)


def test_other_systems(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    capture = use(Capture(bgr(7)))
    source = open_camera(1, width=640, height=480)
    assert capture.opened_with == (1,)
    assert capture.order == [cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT]
    assert source.mode is None
    assert next(source.frames()).format == "BGR"
    use(Capture(opens=False))
    with pytest.raises(SourceError, match="camera 1: expected a camera, found none that opens"):
        open_camera(1)

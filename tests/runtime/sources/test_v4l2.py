import ctypes
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sam3_edge.errors import SourceError
from sam3_edge.runtime.sources import v4l2
from sam3_edge.runtime.sources.v4l2_check import ask_camera, programs_with
from sam3_edge.runtime.sources.v4l2_modes import CameraMode, camera_modes, choose_mode
from tests.runtime.sources.v4l2_stand_ins import (
    ENCODER,
    GRABBER,
    INFRARED,
    LAPTOP,
    WEBCAM,
    Driver,
    Modes,
    RangeDriver,
    listed,
)

ANY = (None, None, None, None)


@pytest.mark.parametrize(
    ("modes", "asked", "chosen"),
    [
        (WEBCAM, ANY, "MJPG 1280x720 at 30"),  # raw is too slow
        (WEBCAM, (640, 480, None, None), "YUYV 640x480 at 30"),  # raw where it can
        (WEBCAM, (1280, 720, 10.0, None), "YUYV 1280x720 at 10"),  # fast enough for who asks
        (WEBCAM, (1280, 720, 8.0, None), "YUYV 1280x720 at 10"),
        (WEBCAM, (1280, 720, 12.0, None), "MJPG 1280x720 at 15"),  # no faster than needed
        (WEBCAM, (1280, 720, 60.0, None), "MJPG 1280x720 at 60"),
        (WEBCAM, (1280, None, None, "yuyv"), "YUYV 1280x720 at 10"),
        (WEBCAM, (None, None, None, "YUY2"), "YUYV 1280x720 at 10"),
        (WEBCAM, (None, 1080, None, None), "MJPG 1920x1080 at 30"),
        (WEBCAM, (None, None, 30.0, "YUYV"), "YUYV 640x480 at 30"),  # nearest that can
        (WEBCAM, (1920, 1080, None, "mjpeg"), "MJPG 1920x1080 at 30"),
        (LAPTOP, ANY, "MJPG 1280x720 at 30"),
        (LAPTOP, (640, 480, 29.97, None), "YUYV 640x480 at 30"),
        (GRABBER, ANY, "YUYV 1920x1080 at 30"),
        (GRABBER, (None, None, 60.0, None), "NV12 1920x1080 at 60"),
        (INFRARED, ANY, "GREY 640x360 at 15"),  # slower than the default is no error
    ],
)
def test_the_mode_that_is_chosen(
    modes: Modes, asked: tuple[int, int, float, str], chosen: str
) -> None:
    assert str(choose_mode(listed(modes), *asked)) == chosen
    assert str(choose_mode(listed(modes)[::-1], *asked)) == chosen


@pytest.mark.parametrize(
    ("modes", "asked", "message"),
    [
        (WEBCAM, (1024, 768, None, None), "pictures of 1024x768, got one with YUYV 640x480 at 30,"),
        (WEBCAM, (1000, None, None, None), "pictures of 1000xany, got one with"),
        (WEBCAM, (None, 700, None, None), "pictures of anyx700, got one with"),
        (WEBCAM, (1280, 720, 61.5, None), r"of 1280x720 at 61\.5 a second.*MJPG 1280x720 at 60"),
        (WEBCAM, (None, None, None, "NV12"), "expected a camera with NV12 of any size, got"),
        (WEBCAM, (1920, None, None, "H264"), "expected a camera with H264 of 1920xany, got"),
        (ENCODER, ANY, "got one with no pixel format that can be read: H264"),
        ({}, ANY, "no pixel format that can be read: none at all"),
    ],
)
def test_what_a_camera_cannot_do_lists_what_it_can(
    modes: Modes, asked: tuple[int, int, float, str], message: str
) -> None:
    with pytest.raises(SourceError, match=message) as refused:
        choose_mode(listed(modes), *asked)
    assert "\n" not in str(refused.value)
    assert ", H264" not in str(refused.value), "offers what OpenCV cannot read"


def test_a_rate_that_nobody_tells_may_be_fast_enough() -> None:
    mode = CameraMode(pixel_format="YUYV", width=640, height=480, fps=None)
    assert choose_mode([mode], fps=120) == mode
    assert str(mode) == "YUYV 640x480"


@pytest.mark.parametrize("modes", [WEBCAM, LAPTOP, GRABBER, {}])
def test_a_driver_is_asked_for_all_it_has(modes: Modes) -> None:
    driver = Driver(modes)
    with driver.open("/dev/video0") as control:
        assert camera_modes(control) == listed(modes)


def test_a_driver_with_ranges_gives_what_is_asked_for() -> None:
    driver = RangeDriver({"YUYV": {}})
    with driver.open("/dev/video0") as control:
        modes = camera_modes(control, 1008, 1008, 12.5)
        assert str(choose_mode(modes, 1008, 1008, 12.5)) == "YUYV 1008x1008 at 12.5"
        assert str(choose_mode(modes, 1920, None, 60)) == "YUYV 1920x1080 at 60"
        assert str(choose_mode(camera_modes(control))) == "YUYV 1280x720 at 30"
        with pytest.raises(SourceError, match="1000x1000"):  # not on its steps
            choose_mode(camera_modes(control, 1000, 1000), 1000, 1000)


@pytest.mark.parametrize(
    "sizes", [(0, 0, 0, 0, 0, 0), (640, 32, 1, 480, 32, 1), (0xFFFFFFFF, 0, 0, 1, 1, 1)]
)
def test_a_driver_with_ranges_of_nothing(sizes: tuple[int, ...]) -> None:
    class Empty(RangeDriver):
        def answer(self, structure: ctypes.Structure) -> None:
            super().answer(structure)
            if isinstance(structure, v4l2.V4l2FrameSize):
                structure.sizes[:] = sizes

    driver = Empty({"YUYV": {}})
    with driver.open("/dev/video0") as control, pytest.raises(SourceError, match="none at all"):
        choose_mode([mode for mode in camera_modes(control) if mode.width])


def test_a_driver_that_never_says_the_last() -> None:
    class Endless(Driver):
        def answer(self, structure: ctypes.Structure) -> None:
            if not isinstance(structure, v4l2.V4l2Capability):
                structure.index = 0
            super().answer(structure)

    driver = Endless(INFRARED)
    with driver.open("/dev/video0") as control:
        assert [str(mode) for mode in camera_modes(control)] == ["GREY 640x360 at 15"]


def test_a_driver_that_lists_no_rates() -> None:
    driver = Driver(LAPTOP, failures={v4l2.ENUM_FRAMEINTERVALS: errno.ENOTTY})
    with driver.open("/dev/video0") as control:
        assert {mode.fps for mode in camera_modes(control)} == {None}


def test_requests_and_structures_are_the_kernels() -> None:
    """Numbers as a C compiler gives them for linux/videodev2.h on machines of 64 bits."""
    assert v4l2.QUERYCAP == 0x80685600
    assert v4l2.ENUM_FMT == 0xC0405602
    assert v4l2.ENUM_FRAMESIZES == 0xC02C564A
    assert v4l2.ENUM_FRAMEINTERVALS == 0xC034564B
    assert v4l2.REQBUFS == 0xC0145608
    assert v4l2.V4l2FormatDescription.pixelformat.offset == 0x2C
    if ctypes.sizeof(ctypes.c_void_p) == 8:
        assert v4l2.G_FMT == 0xC0D05604
        assert v4l2.V4l2Format.fmt.offset == 8


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.skipif(
    not Path("/usr/include/linux/videodev2.h").exists(), reason="needs the kernel's headers"
)
def test_every_field_lies_where_the_kernels_header_has_it(tmp_path: Path) -> None:
    """By a C program of this machine."""
    fields = {
        "v4l2_capability": (v4l2.V4l2Capability, "card capabilities device_caps"),
        "v4l2_fmtdesc": (v4l2.V4l2FormatDescription, "index type pixelformat"),
        "v4l2_frmsizeenum": (v4l2.V4l2FrameSize, "index pixel_format type"),
        "v4l2_frmivalenum": (v4l2.V4l2FrameInterval, "index pixel_format width height type"),
        "v4l2_format": (v4l2.V4l2Format, "type fmt"),
        "v4l2_requestbuffers": (v4l2.V4l2RequestBuffers, "count type memory"),
    }
    questions, expected = [], []
    for name, (structure, names) in fields.items():
        questions.append(f"sizeof(struct {name})")
        expected.append(ctypes.sizeof(structure))
        for field in names.split():
            questions.append(f"offsetof(struct {name}, {field})")
            expected.append(getattr(structure, field).offset)
    questions += [
        "offsetof(struct v4l2_frmsizeenum, stepwise)",
        "offsetof(struct v4l2_frmivalenum, stepwise.max)",
        "offsetof(struct v4l2_format, fmt.pix.bytesperline)",
        *("VIDIOC_QUERYCAP", "VIDIOC_ENUM_FMT", "VIDIOC_G_FMT", "VIDIOC_REQBUFS"),
        *("VIDIOC_ENUM_FRAMESIZES", "VIDIOC_ENUM_FRAMEINTERVALS", "V4L2_MEMORY_MMAP"),
        *("V4L2_CAP_VIDEO_CAPTURE", "V4L2_CAP_VIDEO_CAPTURE_MPLANE", "V4L2_CAP_META_CAPTURE"),
        *("V4L2_CAP_DEVICE_CAPS", "V4L2_BUF_TYPE_VIDEO_CAPTURE", "V4L2_FRMSIZE_TYPE_DISCRETE"),
    ]
    expected += [
        v4l2.V4l2FrameSize.sizes.offset,
        v4l2.V4l2FrameInterval.intervals.offset + 8,
        v4l2.V4l2Format.fmt.offset + 4 * 4,
        *(v4l2.QUERYCAP, v4l2.ENUM_FMT, v4l2.G_FMT, v4l2.REQBUFS),
        *(v4l2.ENUM_FRAMESIZES, v4l2.ENUM_FRAMEINTERVALS, v4l2._MMAP),
        *(v4l2._CAN_CAPTURE, v4l2._CAN_CAPTURE_PLANES, v4l2._CAN_METADATA),
        *(v4l2._HAS_DEVICE_CAPS, v4l2.CAPTURE, v4l2.DISCRETE),
    ]
    program = "\n".join(f'printf("%lu\\n", (unsigned long)({each}));' for each in questions)
    (tmp_path / "ask.c").write_text(
        "#include <stddef.h>\n#include <stdio.h>\n#include <linux/videodev2.h>\n"
        f"int main(void) {{ {program} return 0; }}"
    )
    subprocess.run(["cc", "-o", tmp_path / "ask", tmp_path / "ask.c"], check=True, timeout=60)
    answer = subprocess.run([tmp_path / "ask"], check=True, capture_output=True, timeout=60)
    got = dict(zip(questions, map(int, answer.stdout.split()), strict=True))
    assert got == dict(zip(questions, expected, strict=True))


@pytest.mark.parametrize(
    ("driver", "message"),
    [
        (Driver({}, open_error=errno.ENOENT), "found none that opens: no /dev/video7"),
        (Driver({}, open_error=errno.EACCES), "this user may open.*sudo usermod -aG [a-z]+ "),
        (Driver({}, open_error=errno.EBUSY), "expected a camera that is free, got /dev/video7 in"),
        (Driver({}, open_error=errno.EISDIR), "expected a video device, got /dev/video7, which"),
        (Driver({}, open_error=errno.EIO), "got /dev/video7: the system's word; unplug it"),
        (Driver(WEBCAM, capabilities=0x800000), "a node for metadata of 'HD Pro Webcam'"),
        (Driver({}, capabilities=0x2), "expected a camera, got a node that does not capture"),
        (Driver({}, capabilities=0x1000), "try --source 'gst:v4l2src device=/dev/video7'"),
        (Driver({}, failures={v4l2.QUERYCAP: errno.ENOTTY}), "expected a video device, got /dev"),
        (Driver(WEBCAM, failures={v4l2.REQBUFS: errno.EBUSY}), "is free, .* by another program"),
        (Driver(WEBCAM, failures={v4l2.ENUM_FMT: errno.ENODEV}), "check that it is plugged in"),
        (Driver(ENCODER), "no pixel format that can be read: H264; ask for one of these"),
    ],
)
def test_why_there_is_no_camera(driver: Driver, message: str) -> None:
    with pytest.raises(SourceError, match=f"^camera 7: .*{message}") as refused:
        ask_camera("camera 7", "/dev/video7", driver.open)
    assert "\n" not in str(refused.value)
    assert driver.num_open == 0


def test_a_driver_of_another_manner_is_not_busy() -> None:
    driver = Driver(WEBCAM, failures={v4l2.REQBUFS: errno.EINVAL})
    assert ask_camera("camera 0", "/dev/video0", driver.open).pixel_format == "MJPG"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs ioctl as Linux has it")
def test_a_file_that_is_no_video_device(tmp_path: Path) -> None:
    path = tmp_path / "video0"
    path.touch()
    for each in (str(path), "/dev/null"):
        with pytest.raises(SourceError, match=f"expected a video device, got {each}, which is"):
            ask_camera("camera 0", each, v4l2.open_device)
    with pytest.raises(SourceError, match="found none that opens"):
        ask_camera("camera 0", str(tmp_path / "video1"), v4l2.open_device)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_who_has_a_device_open(tmp_path: Path) -> None:
    path = tmp_path / "video0"
    path.touch()
    (tmp_path / "by-id").symlink_to(path)
    assert programs_with(str(path)) == ""
    script = "import sys; file = open(sys.argv[1]); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        told = programs_with(str(tmp_path / "by-id"))
        other.communicate()
    assert f"(process {other.pid})" in told
    assert f"(process {os.getpid()})" not in told
    with path.open():
        assert f"(process {os.getpid()})" in programs_with(str(path)), "it lists its own folder too"


@pytest.mark.parametrize(
    ("group", "advice"),
    [("video", "sudo usermod -aG video "), ("root", "sudo chmod a\\+rw /dev/video7")],
)
def test_a_camera_of_others(monkeypatch: pytest.MonkeyPatch, group: str, advice: str) -> None:
    import grp

    named = grp.struct_group((group, "", 0, []))
    monkeypatch.setattr(grp, "getgrgid", lambda _: named)
    monkeypatch.setattr(Path, "stat", lambda _: os.stat_result(range(10)))
    with pytest.raises(SourceError, match=f"camera 7: .* this user may open.*{advice}"):
        ask_camera("camera 7", "/dev/video7", Driver({}, open_error=errno.EACCES).open)

"""Drivers of video devices, as far as the requests used go: no camera is here.

The lists are those that `v4l2-ctl --list-formats-ext` shows for such cameras, shortened.
"""

import ctypes
import errno
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

from sam3_edge.runtime.sources import v4l2
from sam3_edge.runtime.sources.v4l2 import Control
from sam3_edge.runtime.sources.v4l2_modes import CameraMode

Modes = dict[str, dict[tuple[int, int], tuple[float, ...]]]

WEBCAM: Modes = {  # a C920
    "YUYV": {
        (640, 480): (30.0, 24.0, 15.0, 5.0),
        (1280, 720): (10.0, 5.0),
        (1920, 1080): (5.0,),
    },
    "MJPG": {
        (640, 480): (30.0, 15.0),
        (1280, 720): (60.0, 30.0, 15.0),
        (1920, 1080): (30.0, 5.0),
    },
    "H264": {(1920, 1080): (30.0,)},
}
LAPTOP: Modes = {"MJPG": {(1280, 720): (30.0,), (640, 480): (30.0,)}, "YUYV": {(640, 480): (30.0,)}}
GRABBER: Modes = {"NV12": {(1920, 1080): (60.0,)}, "YUYV": {(1920, 1080): (30.0,)}}
INFRARED: Modes = {"GREY": {(640, 360): (15.0,)}}
ENCODER: Modes = {"H264": {(1920, 1080): (30.0,)}}


def listed(modes: Modes) -> list[CameraMode]:
    return [
        CameraMode(pixel_format=name, width=width, height=height, fps=fps)
        for name, sizes in modes.items()
        for (width, height), rates in sizes.items()
        for fps in rates
    ]


class Driver:
    """Answers requests as a driver does: index by index, and then EINVAL.

    capabilities: of this node. stride: bytesperline of the picture that is set. failures: errno by
    request. open_error: errno of opening it.
    """

    def __init__(
        self,
        modes: Modes,
        *,
        capabilities: int = 0x1,
        stride: int = 0,
        failures: dict[int, int] | None = None,
        open_error: int = 0,
    ) -> None:
        self.modes, self.capabilities, self.stride = modes, capabilities, stride
        self.failures, self.open_error = failures or {}, open_error
        self.num_open = 0

    @contextmanager
    def open(self, path: str) -> Iterator[Control]:
        if self.open_error:
            raise OSError(self.open_error, "the system's word", path)
        self.num_open += 1
        try:
            yield self
        finally:
            self.num_open -= 1

    def __call__(self, request: int, structure: ctypes.Structure) -> None:
        assert self.num_open == 1, "asked a device that is not open"
        if request in self.failures:
            raise OSError(self.failures[request], "the system's word")
        try:
            self.answer(structure)
        except LookupError:
            raise OSError(errno.EINVAL, "Invalid argument") from None

    def answer(self, structure: ctypes.Structure) -> None:
        match structure:
            case v4l2.V4l2Capability():
                structure.card = b"HD Pro Webcam"
                structure.capabilities = 0x80000000 | 0x1 | 0x800000  # of all its nodes
                structure.device_caps = self.capabilities
            case v4l2.V4l2FormatDescription():
                name = list(self.modes)[structure.index]
                structure.pixelformat = int.from_bytes(name.encode(), "little")
            case v4l2.V4l2FrameSize():
                structure.type = v4l2.DISCRETE
                structure.sizes[:2] = list(self.sizes(structure.pixel_format))[structure.index]
            case v4l2.V4l2FrameInterval():
                rates = self.sizes(structure.pixel_format)[structure.width, structure.height]
                interval = 1 / Fraction(rates[structure.index]).limit_denominator(1001)
                structure.type = v4l2.DISCRETE
                structure.intervals[:2] = (interval.numerator, interval.denominator)
            case v4l2.V4l2Format():
                structure.fmt.pix[4] = self.stride

    def sizes(self, code: int) -> dict[tuple[int, int], tuple[float, ...]]:
        return self.modes[code.to_bytes(4, "little").decode()]


class RangeDriver(Driver):
    """One that takes any size on its steps and any rate, as virtual and CSI devices do."""

    def answer(self, structure: ctypes.Structure) -> None:
        if isinstance(structure, v4l2.V4l2FrameSize):
            if structure.index:
                raise LookupError
            structure.type = v4l2.STEPWISE
            structure.sizes[:] = (32, 1920, 16, 32, 1080, 8)
        elif isinstance(structure, v4l2.V4l2FrameInterval):
            if structure.index:
                raise LookupError
            structure.type = v4l2.CONTINUOUS
            structure.intervals[:] = (1, 60, 1, 1, 1, 1)
        else:
            super().answer(structure)

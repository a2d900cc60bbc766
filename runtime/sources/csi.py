"""A camera on the CSI connector of a Jetson, through NVIDIA's Argus.

Argus' daemon dies when it is started over and over, so such a source is not opened again by itself.
This file has been checked against the elements' documented properties, and not run on hardware.
"""

import math
from fractions import Fraction

from sam3_edge.errors import SourceError, UsageError
from sam3_edge.runtime.gstreamer.appsink import parse_pipeline
from sam3_edge.runtime.gstreamer.load import load_gst
from sam3_edge.runtime.sources.gstreamer import GStreamerSource, Manner

__all__ = ["csi_pipeline", "open_csi"]

_WIDTH, _HEIGHT, _FPS = 1280, 720, 30.0
_PREFIX = "csi:"


def open_csi(
    text: str,
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
) -> GStreamerSource:
    """text: "csi:0", the number being Argus' sensor-id. width, height, fps: the sensor's mode that
    has them, 1280 x 720 at 30 a second by default.

    Raises SourceError where there is no such camera, UsageError for another text or size.
    """
    pipeline_text = csi_pipeline(
        _sensor(text), width or _WIDTH, height or _HEIGHT, _FPS if fps is None else fps
    )
    if load_gst().ElementFactory.find("nvarguscamerasrc") is None:
        raise SourceError(
            f"{text}: expected GStreamer's nvarguscamerasrc, found none: this is not a Jetson, or "
            "one without CSI support; use --camera 0 for a USB camera"
        )
    pipeline, sink = parse_pipeline(pipeline_text)
    manner = Manner(
        name=text,
        advice="check the camera's cable, its device tree (jetson-io.py) and its modes; where it "
        "worked before: sudo systemctl restart nvargus-daemon",
        live=True,
        endless=True,
        may_reopen=False,
    )
    return GStreamerSource(pipeline, sink, manner)


def csi_pipeline(sensor: int, width: int, height: int, fps: float) -> str:
    """As for gst-launch-1.0. NV12 is half the bytes of BGRx, and needs no conversion on either side.

    Raises UsageError for a size or rate that none can have.
    """
    if width < 1 or height < 1 or not (math.isfinite(fps) and fps > 0):
        raise UsageError(
            f"csi:{sensor}: expected a width, height and rate above zero, got {width} x {height} "
            f"at {fps:g} a second"
        )
    rate = Fraction(fps).limit_denominator(1001)
    return (
        f"nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM),format=NV12,"
        f"width={width},height={height},framerate={rate.numerator}/{rate.denominator} "
        "! nvvidconv ! video/x-raw,format=NV12"
    )


def _sensor(text: str) -> int:
    number = text.removeprefix(_PREFIX)
    if not text.startswith(_PREFIX) or not (number.isascii() and number.isdecimal()):
        raise UsageError(f"expected csi: and a camera's number, such as csi:0, got {text!r}")
    return int(number)

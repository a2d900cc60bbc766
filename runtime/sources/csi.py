"""A camera on the CSI connector of a Jetson, through NVIDIA's Argus.

Argus' daemon dies when it is started over and over, so such a source is not opened again by itself.
This file has been checked against the elements' documented properties, and not run on hardware.
"""

from fractions import Fraction

from sam3_edge.errors import SourceError, UsageError
from sam3_edge.runtime.gstreamer.appsink import parse_pipeline
from sam3_edge.runtime.gstreamer.load import load_gst
from sam3_edge.runtime.sources.gstreamer import GStreamerSource, Manner

__all__ = ["csi_pipeline", "open_csi"]

_WIDTH, _HEIGHT, _FPS = 1280, 720, 30.0
_LARGEST_PX, _SLOWEST, _FASTEST = 16384, 0.01, 1000.0
_FORMATS = ("NV12", "BGRx")
_MOST_DIGITS = 9
_PREFIX = "csi:"


def open_csi(
    text: str,
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
    pixel_format: str | None = None,
) -> GStreamerSource:
    """text: "csi:0", the number being Argus' sensor-id. width, height, fps: the sensor's mode that
    has them, 1280 x 720 at 30 a second by default. pixel_format: NV12, which is the default, or
    BGRx.

    Raises SourceError where there is no such camera, UsageError for another text, size or format.
    """
    pipeline_text = csi_pipeline(
        _sensor(text),
        width or _WIDTH,
        height or _HEIGHT,
        _FPS if fps is None else fps,
        _FORMATS[0] if pixel_format is None else pixel_format,
    )
    if load_gst().ElementFactory.find("nvarguscamerasrc") is None:
        raise SourceError(
            f"{text}: expected GStreamer's nvarguscamerasrc, found none: this is not a Jetson, or "
            "one without CSI support; use --camera 0 for a USB camera"
        )
    pipeline, sink = parse_pipeline(pipeline_text)
    manner = Manner(
        name=text,
        advice="check the camera's cable, its device tree (jetson-io.py) and its modes, then start "
        "again: a CSI camera is not opened again by itself; where it worked before: sudo systemctl "
        "restart nvargus-daemon",
        live=True,
        endless=True,
        may_reopen=False,
    )
    return GStreamerSource(pipeline, sink, manner)


def csi_pipeline(
    sensor: int, width: int, height: int, fps: float, pixel_format: str = _FORMATS[0]
) -> str:
    """As for gst-launch-1.0. NV12 is half the bytes of BGRx, and needs no conversion on either side.

    Raises UsageError for a size, rate or format that none can have.
    """
    names = {name.upper(): name for name in _FORMATS}
    if pixel_format.upper() not in names:
        raise UsageError(
            f"csi:{sensor}: expected a pixel format of {' or '.join(_FORMATS)}, got {pixel_format!r}"
        )
    sides_fit = 1 <= width <= _LARGEST_PX and 1 <= height <= _LARGEST_PX
    if not (sides_fit and _SLOWEST <= fps <= _FASTEST):
        raise UsageError(
            f"csi:{sensor}: expected a width and height of 1 to {_LARGEST_PX} pixels and a rate of "
            f"{_SLOWEST:g} to {_FASTEST:g}, got {width} x {height} at {fps:g} a second"
        )
    rate = Fraction(fps).limit_denominator(1001)
    return (
        f"nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM),format=NV12,"
        f"width={width},height={height},framerate={rate.numerator}/{rate.denominator} "
        f"! nvvidconv ! video/x-raw,format={names[pixel_format.upper()]}"
    )


def _sensor(text: str) -> int:
    number = text.removeprefix(_PREFIX)
    is_number = number.isascii() and number.isdecimal() and len(number) <= _MOST_DIGITS
    if not (text.startswith(_PREFIX) and is_number):
        raise UsageError(f"expected csi: and a camera's number, such as csi:0, got {text[:40]!r}")
    return int(number)

"""NVIDIA's nvarguscamerasrc and nvvidconv as far as their pads, caps and the properties used say it.

Their templates are those of JetPack's documentation (Accelerated GStreamer, Jetson Linux): the
camera gives NV12 in NVMM memory, the converter takes that and gives NV12, I420, BGRx, RGBA, GRAY8
or YUY2 in the CPU's. Pictures are in the CPU's memory all along: nothing of the hardware is shown.
"""

import time
from typing import Any

from sam3_edge.runtime.gstreamer.load import load_gst, load_gst_part

NVMM = (
    "video/x-raw(memory:NVMM),format=NV12,width=[1,2147483647],height=[1,2147483647],"
    "framerate=[0/1,2147483647/1]"
)
CPU = "video/x-raw,format={NV12,I420,BGRx,RGBA,GRAY8,YUY2}"
SENSORS = 2  # sensor-id above it: as a connector with nothing on it


def register() -> None:
    """Both elements, in this process alone. Safe to call again."""
    gst = load_gst()
    if gst.ElementFactory.find("nvarguscamerasrc") is None:
        gst.Element.register(None, "nvarguscamerasrc", gst.Rank.NONE, camera_type(gst))
        gst.Element.register(None, "nvvidconv", gst.Rank.NONE, converter_type(gst))


def unregister() -> None:
    """As on a machine that is no Jetson."""
    gst = load_gst()
    for name in ("nvarguscamerasrc", "nvvidconv"):
        feature = gst.Registry.get().lookup_feature(name)
        if feature is not None:
            gst.Registry.get().remove_feature(feature)


def template(gst: Any, name: str, caps: str) -> Any:
    direction = gst.PadDirection.SINK if name == "sink" else gst.PadDirection.SRC
    return gst.PadTemplate.new(name, direction, gst.PadPresence.ALWAYS, gst.Caps.from_string(caps))


def camera_type(gst: Any) -> Any:
    gobject = load_gst_part("GObject")

    class Camera(load_gst_part("GstBase").BaseSrc):  # type: ignore[misc]
        __gstmetadata__ = ("stand-in", "Source/Video", "stand-in", "tests")
        __gsttemplates__ = (template(gst, "src", NVMM),)
        sensor_id = gobject.Property(type=int, default=0)

        def __init__(self) -> None:
            super().__init__()
            self.set_live(True)
            self.set_format(gst.Format.TIME)
            self.set_do_timestamp(True)
            self.wait_s = 0.0

        def do_set_caps(self, caps: Any) -> bool:
            info = load_gst_part("GstVideo").VideoInfo.new_from_caps(caps)
            self.set_blocksize(info.size)
            self.wait_s = info.fps_d / info.fps_n
            return True

        def do_fill(self, _offset: int, length: int, buffer: Any) -> Any:
            if self.sensor_id >= SENSORS:
                return gst.FlowReturn.ERROR
            time.sleep(self.wait_s)
            buffer.fill(0, bytes([128]) * length)
            return gst.FlowReturn.OK

    return Camera


def converter_type(gst: Any) -> Any:
    class Converter(load_gst_part("GstBase").BaseTransform):  # type: ignore[misc]
        __gstmetadata__ = ("stand-in", "Filter/Converter/Video", "stand-in", "tests")
        __gsttemplates__ = (template(gst, "sink", f"{NVMM};{CPU}"), template(gst, "src", CPU))

        def do_transform_caps(self, direction: Any, caps: Any, limit: Any) -> Any:
            """The same picture on the other side, in the other memory."""
            there = CPU if direction == gst.PadDirection.SINK else NVMM
            found = gst.Caps.new_empty()
            for index in range(caps.get_size()):
                structure = caps[index].copy()
                structure.remove_field("format")
                fields = structure.to_string().removeprefix("video/x-raw").rstrip(";")
                found.append(gst.Caps.from_string(there.partition(",format")[0] + fields))
            return found if limit is None else limit.intersect(found)

        def do_transform_ip(self, _buffer: Any) -> Any:
            return gst.FlowReturn.OK

    return Converter

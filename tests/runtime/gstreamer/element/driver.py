"""Runs one pipeline in a process of the distribution's Python and prints what came out as JSON.

Not a test, and not a part of ours: no more than an application would do. Its argument is JSON:
pipeline: for `Gst.parse_launch`; the element to look at is named `e`.
changes: [after how many buffers, name of an element, property, value].
warnings: how many to wait for; those that come after the end of the stream count too.
pictures: also give the bytes that leave `e`, in base64.
push: [format, padding], two pictures go into the appsrc `in`; with a padding their rows lie so many
bytes apart, as only their GstVideoMeta says.
"""

import base64
import json
import sys
import threading
from importlib import import_module
from typing import Any

gi = import_module("gi")
for _name in ("Gst", "GstVideo"):
    gi.require_version(_name, "1.0")
Gst: Any = import_module("gi.repository.Gst")
GstVideo: Any = import_module("gi.repository.GstVideo")
GLib: Any = import_module("gi.repository.GLib")
try:
    gi.require_version("GstAnalytics", "1.0")
    GstAnalytics: Any = import_module("gi.repository.GstAnalytics")
except ValueError:  # before 1.24, or without gir1.2-gst-plugins-bad-1.0
    GstAnalytics = None

_FIELDS = ("prompt", "score", "mask", "mask-height", "mask-width", "lag-frames", "lag-ms")


def main(plan: dict[str, Any]) -> dict[str, Any]:
    Gst.init(None)
    pipeline = Gst.parse_launch(plan["pipeline"])
    element = pipeline.get_by_name("e")
    seen: dict[str, Any] = {"buffers": [], "results": [], "warnings": [], "error": None}
    changes = sorted(plan.get("changes", []))

    def before(_pad: Any, info: Any) -> Any:
        while changes and changes[0][0] <= len(seen["buffers"]):
            _, name, key, value = changes.pop(0)
            Gst.util_set_object_arg(pipeline.get_by_name(name), key, value)
        return Gst.PadProbeReturn.OK

    def after(pad: Any, info: Any) -> Any:
        buffer = info.get_buffer()
        passed = {"pts": buffer.pts, "regions": _regions(buffer), "analytics": _analytics(buffer)}
        if plan.get("pictures"):
            passed["picture"] = base64.b64encode(_rows(buffer, pad.get_current_caps())).decode()
        seen["buffers"].append(passed)
        return Gst.PadProbeReturn.OK

    element.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, before)
    element.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, after)
    pipeline.set_state(Gst.State.PLAYING)
    if "push" in plan:
        _push_pictures(pipeline.get_by_name("in"), *plan["push"])
    _listen(pipeline.get_bus(), seen)
    while len(seen["warnings"]) < plan.get("warnings", 0) and seen["error"] is None:
        late = pipeline.get_bus().timed_pop_filtered(60 * Gst.SECOND, Gst.MessageType.WARNING)
        seen["warnings"].append(late.parse_warning()[0].message)
    seen["threads"] = _threads()
    pipeline.set_state(Gst.State.NULL)
    seen["threads_after"] = _threads()
    return seen


def _listen(bus: Any, seen: dict[str, Any]) -> None:
    kinds = Gst.MessageType
    wanted = kinds.EOS | kinds.ERROR | kinds.WARNING | kinds.ELEMENT
    while (message := bus.timed_pop_filtered(60 * Gst.SECOND, wanted)) is not None:
        if message.type == kinds.ELEMENT:
            content = message.get_structure()
            result = json.loads(content.get_string("json"))
            result["from"] = message.src.get_name()
            result["pts"] = content.get_value("pts")
            seen["results"].append(result)
        elif message.type == kinds.WARNING:
            seen["warnings"].append(message.parse_warning()[0].message)
        else:
            if message.type == kinds.ERROR:
                seen["error"] = message.parse_error()[0].message
            return
    seen["error"] = "nothing came for a minute"


def _regions(buffer: Any) -> list[dict[str, Any]]:
    regions: list[dict[str, Any]] = []
    while (
        region := GstVideo.buffer_get_video_region_of_interest_meta_id(buffer, len(regions))
    ) is not None:
        parameters = region.get_param("sam3edge")
        found = {field: parameters.get_value(field) for field in _FIELDS}
        found["box"] = [region.x, region.y, region.w, region.h]
        regions.append(found)
    return regions


def _analytics(buffer: Any) -> list[list[Any]] | None:
    """[type, x, y, width, height, score] of every object; None where GStreamer has no such thing."""
    if GstAnalytics is None:
        return None
    meta = GstAnalytics.buffer_get_analytics_relation_meta(buffer)
    found: list[list[Any]] = []
    while meta is not None and len(found) < GstAnalytics.relation_get_length(meta):
        _, thing = meta.get_od_mtd(len(found))
        _, *place = thing.get_location()
        found.append([GLib.quark_to_string(thing.get_obj_type()), *place])
    return found


def _rows(buffer: Any, caps: Any) -> bytes:
    """Without what lies between the rows."""
    info = GstVideo.VideoInfo.new_from_caps(caps)
    meta = GstVideo.buffer_get_video_meta(buffer) or info
    half, halves = (info.height + 1) // 2, (info.width + 1) // 2
    planes = {
        "NV12": [(info.height, info.width), (half, 2 * halves)],
        "I420": [(info.height, info.width), (half, halves), (half, halves)],
    }.get(info.finfo.name, [(info.height, info.width * info.finfo.pixel_stride[0])])
    _, content = buffer.map(Gst.MapFlags.READ)
    pixels = bytes(content.data)
    buffer.unmap(content)
    return b"".join(
        pixels[offset + y * stride : offset + y * stride + row]
        for (rows, row), offset, stride in zip(planes, meta.offset, meta.stride, strict=False)
        for y in range(rows)
    )


def _push_pictures(source: Any, format_: str, padding: int) -> None:
    """Two small pictures of many colours into an appsrc, of one plane with three bytes a pixel."""
    width, height = 162, 90
    caps = Gst.Caps.from_string(f"video/x-raw,format={format_},width={width},height={height}")
    source.set_property("caps", caps)
    row, start = width * 3, 7 if padding else 0
    stride = row + padding if padding else GstVideo.VideoInfo.new_from_caps(caps).stride[0]
    for index in range(2):
        rows = [bytes((x * (y + 3 + index)) % 251 for x in range(row)) for y in range(height)]
        pixels = bytes(start) + b"".join(line + bytes([85]) * (stride - row) for line in rows)
        buffer = Gst.Buffer.new_wrapped(pixels)
        buffer.pts = index * Gst.SECOND
        if padding:
            GstVideo.buffer_add_video_meta_full(
                buffer, GstVideo.VideoFrameFlags.NONE,
                getattr(GstVideo.VideoFormat, format_), width, height,
                1, [start, 0, 0, 0], [stride, 0, 0, 0],
            )  # fmt: skip
        source.emit("push-buffer", buffer)
    source.emit("end-of-stream")


def _threads() -> list[str]:
    """Names of those of the element, without what the pools append to them."""
    names = sorted(thread.name.rpartition("_")[0] for thread in threading.enumerate())
    return [name for name in names if name.startswith(("sam3-edge", "onnxruntime"))]


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))

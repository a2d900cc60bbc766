"""What was found, on the pipeline's bus."""

from typing import Any

from sam3_edge.runtime.gstreamer.element.modules import GObject, Gst
from sam3_edge.runtime.gstreamer.element.stream import Seen
from sam3_edge.runtime.results import json_line

NAME = "sam3edge"


def post_result(element: Any, seen: Seen) -> None:
    """An element message: json, the line of `sam3-edge run --jsonl`; pts where there is one."""
    content = Gst.Structure.new_empty(NAME)
    content.set_value("json", json_line(seen.result))
    if seen.pts_ns is not None:
        content.set_value("pts", GObject.Value(GObject.TYPE_UINT64, seen.pts_ns))
    element.post_message(Gst.Message.new_element(element, content))

"""What was found, on the buffer it was found in or on a later one."""

import math
from functools import cache
from typing import Any

from sam3_edge.errors import SourceError
from sam3_edge.runtime.gstreamer.element.modules import GLib, GObject, Gst, GstVideo
from sam3_edge.runtime.gstreamer.element.stream import Lag, Seen
from sam3_edge.runtime.gstreamer.load import load_gst_part

NAME = "sam3edge"  # of the parameters of a region


def attach(buffer: Any, seen: Seen, lag: Lag) -> None:
    """A GstVideoRegionOfInterestMeta for each object, best score first: its type is the prompt, its
    id the place in that order. buffer: writable."""
    result = seen.result
    found = result.detections
    analytics = _analytics_meta(buffer) if len(found) else None
    for i in range(len(found)):
        prompt = result.prompts[found.prompt_index[i]]
        place = _place(found.boxes[i].tolist())
        region = GstVideo.buffer_add_video_region_of_interest_meta(buffer, prompt, *place)
        region.id = i
        region.add_param(_parameters(seen, i, lag))
        if analytics is not None:
            score = float(found.scores[i])
            analytics.add_od_mtd(GLib.quark_from_string(prompt), *place, score)


@cache
def load_analytics() -> Any:
    """GstAnalytics, which GStreamer has from 1.24 on; None before."""
    if Gst.version()[:2] < (1, 24):
        return None
    try:
        return load_gst_part("GstAnalytics")
    except SourceError:  # a package of its own, which nobody has to install
        return None


def _analytics_meta(buffer: Any) -> Any:
    analytics = load_analytics()
    return None if analytics is None else analytics.buffer_add_analytics_relation_meta(buffer)


def _place(box: list[float]) -> tuple[int, int, int, int]:
    """xyxy -> x, y, width, height in whole pixels, none of the object left out."""
    x, y = math.floor(box[0]), math.floor(box[1])
    return x, y, math.ceil(box[2]) - x, math.ceil(box[3]) - y


def _parameters(seen: Seen, i: int, lag: Lag) -> Any:
    found, mask = seen.result.detections, seen.result.detections.masks[i]
    parameters = Gst.Structure.new_empty(NAME)
    parameters.set_value("prompt", seen.result.prompts[found.prompt_index[i]])
    parameters.set_value("score", float(found.scores[i]))
    if found.track_ids is not None:
        parameters.set_value("track-id", GObject.Value(GObject.TYPE_INT64, int(found.track_ids[i])))
    parameters.set_value("mask", mask.counts)
    parameters.set_value("mask-height", mask.size[0])
    parameters.set_value("mask-width", mask.size[1])
    parameters.set_value("lag-frames", lag.frames)
    parameters.set_value("lag-ms", lag.ms)
    return parameters

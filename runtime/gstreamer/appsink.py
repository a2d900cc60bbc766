"""A pipeline's last element: an appsink that keeps the newest picture, or loses none."""

from typing import Any

from sam3_edge.errors import SourceError
from sam3_edge.runtime.address import without_secrets
from sam3_edge.runtime.gstreamer.load import load_gst, load_gst_part
from sam3_edge.runtime.gstreamer.picture import CAPS

_WAITING = 2  # pictures that are not live wait here, at most
# The converter lets pictures through untouched where the appsink takes them as they come.
_END = " ! videoconvert ! appsink"


def parse_pipeline(text: str) -> tuple[Any, Any]:
    """(pipeline, its appsink), with one put at the end where the text has none.

    Raises SourceError with GStreamer's own reason.
    """
    has_sink = "appsink" in text.replace("!", " ").split()
    gst = load_gst()
    load_gst_part("GstApp")  # or an appsink has none of its own methods
    try:
        pipeline = gst.parse_launch(text if has_sink or not text.strip() else text + _END)
    except load_gst_part("GLib").Error as error:
        raise SourceError(
            f"expected a GStreamer pipeline, got {without_secrets(text)!r}: "
            f"{without_secrets(error.message)}; try it with gst-launch-1.0"
        ) from error
    sinks = _appsinks(pipeline)
    if len(sinks) != 1:
        raise SourceError(
            f"expected a GStreamer pipeline with one appsink, got {without_secrets(text)!r} with "
            f"{len(sinks)}; leave it out, and one is put at the end"
        )
    if has_sink:
        _convert_before(gst, sinks[0])
    sinks[0].set_property("caps", gst.Caps.from_string(CAPS))
    return pipeline, sinks[0]


def keep_newest(sink: Any) -> None:
    """For a live source: a picture that is not taken in time gives way to the next."""
    sink.set_property("max-buffers", 1)
    sink.set_property("drop", True)
    sink.set_property("sync", False)


def keep_all(sink: Any) -> None:
    """For all others: the pipeline waits for who takes the pictures, and not for the clock."""
    sink.set_property("max-buffers", _WAITING)
    sink.set_property("drop", False)
    sink.set_property("sync", False)


def _appsinks(pipeline: Any) -> list[Any]:
    if not isinstance(pipeline, load_gst().Pipeline):  # one element, or a bin in parentheses
        return []
    kind = load_gst_part("GstApp").AppSink
    found = pipeline.iterate_sinks()
    sinks: list[Any] = []
    while True:
        result, element = found.next()
        if result != load_gst().IteratorResult.OK:
            return sinks
        if isinstance(element, kind):
            sinks.append(element)


def _convert_before(gst: Any, sink: Any) -> None:
    """Where the text has an appsink of its own. One that is linked later, by a decodebin, gets its
    pictures as they are. Raises SourceError where it is linked to sound, or to what is not decoded."""
    pad = sink.get_static_pad("sink")
    peer = pad.get_peer()
    if peer is None:
        return
    converter = gst.ElementFactory.make("videoconvert")
    entry = converter.get_static_pad("sink")
    offered = peer.query_caps(None)
    if not offered.can_intersect(entry.query_caps(None)):
        got = offered[0].get_name() if offered.get_size() else "nothing"
        raise SourceError(
            f"expected raw video before the appsink, got {got}; put a decoder there, as in "
            "'... ! decodebin ! videoconvert ! appsink'"
        )
    sink.get_parent().add(converter)
    peer.unlink(pad)
    peer.link(entry)
    converter.get_static_pad("src").link(pad)

"""The element as GStreamer sees it: its pads, its properties, its calls."""

import ctypes
import ctypes.util
from functools import cache
from threading import RLock
from typing import TYPE_CHECKING, Any

from sam3_edge.runtime.gstreamer.element.failures import post_warning, told
from sam3_edge.runtime.gstreamer.element.modules import GObject, Gst, GstBase
from sam3_edge.runtime.gstreamer.element.properties import Settings, gobject_properties

if TYPE_CHECKING:
    from sam3_edge.runtime.gstreamer.element.layout import Picture
    from sam3_edge.runtime.gstreamer.element.stream import Seen, Stream
    from sam3_edge.runtime.preprocess import FrameLayout

CAPS = "video/x-raw,format={BGR,RGB,BGRx,RGBA,NV12,I420}"


def _template(name: str, direction: Any) -> Any:
    return Gst.PadTemplate.new(name, direction, Gst.PadPresence.ALWAYS, Gst.Caps.from_string(CAPS))


@cache
def element_type() -> Any:
    """The element's class, made when it is asked for: its base is GStreamer's."""

    class Sam3Edge(GstBase.BaseTransform):  # type: ignore[misc]
        """Looks at the buffers that pass and writes what it found on them. In place."""

        __gtype_name__ = "GstSam3Edge"
        __gstmetadata__ = (
            "SAM 3 edge",
            "Filter/Analyzer/Video",
            "Finds what a sentence names: boxes and masks as metadata, messages and drawings",
            "sam3-edge",
        )
        __gsttemplates__ = (
            _template("sink", Gst.PadDirection.SINK),
            _template("src", Gst.PadDirection.SRC),
        )
        __gproperties__ = gobject_properties()

        def __init__(self) -> None:
            super().__init__()
            _float_again(self)
            self._settings = Settings()
            self._stream: Stream | None = None
            self._changing = RLock()  # again in the same thread where a warning makes one change
            self._layout: FrameLayout | None = None
            # Never in passthrough: a buffer that is shared costs a copy of its header alone, and may
            # then carry metadata that is asked for while it passes.
            self.set_in_place(True)

        def do_get_property(self, pspec: Any) -> object:
            return self._current().value(pspec.name)

        @told(None)
        def do_set_property(self, pspec: Any, value: object) -> None:
            with self._changing:
                settings = self._current().changed(pspec.name, value)
                if self._stream is None:
                    self._settings = settings
                else:
                    self._stream.change(settings)

        @told(False)
        def do_start(self) -> bool:
            # All that is heavy, and here: what fails while GStreamer looks for plugins is told once.
            from sam3_edge.runtime.gstreamer.element.messages import post_result
            from sam3_edge.runtime.gstreamer.element.stream import Stream

            def on_result(seen: "Seen") -> None:
                post_result(self, seen)

            def warn(text: str) -> None:
                post_warning(self, text)

            settings = self._settings
            stream = Stream(self.get_name(), settings, on_result, warn)
            with self._changing:
                self._stream = stream
                if self._settings is not settings:  # somebody changed them while it loaded
                    stream.change(self._settings)
            return True

        @told(False)
        def do_stop(self) -> bool:
            with self._changing:
                self._settings = self._current()
                stream, self._stream = self._stream, None
            self._layout = None
            if stream is not None:
                stream.close()
            return True

        @told(False)
        def do_set_caps(self, incaps: Any, _outcaps: Any) -> bool:
            from sam3_edge.runtime.gstreamer.picture import layout_of_caps

            self._layout = layout_of_caps(incaps)
            return True

        @told(False)
        def do_sink_event(self, event: Any) -> bool:
            if self._stream is not None:
                if event.type == Gst.EventType.EOS:  # whoever hears it stops listening
                    self._stream.finish()
                elif event.type in (Gst.EventType.FLUSH_STOP, Gst.EventType.SEGMENT):
                    self._stream.forget()
            return bool(GstBase.BaseTransform.do_sink_event(self, event))

        @told(Gst.FlowReturn.ERROR)
        def do_transform_ip(self, buffer: Any) -> Any:
            from sam3_edge.runtime.gstreamer.element.layout import mapped
            from sam3_edge.runtime.gstreamer.element.metadata import attach

            settings = self._current()
            assert self._stream is not None
            assert self._layout is not None
            pts_ns = None if buffer.pts == Gst.CLOCK_TIME_NONE else buffer.pts
            with mapped(buffer, self._layout, writable=settings.draw != "none") as picture:
                seen_and_lag = self._stream.look(picture, pts_ns)
                if seen_and_lag is not None:
                    _draw(picture, seen_and_lag[0], settings.draw)
            if seen_and_lag is not None and settings.metadata:
                attach(buffer, *seen_and_lag)
            return Gst.FlowReturn.OK

        def _current(self) -> Settings:
            stream = self._stream
            return self._settings if stream is None else stream.settings

    GObject.type_register(Sam3Edge)
    return Sam3Edge


def _draw(picture: "Picture", seen: "Seen", draw: str) -> None:
    if draw == "none":
        return
    from sam3_edge.runtime.gstreamer.element.drawing import draw_boxes, draw_masks

    found = seen.result.detections
    if draw == "masks":
        draw_masks(picture, found)
    draw_boxes(picture, found, seen.result.prompts)


def _float_again(element: Any) -> None:
    """PyGObject keeps the floating reference of an element that GStreamer makes, of which GStreamer
    complains (seen with 3.42): whoever made the element gets one of its own."""
    if element.is_floating():
        return
    library = ctypes.CDLL(ctypes.util.find_library("gobject-2.0") or "libgobject-2.0.so.0")
    address = ctypes.c_void_p(hash(element))
    library.g_object_ref(address)
    library.g_object_force_floating(address)

"""The parts of GStreamer the element is made of, loaded with their first use.

Not every machine has them, and every module can be imported everywhere.
"""

from importlib import import_module
from types import ModuleType
from typing import Any

from sam3_edge.runtime.gstreamer.load import load_gst, load_gst_part


class _Part:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> object:
        """Asked only for what is not there yet. Raises SourceError without GStreamer."""
        value: object = getattr(_load(self._name), attribute)
        setattr(self, attribute, value)
        return value


def _load(name: str) -> ModuleType:
    gst = load_gst()
    if name == "Gst":
        return gst
    return load_gst_part(name) if name.startswith("Gst") else import_module(f"gi.repository.{name}")


# `gi` is not typed: these are the element's only names of it.
Gst: Any = _Part("Gst")
GstBase: Any = _Part("GstBase")
GstVideo: Any = _Part("GstVideo")
GLib: Any = _Part("GLib")
GObject: Any = _Part("GObject")

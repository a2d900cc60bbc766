"""What GStreamer loads: finds the environment that sam3-edge is installed in, and the element.

GStreamer embeds the distribution's Python, which knows no virtual environment. This file is the
only one in GST_PLUGIN_PATH/python; `sam3-edge gstreamer --install` writes SITE_PACKAGES into it.
"""

import os
import re
import site
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

gi = import_module("gi")
for _name in ("Gst", "GstBase"):
    gi.require_version(_name, "1.0")
Gst: Any = import_module("gi.repository.Gst")
GstBase: Any = import_module("gi.repository.GstBase")
GLib: Any = import_module("gi.repository.GLib")
GObject: Any = import_module("gi.repository.GObject")

# An application that had a videoconvert in its hands before GstBase was loaded has made PyGObject
# put an empty class in the place of its base: what derives from that one GStreamer never calls.
if "__info__" not in vars(GstBase.BaseTransform):
    GstBase.BaseTransform.__gtype__.pytype = None
    GstBase.__dict__.pop("BaseTransform", None)

SITE_PACKAGES = ""
ENVIRONMENT = "SAM3_EDGE_SITE_PACKAGES"


def _add_site_packages() -> None:
    """In front of the distribution's packages, whose NumPy is another one. `gi` is loaded already."""
    named = os.environ.get(ENVIRONMENT) or SITE_PACKAGES
    if not named:
        return
    folder, version = Path(named), f"python{sys.version_info[0]}.{sys.version_info[1]}"
    others = [part for part in folder.parts if re.fullmatch(r"python\d+\.\d+", part)]
    if not folder.is_dir():
        raise ImportError(
            f"expected the packages of sam3-edge in {folder}, found no such folder; "
            "run `sam3-edge gstreamer --install` again"
        )
    if others and version not in others:
        raise ImportError(
            f"expected packages of GStreamer's own {version}, got {folder}; "
            f"install sam3-edge into an environment made with {version}"
        )
    before = len(sys.path)
    site.addsitedir(named)
    sys.path[:] = sys.path[before:] + sys.path[:before]


def _cannot_start(error: Exception) -> Any:
    """An element that says at every start why there is no better one: what fails here is printed
    only when GStreamer looks for plugins, and that it does once."""
    text = f"sam3edge cannot be loaded: {error}"
    if isinstance(error, ModuleNotFoundError):
        text += f"; run `sam3-edge gstreamer --install`, or set {ENVIRONMENT} as `--env` does"
    names = "prompt bundle threshold every draw async metadata unverified threads self-check"
    some = Gst.Caps.from_string("video/x-raw")

    class Sam3EdgeMissing(GstBase.BaseTransform):  # type: ignore[misc]
        __gtype_name__ = "GstSam3EdgeMissing"
        __gstmetadata__ = ("SAM 3 edge, not loaded", "Filter/Analyzer/Video", text, "sam3-edge")
        __gsttemplates__ = tuple(
            Gst.PadTemplate.new(name, direction, Gst.PadPresence.ALWAYS, some)
            for name, direction in (
                ("sink", Gst.PadDirection.SINK),
                ("src", Gst.PadDirection.SRC),
            )
        )
        __gproperties__: ClassVar = {
            name: (str, name, text, "", GObject.ParamFlags.READWRITE) for name in names.split()
        }

        def do_get_property(self, _pspec: Any) -> str:
            return ""

        def do_set_property(self, _pspec: Any, _value: str) -> None:
            pass

        def do_start(self) -> bool:
            reason = GLib.Error.new_literal(Gst.library_error_quark(), text, Gst.LibraryError.INIT)
            self.post_message(Gst.Message.new_error(self, reason, repr(error)))
            return False

    GObject.type_register(Sam3EdgeMissing)
    return Sam3EdgeMissing


Gst.init(None)
try:
    _add_site_packages()
    from sam3_edge.runtime.gstreamer.element.transform import element_type

    _element = element_type()
except Exception as error:  # whatever it is, the element must say so
    _element = _cannot_start(error)

__gstelementfactory__ = ("sam3edge", Gst.Rank.NONE, _element)

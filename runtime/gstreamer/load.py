"""GStreamer's Python, which only the distribution has: no wheel carries it.

`gi` is compiled for the distribution's Python. A virtual environment of the same X.Y can use it, so
it is taken from there alone, without letting the distribution's other packages in.
"""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from threading import Lock
from types import ModuleType

from sam3_edge.errors import SourceError

_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
# Of Debian and Ubuntu, then of others.
_FOLDERS = (
    "/usr/lib/python3/dist-packages",
    f"/usr/lib64/python{_PYTHON}/site-packages",
    f"/usr/lib/python{_PYTHON}/site-packages",
)
_PACKAGES = (
    "python3-gi python3-gst-1.0 gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-base "
    "gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav"
)
_loading = Lock()


def load_gst() -> ModuleType:
    """`Gst` of GStreamer 1.20 or later, initialised. Raises SourceError where it is not there."""
    with _loading:
        gst = _load("Gst")
        if not gst.is_initialized():
            with _without_our_python():
                gst.init(None)
        if gst.version()[:2] < (1, 20):
            raise SourceError(
                f"expected GStreamer 1.20 or later, got {gst.version_string()}; update the system"
            )
        if "gi.overrides.Gst" not in sys.modules:  # without it a buffer cannot be looked into
            raise SourceError(
                "expected GStreamer's own part of gi, got one without it; install it with: "
                f"sudo apt install {_PACKAGES}"
            )
        return gst


def load_gst_part(name: str) -> ModuleType:
    """Another of its libraries: "GstApp", "GstVideo", "GstRtspServer", "GLib". Raises SourceError without it."""
    load_gst()
    with _loading:
        return _load(name)


def has_gst() -> bool:
    """Whether a pipeline can be built and its pictures read."""
    try:
        for part in ("GstApp", "GstVideo"):
            load_gst_part(part)
    except SourceError:
        return False
    return True


@contextmanager
def _without_our_python() -> Iterator[None]:
    """GStreamer's scanner of plugins, a process of its own, takes the first python3 in PATH for its
    own, and complains where that one, as an activated environment's, has no `gi`."""
    before = os.environ.get("PATH", "")
    ours = os.path.realpath(os.path.join(sys.prefix, "bin"))  # noqa: PTH118
    folders = [each for each in before.split(os.pathsep) if os.path.realpath(each) != ours]
    os.environ["PATH"] = os.pathsep.join(folders)
    try:
        yield
    finally:
        os.environ["PATH"] = before


def _load(name: str) -> ModuleType:
    # PyGObject before 3.44 imports in a way of which Python 3.11 warns.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gi = _load_gi()
        try:
            gi.require_version(name, "1.0" if name.startswith("Gst") else "2.0")
            return import_module(f"gi.repository.{name}")
        except (ImportError, ValueError) as error:
            raise SourceError(
                f"expected GStreamer's {name} for Python, got: {_line(error)}; install it with: "
                f"sudo apt install {_packages_of(name)}"
            ) from error


def _load_gi() -> ModuleType:
    """The one of this environment, else the distribution's."""
    if "gi" in sys.modules:
        return sys.modules["gi"]
    try:
        if find_spec("gi") is not None:
            return import_module("gi")
        spec = PathFinder.find_spec("gi", list(_FOLDERS))
        if spec is None or spec.loader is None:
            raise ImportError("no package gi")
        module = module_from_spec(spec)
        sys.modules["gi"] = module
        spec.loader.exec_module(module)
    except ImportError as error:
        sys.modules.pop("gi", None)
        raise SourceError(
            f"expected GStreamer's Python (gi) for Python {_PYTHON}, got: {_line(error)}; install "
            f"it with: sudo apt install {_PACKAGES}; and use the distribution's python3, or one of "
            "the same version"
        ) from error
    return module


def _packages_of(name: str) -> str:
    return "gir1.2-gst-rtsp-server-1.0" if name == "GstRtspServer" else _PACKAGES


def _line(error: Exception) -> str:
    return " ".join(str(error).split())

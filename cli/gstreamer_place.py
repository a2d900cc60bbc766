"""Where GStreamer looks for elements in Python, and what it must find there."""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from sam3_edge.errors import Sam3EdgeError
from sam3_edge.runtime.gstreamer import __path__ as _folders

PLUGIN_FOLDER = Path(_folders[0]).absolute()  # its folder python/ holds the file
_FILE = PLUGIN_FOLDER / "python" / "sam3edge.py"
SYSTEM_PYTHON = "/usr/bin/python3"
INSTALL_GSTREAMER = (
    "sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good "
    "gstreamer1.0-python3-plugin-loader python3-gi python3-gst-1.0 gir1.2-gst-plugins-base-1.0"
)
_LINE = 'SITE_PACKAGES = ""\n'


def install_element() -> Path:
    """Write the file, with the way to this environment in it. Raises Sam3EdgeError."""
    link_gi()
    text = _FILE.read_text(encoding="utf-8")
    assert _LINE in text
    place = user_folder() / _FILE.name
    whole = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        whole.write_text(
            text.replace(_LINE, f"SITE_PACKAGES = {str(site_packages())!r}\n"), encoding="utf-8"
        )
        whole.replace(place)
    except OSError as error:
        with suppress(OSError):
            whole.unlink()
        raise Sam3EdgeError(
            f"cannot write {place}: {error.strerror}; `sam3-edge gstreamer --env` does without"
        ) from error
    forget_plugins()
    return place


def link_gi() -> None:
    """Of an environment that comes first in PATH, activated or of conda or pyenv, GStreamer's
    Python believes that it is its own: it must find the distribution's `gi` there.

    Raises Sam3EdgeError where it cannot.
    """
    if find_spec("gi") is not None:
        return
    found = _system_gi()
    place = Path(sysconfig.get_path("purelib")) / "gi"
    try:
        if place.is_symlink():  # to a gi that is gone
            place.unlink()
        place.symlink_to(found)
    except OSError as error:
        raise Sam3EdgeError(
            f"cannot link {place} to {found}: {error.strerror}; make the link, or use an "
            "environment of your own"
        ) from error
    forget_plugins()


def shell_exports() -> str:
    """Lines for `eval`: the element straight from where sam3-edge is installed.

    Raises Sam3EdgeError where GStreamer's Python could not start in this environment.
    """
    if _comes_first():
        link_gi()
    folder = shlex.quote(str(PLUGIN_FOLDER))
    return (
        f"export GST_PLUGIN_PATH={folder}${{GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}}\n"
        f"export SAM3_EDGE_SITE_PACKAGES={shlex.quote(str(site_packages()))}\n"
    )


def user_folder() -> Path:
    """The Python loader's own for this user; that of plugins in C, under ~/.local/share, it does
    not read."""
    return Path.home() / ".gstreamer-1.0" / "plugins" / "python"


def site_packages() -> Path:
    """The folder of this environment that sam3-edge was installed into."""
    try:
        return Path(str(distribution("sam3-edge").locate_file(""))).absolute()
    except PackageNotFoundError as error:
        raise Sam3EdgeError(
            "expected an installed sam3-edge, got one that only lies there; pip install it"
        ) from error


def _comes_first() -> bool:
    """Whether this environment's is the first python3 in PATH, which GStreamer's goes by."""
    python = shutil.which("python3")
    return python is not None and Path(python).parent.resolve() == Path(sys.prefix, "bin").resolve()


def _system_gi() -> str:
    """Asked of the Python that GStreamer embeds. To load it here would make GStreamer look for
    plugins before there is the link."""
    ask = "import gi, sys; print(*sys.version_info[:2], sep='.'); print(gi.__path__[0])"
    try:
        ran = subprocess.run(
            [SYSTEM_PYTHON, "-c", ask], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Sam3EdgeError(
            f"expected GStreamer's Python in {SYSTEM_PYTHON}, found none; {INSTALL_GSTREAMER}"
        ) from error
    version, found = ran.stdout.splitlines()
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if version != ours:
        raise Sam3EdgeError(
            f"expected an environment of Python {version}, as GStreamer's own, got {ours}; make "
            f"one with {SYSTEM_PYTHON} -m venv"
        )
    return found


def forget_plugins() -> None:
    """Delete GStreamer's list of what it knows, which it makes again: an element that once could
    not be loaded stays in it as missing, without a word."""
    named = os.environ.get("GST_REGISTRY_1_0") or os.environ.get("GST_REGISTRY")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    lists = [Path(named)] if named else list((cache / "gstreamer-1.0").glob("registry.*.bin"))
    for path in lists:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise Sam3EdgeError(
                f"cannot delete {path}: {error.strerror}; delete GStreamer's list of its plugins "
                "yourself: in it an element that is new may be missing"
            ) from error

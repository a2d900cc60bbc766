"""Real pipelines with the element, each in a process of its own with a registry of its own."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam3_edge.gstreamer_place import PLUGIN_FOLDER, site_packages

DRIVER = Path(__file__).with_name("driver.py")
SYSTEM_PYTHON = "/usr/bin/python3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipelines:
    """folder: for the registry and the text cache. environment: what finds the element."""

    folder: Path
    environment: Mapping[str, str]

    def launch(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """gst-launch-1.0 with these arguments, one word or several each."""
        words = [word for argument in arguments for word in argument.split(" ")]
        return self.run(["gst-launch-1.0", *words], **variables)

    def drive(self, pipeline: str, **plan: Any) -> Any:
        """What `driver.py` prints."""
        text = json.dumps({"pipeline": pipeline, **plan})
        ran = self.run([SYSTEM_PYTHON, str(DRIVER), text])
        assert ran.returncode == 0, ran.stderr
        assert "CRITICAL" not in ran.stderr
        assert "Traceback" not in ran.stderr
        return json.loads(ran.stdout)

    def run(self, command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env={**os.environ, **self.environment, **variables},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


def open_pipelines(folder: Path) -> Pipelines:
    """With the element as `sam3-edge gstreamer --env` offers it."""
    return Pipelines(
        folder=folder,
        environment={
            "PATH": bare_path(),
            "GST_PLUGIN_PATH": str(PLUGIN_FOLDER),
            "SAM3_EDGE_SITE_PACKAGES": str(site_packages()),
            "GST_REGISTRY": str(folder / "registry"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
        },
    )


def missing() -> str | None:
    """What the tests need and this machine does not have."""
    for program in ("gst-launch-1.0", "gst-inspect-1.0", SYSTEM_PYTHON):
        if shutil.which(program) is None:
            return f"expected {program}, found none"
    version = "import sys; print(*sys.version_info[:2], sep='.')"
    found = _output(SYSTEM_PYTHON, "-c", version)
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if found != ours:
        return f"expected GStreamer's Python to be {ours} as this one is, found {found}"
    with tempfile.TemporaryDirectory() as folder:
        fresh = {"PATH": bare_path(), "GST_REGISTRY": f"{folder}/registry"}
        if _output("gst-inspect-1.0", "python", **fresh) is None:
            return "expected GStreamer's loader for elements in Python, found none"
    return None


def bare_path() -> str:
    """Without other Pythons than the system's, which GStreamer's would take for its own."""
    return ":".join(place for place in os.environ["PATH"].split(":") if not _has_another(place))


def _has_another(place: str) -> bool:
    python = Path(place, "python3")
    if not python.exists():
        return False
    return Path(place, "../pyvenv.cfg").exists() or not python.samefile(SYSTEM_PYTHON)


def _output(*command: str, **variables: str) -> str | None:
    ran = subprocess.run(
        command,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return ran.stdout.strip() if ran.returncode == 0 else None

"""A short pipeline with the bundled model, run as a user would run it."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from sam3_edge.errors import Sam3EdgeError
from sam3_edge.gstreamer_place import INSTALL_GSTREAMER, SYSTEM_PYTHON, forget_plugins

_TIMEOUT_S = 120
_PROMPT = "fish"
_NUM_FRAMES = 3


def check_element(say: Callable[[str], None]) -> None:
    """Raises Sam3EdgeError with what is missing. say: takes a line for each thing that is there."""
    say(f"tools      {_version()}")
    if _run("gst-inspect-1.0", "python").returncode:
        raise Sam3EdgeError(
            f"expected GStreamer's loader for elements in Python, got none; {_advice()}"
        )
    say("loader     found")
    with tempfile.TemporaryDirectory(prefix="sam3-edge-") as folder:
        _check_found(Path(folder))
        say("element    sam3edge found")
        _check_pipeline(Path(folder), say)


def _version() -> str:
    ran = _run("gst-launch-1.0", "--version")
    found = re.search(r"^GStreamer .*", ran.stdout, flags=re.MULTILINE)
    if found is None:
        reason = ran.stderr.strip().splitlines()[-1:] or ["it says nothing"]
        raise Sam3EdgeError(
            f"expected gst-launch-1.0 to say its version, got: {reason[0]}; {INSTALL_GSTREAMER}"
        )
    return found[0].strip()


def found_json(output: str) -> list[dict[str, object]]:
    """The results in what `gst-launch-1.0 -m` prints: a backslash stands before what is not a
    letter, and octal numbers for the bytes of letters of other scripts."""
    texts = re.findall(r'sam3edge, json=\(string\)"((?:[^"\\]|\\.)*)"', output)
    return [json.loads(_unescaped(text)) for text in texts]


def _unescaped(text: str) -> str:
    def letter(found: re.Match[bytes]) -> bytes:
        escaped = found[1]
        return bytes([int(escaped, 8)]) if escaped.isdigit() and len(escaped) == 3 else escaped

    plain = re.sub(rb"\\([0-3][0-7]{2}|.)", letter, text.encode(), flags=re.DOTALL)
    return plain.decode()


def _advice() -> str:
    """It starts the first python3 in PATH, and needs the distribution's `gi` in it."""
    python = Path(shutil.which("python3") or SYSTEM_PYTHON)
    environment = python.parent.parent
    is_its_own = python.resolve() == Path(SYSTEM_PYTHON).resolve()
    if is_its_own and not (environment / "pyvenv.cfg").is_file():
        return INSTALL_GSTREAMER
    return (
        f"it takes {environment}, which comes first in PATH, for its own: run `sam3-edge gstreamer "
        f"--install` there, or deactivate it; and if that does not help: {INSTALL_GSTREAMER}"
    )


def _check_found(folder: Path) -> None:
    if not _run("gst-inspect-1.0", "--exists", "sam3edge").returncode:
        return
    # With a list of its own GStreamer looks again, and prints why it cannot load something.
    fresh = {"GST_REGISTRY": str(folder / "registry")}
    looked = _run("gst-inspect-1.0", "sam3edge", **fresh)
    if looked.returncode:
        reason = looked.stderr.strip().splitlines()[-1:] or ["nothing more is known"]
        raise Sam3EdgeError(
            f"expected the element sam3edge, got none ({reason[0]}); run `sam3-edge gstreamer "
            '--install`, or eval "$(sam3-edge gstreamer --env)"'
        )
    forget_plugins()


def _check_pipeline(folder: Path, say: Callable[[str], None]) -> None:
    pictures = folder / "scene.bgr"
    height, width = _write_scene(pictures)
    ran = _run(
        "gst-launch-1.0", "-m",
        "filesrc", f"location={pictures}", f"blocksize={height * width * 3}",
        "!", f"video/x-raw,format=BGR,width={width},height={height},framerate=10/1",
        "!", "sam3edge", f"prompt={_PROMPT}",
        "!", "fakesink",
    )  # fmt: skip
    if ran.returncode:
        errors = [line for line in ran.stderr.splitlines() if line.startswith("ERROR")]
        raise Sam3EdgeError(f"the pipeline failed: {(errors or [ran.stderr])[0]}")
    results = found_json(ran.stdout)
    if len(results) != _NUM_FRAMES:
        raise Sam3EdgeError(
            f"expected results of {_NUM_FRAMES} frames, got {len(results)}; run with GST_DEBUG=3"
        )
    say(f"pipeline   {len(results)} frames, {_seen(results[-1])}")


def _seen(result: dict[str, object]) -> str:
    objects = result["detections"]
    assert isinstance(objects, list)
    counts = Counter(found["prompt"] for found in objects)
    return ", ".join(f"{count} x {prompt}" for prompt, count in counts.items()) or "nothing found"


def _write_scene(path: Path) -> tuple[int, int]:
    """Frames of the built-in scene, one behind another; (H, W)."""
    from sam3_edge.runtime.scene import Scene  # takes a while

    scene = Scene(0, "held_out")
    images = [scene.frame(index) for index in range(_NUM_FRAMES)]
    path.write_bytes(b"".join(image.tobytes() for image in images))
    height, width = images[0].shape[:2]
    return height, width


def _run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
    except FileNotFoundError as error:
        raise Sam3EdgeError(
            f"expected {command[0]}, got no such program; {INSTALL_GSTREAMER}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise Sam3EdgeError(
            f"{command[0]}: expected an end within {_TIMEOUT_S} s, got none; is the machine busy?"
        ) from error

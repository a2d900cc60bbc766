"""The YOLO's environment, and one training in it, which a kill interrupts and does not lose."""

import hashlib
import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sam3_edge.errors import TrainingError, UsageError

HERE = Path(__file__).resolve().parent / "yolo_environment"
LIBRARY = "pixeltable-yolox==0.4.3"
Say = Callable[[str], None]


def default_environment() -> Path:
    """$XDG_CACHE_HOME/sam3-edge/yolo-environment, or the same in ~/.cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "sam3-edge" / "yolo-environment"


def prepare_environment(folder: Path, say: Say) -> Path:
    """Python of a virtual environment with the library, made in `folder` unless it is there.

    Raises TrainingError where pip cannot, as without a network.
    """
    python = folder / "bin" / "python"
    wanted, stamp = _requirements(), folder / "installed.txt"
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    if sys.version_info < (3, 11):
        got = ".".join(map(str, sys.version_info[:2]))
        raise TrainingError(f"expected Python 3.11 or later for {LIBRARY}, got {got}")
    say(f"installing {LIBRARY} and torch into {folder}")
    venv.create(folder, with_pip=True, clear=folder.exists() and stamp.exists())
    _pip(python, "-r", os.fspath(HERE / "requirements.txt"))
    _pip(python, "--no-deps", LIBRARY)
    stamp.write_text(wanted)
    return python


def already_trained(
    work: Path, settings: Mapping[str, Any], pictures: str, *, resume: bool
) -> bool:
    """Whether `work` holds a finished model of these settings and pictures (JSON). What it needs
    for one that is not finished is written there.

    Raises UsageError for a training of other settings or pictures, and for an interrupted one
    without `resume`.
    """
    before = work / "settings.json"
    if before.exists():
        _check_same(work, settings, pictures)
        if (work / "model.onnx").exists():
            return True
        if (work / "checkpoint.pt").exists() and not resume:
            raise UsageError(
                f"{work}: expected --resume, or a folder without an interrupted training; "
                "add --resume, or give another --work"
            )
    work.mkdir(parents=True, exist_ok=True)
    (work / "pictures.json").write_text(pictures)
    before.write_text(json.dumps(dict(settings), indent=1))
    return False


def train(python: Path, work: Path) -> None:
    """Writes model.onnx and model.json in `work`; what the library says goes to train.log.

    Raises TrainingError.
    """
    log = work / "train.log"
    threads = str(json.loads((work / "settings.json").read_text())["threads"])
    with log.open("a") as errors:
        done = subprocess.run(
            [python, HERE / "train.py", work / "settings.json"],
            stderr=errors,
            env={**os.environ, "OMP_NUM_THREADS": threads, "PYTHONPATH": ""},
            check=False,
        )
    if done.returncode or not (work / "model.onnx").exists():
        said = [line for line in log.read_text().splitlines() if line.strip()]
        raise TrainingError(
            f"{work}: expected a trained model, got exit status {done.returncode}: "
            f"{said[-1] if said else 'nothing said'}; see {log}, go on with --resume"
        )


def _requirements() -> str:
    text = (HERE / "requirements.txt").read_text() + LIBRARY
    return f"{sys.version_info[:2]} {hashlib.sha256(text.encode()).hexdigest()}\n"


def _pip(python: Path, *arguments: str) -> None:
    install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments)
    done = subprocess.run(
        [os.fspath(python), *install], capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = (said or done.stderr.splitlines() or ["nothing said"])[-1]
        raise TrainingError(
            f"pip install {' '.join(arguments)}: expected packages of {HERE / 'requirements.txt'}, "
            f"got: {reason}; this needs a network, or a PIP_FIND_LINKS that has them"
        )


def _check_same(work: Path, settings: Mapping[str, Any], pictures: str) -> None:
    before = json.loads((work / "settings.json").read_text())
    differ = [f"{k} {before.get(k)}" for k in settings if before.get(k) != settings[k]]
    if (work / "pictures.json").read_text() != pictures:
        differ.append("other pictures")
    if differ:
        raise UsageError(
            f"{work}: expected a training of the same settings, got one of {', '.join(differ)}; "
            "give those, or another --work"
        )

"""From nothing to the first result, and the memory of a run: fresh processes, medians.

    python benchmarks/startup.py [--quick]

The first result is the first JSON line of `sam3-edge run` on one 1280x720 picture with the default
bundle, counted from before its process exists; text is cached, or has a cache of its own that is
empty. "Not in memory": the bundle's files, and the libraries' as far as nobody else has them open,
were dropped from the page cache before; what that costs is the disk's. The floor of the first
result is the part that is not ours: Python, NumPy, OpenCV and ONNX Runtime.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import click
import cv2
import numpy as np
import onnxruntime
from claim_table import Claim, machine_text, open_console, print_claims
from rendered_video import write_video

from sam3_edge.engines.bundle import default_bundle_path
from sam3_edge.errors import EngineError, Sam3EdgeError
from sam3_edge.runtime.scene import Scene

IMPORT_MS, FIRST_RESULT_MS, RSS_MB = 150, 1500, 350
ROUNDS, QUICK_ROUNDS = 9, 1
FRAMES, QUICK_FRAMES = 400, 30
PYTHON, THEIR_IMPORT = "Python, start to end", "import: NumPy, OpenCV, ONNX Runtime"
PROMPT = "fish"
RUN = [sys.executable, "-m", "sam3_edge", "run", "--quiet", "--prompt", PROMPT, "--jsonl", "-"]
LIBRARIES = "import time; began = time.perf_counter(); import numpy, cv2, onnxruntime"
TIMED = "; began = time.perf_counter(); {}; print((time.perf_counter() - began) * 1e3)"
DATA_PATH = (
    "import sam3_edge.runtime.pipeline, sam3_edge.runtime.decoder, sam3_edge.runtime.draw, "
    "sam3_edge.runtime.tally, sam3_edge.runtime.sources.video, sam3_edge.runtime.sources.camera, "
    "sam3_edge.runtime.sinks.jsonl, sam3_edge.runtime.sinks.video, "
    "sam3_edge.engines.onnxruntime_backend"
)
COMMAND = "import sam3_edge.command, sam3_edge.command_run, sam3_edge.engines.onnxruntime_backend"
LOAD = (
    "from sam3_edge.engines.load import load_backend, open_bundle; "
    "from sam3_edge.engines.bundle import default_bundle_path; "
    "import sam3_edge.engines.onnxruntime_backend"
    + TIMED.format("load_backend(open_bundle(default_bundle_path()))")
)


@click.command()
@click.option("--quick", is_flag=True, help="One process of each: to see that it runs.")
def main(quick: bool) -> None:
    rounds = QUICK_ROUNDS if quick else ROUNDS
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled
    console = open_console()
    console.print(f"{machine_text()}; medians of {rounds} processes", soft_wrap=True)
    with tempfile.TemporaryDirectory() as folder:
        claims = _imports(rounds)
        floor = sum(claim.figure for claim in claims if claim.name in (PYTHON, THEIR_IMPORT))
        claims += _first_results(Path(folder), rounds, floor)
        claims += _memory(Path(folder), QUICK_FRAMES if quick else FRAMES)
    print_claims(console, claims, quick=quick)


def _imports(rounds: int) -> list[Claim]:
    """Turn by turn, so that a busy moment meets all of them; once before, to compile."""
    scripts = {
        "start": "",
        "libraries": LIBRARIES + "; print((time.perf_counter() - began) * 1e3)",
        "data path": LIBRARIES + TIMED.format(DATA_PATH),
        "run": LIBRARIES + TIMED.format(COMMAND),
        "load": LIBRARIES + "; " + LOAD,
    }
    spent: dict[str, list[float]] = {name: [] for name in scripts}
    for _ in range(1 + rounds):
        for name, script in scripts.items():
            started = perf_counter()
            said = _output([sys.executable, "-c", script])
            spent[name].append(float(said) if said else (perf_counter() - started) * 1e3)
    ms = {name: median(values[1:]) for name, values in spent.items()}
    return [
        Claim(name=PYTHON, figure=ms["start"], unit="ms"),
        Claim(name=THEIR_IMPORT, figure=ms["libraries"], unit="ms"),
        Claim(
            name="import: the data path on top of them",
            figure=ms["data path"],
            unit="ms",
            limit=IMPORT_MS,
        ),
        Claim(
            name="import: `run` on top of them, with click and rich",
            figure=ms["run"],
            unit="ms",
            limit=IMPORT_MS,
        ),
        Claim(name="bundle: hashes checked, engine loaded", figure=ms["load"], unit="ms"),
    ]


def _first_results(folder: Path, rounds: int, floor_ms: float) -> list[Claim]:
    picture, cached = folder / "picture.png", folder / "cached"
    cv2.imwrite(str(picture), Scene(0, "held_out", 1280, 720).frame(0))
    run = [*RUN, "--source", str(picture), "--text-cache"]
    _first_line_ms([*run, str(cached)])  # fills the cache, and brings the files into memory
    ways: dict[str, tuple[Callable[[int], str], bool]] = {
        "cached text": (lambda _: str(cached), False),
        "uncached text": (lambda number: str(folder / f"empty{number}"), False),
        "cached text, files not in memory": (lambda _: str(cached), True),
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, (cache, dropped) in ways.items():
            if dropped:
                _drop_from_memory()
            spent[name].append(_first_line_ms([*run, cache(number)]))
    return [
        Claim(
            name=f"first result, {name}",
            figure=median(values),
            unit="ms",
            limit=FIRST_RESULT_MS if name == "cached text" else None,
            floor=f"{floor_ms:.0f} ms, Python and the libraries" if name == "cached text" else "",
        )
        for name, values in spent.items()
    ]


def _memory(folder: Path, frames: int) -> list[Claim]:
    """Of a run on a video, when its last result but one has come."""
    video = write_video(folder / "video.mp4", frames)
    command = [*RUN, "--source", str(video), "--text-cache", str(folder / "cached")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(frames - 1):
            if not process.stdout.readline():
                raise EngineError(f"expected {frames} results, got fewer; see the message above")
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        process.stdout.read()
    steady, peak = (_kib(status, name) / 1024 for name in ("VmRSS", "VmHWM"))
    bundle_mb = sum(path.stat().st_size for path in default_bundle_path().iterdir()) / 2**20
    libraries = LIBRARIES + "; print(open('/proc/self/status').read())"
    floor = _kib(_output([sys.executable, "-c", libraries]), "VmRSS") / 1024
    return [
        Claim(
            name=f"resident memory after {frames} frames of 1280x720",
            figure=steady,
            unit="MB",
            limit=RSS_MB,
            floor=f"{floor:.0f} MB, Python and the libraries (the bundle: {bundle_mb:.0f} MB)",
        ),
        Claim(name="its peak since the start", figure=peak, unit="MB"),
    ]


def _first_line_ms(command: list[str]) -> float:
    started = perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        elapsed = (perf_counter() - started) * 1e3
        process.stdout.read()
    if not line or process.returncode:
        raise EngineError("expected a first result, got none; see the message above")
    return elapsed


def _drop_from_memory() -> None:
    """posix_fadvise(2): clean pages of a file go; those that a process has mapped stay."""
    packages = [Path(module.__file__ or "").parent for module in (np, cv2, onnxruntime)]
    files = [path for folder in packages for path in folder.rglob("*.so*")]
    for path in [*files, *default_bundle_path().iterdir()]:
        number = os.open(path, os.O_RDONLY)
        os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(number)


def _output(command: list[str]) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise EngineError(f"expected a process to end well, got: {ran.stderr.strip()[-300:]}")
    return ran.stdout


def _kib(status: str, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    if found is None:
        raise EngineError(f"expected {name} in /proc/self/status, got none; this needs Linux")
    return float(found[1])


if __name__ == "__main__":
    try:
        main()
    except Sam3EdgeError as error:
        raise SystemExit(f"startup: error: {error}") from error

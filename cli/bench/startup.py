"""How long it takes from nothing to the first result, in processes of their own."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from sam3_edge.errors import EngineError

ROUNDS = 3
_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Startup:
    """Medians over `rounds` processes, milliseconds. The files were read before: no disk in it.

    interpreter_ms: until the first line of Python. libraries_ms: import of NumPy, OpenCV and ONNX
    Runtime. import_ms: of sam3_edge on top of them. bundle_ms: checking the bundle and loading its
    engine. first_result_ms: from there to the first detections, the prompt's text being cached.
    total_ms: all of it.
    """

    interpreter_ms: float
    libraries_ms: float
    import_ms: float
    bundle_ms: float
    first_result_ms: float
    total_ms: float
    rounds: int


def measure_startup(
    bundle: Path, prompt: str, text_cache: Path, threads: int | None, rounds: int = ROUNDS
) -> Startup:
    """Raises EngineError if such a process fails."""
    times = [_run(bundle, prompt, text_cache, threads) for _ in range(rounds)]
    steps = [round(median(column), 3) for column in zip(*times, strict=True)]
    interpreter, libraries, own, loading, first = steps
    return Startup(
        interpreter_ms=interpreter,
        libraries_ms=libraries,
        import_ms=own,
        bundle_ms=loading,
        first_result_ms=first,
        total_ms=round(median(sum(each) for each in times), 3),
        rounds=rounds,
    )


def _run(bundle: Path, prompt: str, text_cache: Path, threads: int | None) -> list[float]:
    """Five steps, milliseconds."""
    command = [sys.executable, "-m", "sam3_edge.bench.first_result", str(time.monotonic_ns())]
    command += [str(bundle), prompt, str(text_cache), "" if threads is None else str(threads)]
    try:
        ran = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(
            f"cannot measure the start: {error}; leave it out: --no-startup"
        ) from error
    if ran.returncode != 0:
        said = ran.stderr.strip().rpartition("\n")[2] or f"status {ran.returncode}"
        raise EngineError(
            f"cannot measure the start: expected a first result, got {said}; "
            "leave it out: --no-startup"
        )
    steps: list[float] = json.loads(ran.stdout)
    return steps

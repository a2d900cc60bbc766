"""A run in several processes of this machine: started together, ended together.

Each is in a process group of its own, so that Ctrl-C reaches only us and is passed on once, and so
that a worker is ended with the processes that prepare its data.
"""

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sam3_edge.errors import TrainingError, UsageError
from sam3_edge.run_stop import StopSignal
from sam3_edge.training.launching.worker import FAILURE_FILE, RECIPE, RUN

ADDRESS = "127.0.0.1"
_POLL_S = 0.1
# A process that dies takes the others' connections with it; whose fault it was is judged then.
_SETTLE_S = 1.0
# How long they may take to end by themselves; when told by the user, to write a checkpoint first.
_END_S = 10.0
_STOP_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """log: where what it prints goes; None for our own output. failure: why it failed, if it did."""

    rank: int
    process: subprocess.Popen[bytes]
    log: Path | None
    failure: Path


def run_processes(config: Path, count: int, *, call: str = RUN, recipe: str = "") -> None:
    """`count` workers of the configuration in the file. recipe: the command that they serve.

    What ranks above 0 print goes to logs/rank_N.log beside the file.
    Raises TrainingError with the cause when one fails, UsageError for a MASTER_PORT that is taken,
    KeyboardInterrupt when told to stop, after all have ended.
    """
    port = master_port(os.environ)
    command = [sys.executable, "-m", "sam3_edge.training.launching.worker", str(config), call]
    logs = config.parent / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as failures, StopSignal() as stop:
        workers: list[Worker] = []
        try:
            for rank in range(count):
                failure = Path(failures) / str(rank)
                environment = {
                    **_outer_environment(count),
                    **rank_environment(rank, count, port),
                    FAILURE_FILE: str(failure),
                    RECIPE: recipe,
                }
                workers.append(_start(command, environment, rank, logs, failure))
            _watch(workers, stop)
        finally:
            _end(workers, signal.SIGTERM, _END_S)


def _watch(workers: Sequence[Worker], stop: StopSignal) -> None:
    """Until all have ended well. Raises as `run_processes`."""
    while not stop.is_set and _running(workers) and not _failed(workers):
        time.sleep(_POLL_S)
    if stop.is_set:
        _end(workers, signal.SIGINT, _STOP_S)
        raise KeyboardInterrupt
    if _failed(workers):
        time.sleep(_SETTLE_S)
        raise TrainingError(_cause(workers))


def master_port(environment: Mapping[str, str]) -> int:
    """A port that was free a moment ago: the user's MASTER_PORT, or any.

    Raises UsageError where the user's is taken or none.
    """
    wanted = environment.get("MASTER_PORT", "0")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((ADDRESS, int(wanted)))
            return int(tried.getsockname()[1])
    except (ValueError, OverflowError) as error:
        raise UsageError(f"MASTER_PORT: expected 0 to 65535, got {wanted!r}") from error
    except OSError as error:
        taken = "one in use" if error.errno == errno.EADDRINUSE else str(error.strerror)
        raise UsageError(
            f"MASTER_PORT: expected a free port, got {taken}: {wanted}; unset it, and a free one "
            "is found"
        ) from error


def rank_environment(rank: int, count: int, port: int) -> dict[str, str]:
    """What torchrun would set on one node."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
        "NODE_RANK": "0",
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": ADDRESS,
        "MASTER_PORT": str(port),
    }


def _outer_environment(count: int) -> dict[str, str]:
    """Ours, without what says how many tasks a step *could* have inside `sbatch` or `salloc`."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_NTASKS", "SLURM_PROC"))}
    return {"OMP_NUM_THREADS": str(max((os.cpu_count() or 1) // count, 1)), **ours}


def _start(
    command: Sequence[str], environment: Mapping[str, str], rank: int, logs: Path, failure: Path
) -> Worker:
    if rank == 0:
        process = _spawned(command, environment, None)
        return Worker(rank=rank, process=process, log=None, failure=failure)
    log = logs / f"rank_{rank}.log"
    with log.open("wb") as file:
        process = _spawned(command, environment, file)
    return Worker(rank=rank, process=process, log=log, failure=failure)


def _spawned(
    command: Sequence[str], environment: Mapping[str, str], output: IO[bytes] | None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        start_new_session=True,
    )


def _running(workers: Sequence[Worker]) -> bool:
    return any(worker.process.poll() is None for worker in workers)


def _failed(workers: Sequence[Worker]) -> list[Worker]:
    return [worker for worker in workers if worker.process.poll() not in (None, 0)]


def _cause(workers: Sequence[Worker]) -> str:
    """Who was killed comes before who complains; of those, who complained first."""
    first = min(_failed(workers), key=_blame)
    code = first.process.returncode
    who = f"process of rank {first.rank} (of {len(workers)})"
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (as the kernel does where memory runs out)" if -code == signal.SIGKILL else ""
        return f"{who} was ended by {name}{hint}; the others were ended; run again to resume"
    log = "" if first.log is None else f"; see {first.log}"
    if first.failure.is_file():
        return f"{who}: {first.failure.read_text(encoding='utf-8')}{log}"
    return f"{who} ended with status {code}{log}"


def _blame(worker: Worker) -> tuple[int, float]:
    if worker.process.returncode < 0 and worker.process.returncode != -signal.SIGABRT:
        return 0, float(worker.rank)  # Aborting is how libraries say that a peer has gone.
    if worker.failure.is_file():
        return 1, worker.failure.stat().st_mtime
    return 2, float(worker.rank)


def _end(workers: Sequence[Worker], first: signal.Signals, patience_s: float) -> None:
    """Asks with `first`, and kills what is left with all its children."""
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.send_signal(first)
    deadline = time.monotonic() + patience_s
    try:
        while _running(workers) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
    finally:
        for worker in workers:
            _kill_group(worker.process)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Its group too when it has ended: data workers of one that was killed are still there."""
    with contextlib.suppress(ProcessLookupError):  # nobody is left in it
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()

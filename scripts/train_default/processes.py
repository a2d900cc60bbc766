"""Processes of Linux that are known again by their start, and the lowest priority for them."""

import contextlib
import ctypes
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM, Signals

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
_IDLE_CLASS = "3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """started: clock ticks after the machine's start. A number is given to others later; the two
    together are not.
    """

    pid: int
    started: int

    def is_alive(self) -> bool:
        return self.started >= 0 and _stat(self.pid)[1] == self.started

    def is_stopped(self) -> bool:
        """Paused: SIGSTOP came, and no SIGCONT since."""
        state, started = _stat(self.pid)
        return started >= 0 and started == self.started and state in "Tt"

    def send(self, number: Signals) -> None:
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def send_to_group(self, number: Signals) -> None:
        """All that it started too. It must lead a group of its own."""
        if self.is_alive():
            signal_group(self.pid, number)


def process_of(pid: int) -> Process:
    return Process(pid=pid, started=_stat(pid)[1])


def signal_group(pid: int, number: Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def _stat(pid: int) -> tuple[str, int]:
    """State letter and start; ("", -1) for one that is gone, or only waits to be reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", -1
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return ("", -1) if fields[0] in "ZX" else (fields[0], int(fields[19]))


def give_way(pid: int, nice: int | None) -> None:
    """Of a process that has just begun a session of its own, and all that it will start. None: the
    lowest there is, nice 19 and, where the kernel lets us, SCHED_IDLE, and the disk only when nobody
    else wants it.

    Linux may divide the processor among sessions first (sched_autogroup, man 7 sched): a process's
    own nice then counts within its session alone, so the session is told as well.
    """
    value = 19 if nice is None else nice
    os.setpriority(os.PRIO_PROCESS, pid, value)
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(f"{value}\n", encoding="ascii")
    if nice is not None:
        return
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
    with contextlib.suppress(OSError):
        command = ["ionice", "-c", _IDLE_CLASS, "-p", str(pid)]
        subprocess.run(command, check=False, capture_output=True)


def end_with_parent() -> None:
    """To be called in a child before it becomes another program: SIGTERM when its parent dies."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(SIGTERM))

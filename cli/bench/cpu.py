"""Processor time by thread, and whose work it was: the engine's, the source's, or anybody else's.

Linux only: a thread's clock is `MAKE_THREAD_CPUCLOCK` of the kernel's include/linux/posix-timers.h
(what pthread_getcpuclockid gives too), exact to the nanosecond and up to date for a thread that
runs, as /proc/self/task/TID/schedstat is not.
"""

import os
import sys
import threading
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3_edge.bench.figures import CpuMs
from sam3_edge.engines.backend import Backend, Pending, PromptBatch, RawOutput, TextFeatures

CAPTURE_THREAD = "sam3-edge capture"
_TASKS = "/proc/self/task"
_THREAD_CLOCK = 4 | 2  # per thread, and by the scheduler's count


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuReading:
    """Nanoseconds since the process, or the thread, began. threads: by its number."""

    process_ns: int
    threads: dict[int, int]
    calls_ns: int


class MeasuredBackend:
    """`backend`, noting the processor time its calls take on the thread that makes them."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.calls_ns = 0

    @property
    def num_slots(self) -> int:
        return self._backend.num_slots

    def image_slot(self, slot: int) -> NDArray[np.uint8]:
        return self._backend.image_slot(slot)

    def submit(self, slot: int, prompts: PromptBatch) -> Pending:
        started = time.thread_time_ns()
        pending = self._backend.submit(slot, prompts)
        self.calls_ns += time.thread_time_ns() - started
        return _MeasuredPending(self, pending)

    def encode_text(self, token_ids: NDArray[np.int64]) -> TextFeatures:
        return self._backend.encode_text(token_ids)

    def close(self) -> None:
        self._backend.close()


@dataclass(frozen=True, slots=True)
class _MeasuredPending:
    backend: MeasuredBackend
    pending: Pending

    def result(self) -> RawOutput:
        started = time.thread_time_ns()
        try:
            return self.pending.result()
        finally:
            self.backend.calls_ns += time.thread_time_ns() - started


class ThreadOwners:
    """Who a thread works for, by when it appeared.

    `mark` before the engine is loaded and `claim_engine` when it is warm: the threads between are
    its own. `mark` before a source is opened and `claim_source` when its first frames are through:
    of the threads between, the capture's and those that Python knows nothing of are the source's.
    An engine's threads may outlive it (CUDA's do), so that claims add up.
    """

    def __init__(self) -> None:
        self.engine: frozenset[int] = frozenset()
        self.source: frozenset[int] = frozenset()
        self._before: frozenset[int] = frozenset()

    def mark(self) -> None:
        self._before = thread_ids()

    def claim_engine(self) -> None:
        now = thread_ids()
        self.engine = (self.engine & now) | (now - self._before)

    def claim_source(self) -> None:
        others = {
            thread.native_id for thread in threading.enumerate() if thread.name != CAPTURE_THREAD
        }
        self.source = thread_ids() - self._before - others - self.engine


def thread_ids() -> frozenset[int]:
    """Of this process; empty where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return frozenset()
    return frozenset(int(name) for name in os.listdir(_TASKS))  # noqa: PTH208 -- names only


def read_cpu(calls_ns: int = 0) -> CpuReading | None:
    """calls_ns: of `MeasuredBackend`. None where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return None
    threads = {thread: ns for thread in thread_ids() if (ns := _thread_ns(thread)) is not None}
    return CpuReading(process_ns=time.process_time_ns(), threads=threads, calls_ns=calls_ns)


def cpu_per_frame(
    begin: CpuReading | None, end: CpuReading | None, owners: ThreadOwners, frames: int
) -> CpuMs:
    """What the readings differ by. A thread that ended in between counts as outside: the process's
    own clock has it."""
    if begin is None or end is None:
        return CpuMs(engine=None, source=None, outside=None)
    engine = _difference(begin, end, owners.engine) + end.calls_ns - begin.calls_ns
    source = _difference(begin, end, owners.source)
    outside = max(0, end.process_ns - begin.process_ns - engine - source)
    per_frame = (round(ns / 1e6 / frames, 4) for ns in (engine, source, outside))
    return CpuMs(**dict(zip(("engine", "source", "outside"), per_frame, strict=True)))


def _difference(begin: CpuReading, end: CpuReading, threads: frozenset[int]) -> int:
    both = threads & begin.threads.keys() & end.threads.keys()
    return sum(end.threads[thread] - begin.threads[thread] for thread in both)


def _thread_ns(thread: int) -> int | None:
    """None for one that has ended."""
    try:
        return time.clock_gettime_ns((~thread << 3) | _THREAD_CLOCK)
    except OSError:
        return None

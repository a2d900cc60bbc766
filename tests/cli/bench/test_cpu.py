"""Whose processor time it was: threads that burn a known amount."""

import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from sam3_edge.bench.cpu import (
    CAPTURE_THREAD,
    CpuReading,
    MeasuredBackend,
    ThreadOwners,
    cpu_per_frame,
    read_cpu,
    thread_ids,
)
from sam3_edge.bench.figures import CpuMs
from sam3_edge.engines.backend import Pending, PromptBatch, RawOutput
from sam3_edge.engines.recorded_backend import RecordedBackend

BURNT_MS = 120.0
LITTLE_MS = 60.0

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no thread clocks")


def burn() -> None:
    started = time.thread_time()
    while time.thread_time() - started < BURNT_MS / 1e3:
        pass


class Burner:
    """A thread that burns when it is told to, and lives until it is ended."""

    def __init__(self, name: str) -> None:
        self._go, self._burnt, self._end = (threading.Event() for _ in range(3))
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def burn(self) -> None:
        self._go.set()
        self._burnt.wait()

    def end(self) -> None:
        self._go.set()
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        self._go.wait()
        if not self._end.is_set():
            burn()
        self._burnt.set()
        self._end.wait()


def measured(work: Callable[[], None], owners: ThreadOwners) -> CpuMs:
    begin = read_cpu()
    work()
    return cpu_per_frame(begin, read_cpu(), owners, 1)


@linux_only
@pytest.mark.parametrize("owner", ["engine", "source", "outside"])
def test_each_thread_counts_for_the_one_it_works_for(owner: str) -> None:
    owners = ThreadOwners()
    owners.mark()
    burners = {"engine": Burner("onnxruntime_0")}
    owners.claim_engine()
    owners.mark()
    burners["source"] = Burner(CAPTURE_THREAD)
    burners["outside"] = Burner("sam3-edge sink")
    owners.claim_source()
    cpu = measured(burners[owner].burn, owners)
    for burner in burners.values():
        burner.end()
    for name in burners:
        value = getattr(cpu, name)
        assert value > BURNT_MS - 10 if name == owner else value < LITTLE_MS, (name, cpu)


@linux_only
def test_the_calling_threads_time_is_outside() -> None:
    cpu = measured(burn, ThreadOwners())
    assert cpu.outside is not None
    assert cpu.outside > BURNT_MS - 10
    assert (cpu.engine, cpu.source) == (0, 0)


@linux_only
def test_a_thread_that_ended_in_between_is_not_lost() -> None:
    def work() -> None:
        thread = threading.Thread(target=burn)
        thread.start()
        thread.join()

    cpu = measured(work, ThreadOwners())
    assert cpu.outside is not None
    assert cpu.outside > BURNT_MS - 10


@linux_only
def test_claims_of_one_engine_after_the_other_add_up_while_their_threads_live() -> None:
    owners, burners = ThreadOwners(), []
    for _ in range(2):
        owners.mark()
        burners.append(Burner("onnxruntime_0"))
        owners.claim_engine()
    assert len(owners.engine) == 2
    for burner in burners:
        burner.end()
    while owners.engine & thread_ids():  # the system lists a thread a moment longer
        time.sleep(0.001)
    owners.mark()
    owners.claim_engine()
    assert not owners.engine


def test_the_parts_sum_up_to_the_process() -> None:
    owners = ThreadOwners()
    owners.engine, owners.source = frozenset({1, 2}), frozenset({3})
    begin = CpuReading(process_ns=100, threads={1: 10, 3: 5, 4: 7}, calls_ns=3)
    # 1 worked, 2 is new, 3 ended, 4 is nobody's
    end = CpuReading(process_ns=4_000_100, threads={1: 1_000_010, 2: 50, 4: 80}, calls_ns=500_003)
    assert cpu_per_frame(begin, end, owners, 2) == CpuMs(engine=0.75, source=0, outside=1.25)


def test_a_system_that_does_not_tell_gives_nothing() -> None:
    assert cpu_per_frame(None, None, ThreadOwners(), 3) == CpuMs(
        engine=None, source=None, outside=None
    )


class BurningBackend(RecordedBackend):
    def submit(self, slot: int, prompts: PromptBatch) -> Pending:
        burn()
        return super().submit(slot, prompts)


def test_the_engines_calls_are_its_own_time() -> None:
    empty = np.zeros((0, 1), np.float32)
    output = RawOutput(
        logits=empty, presence=empty, boxes=empty, masks=empty, vision_ms=1, decoder_ms=2
    )
    backend = MeasuredBackend(BurningBackend([output], image_size=28, d_model=4))
    prompts = PromptBatch(
        text_features=np.zeros((0, 32, 4), np.float32),
        exemplar_features=np.zeros((0, 2, 4), np.float32),
        prompt_mask=np.zeros((0, 35), np.bool_),
    )
    burn()  # not the engine's
    assert backend.calls_ns == 0
    assert backend.submit(1, prompts).result() is output
    assert BURNT_MS <= backend.calls_ns / 1e6 < 1.5 * BURNT_MS
    assert backend.num_slots == 2
    assert backend.image_slot(0).shape == (28, 28, 3)

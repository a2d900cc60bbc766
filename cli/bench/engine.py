"""The engine alone: submit and result with every slot in use, no source and no postprocess."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import click

from sam3_edge.bench.figures import STAGES, Figures, Percentiles, percentiles
from sam3_edge.bench.load import Loaded
from sam3_edge.bench.memory import read_memory
from sam3_edge.bench.window import Window
from sam3_edge.engines.backend import Backend, Pending, PromptBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryModes:
    """A GPU's engine with its inputs and outputs in mapped memory, and copied. Frames a second."""

    mapped_fps: float
    copied_fps: float
    faster: str


def measure_engine(loaded: Loaded, window: Window, should_stop: Callable[[], bool]) -> Figures:
    """All slots but one are always queued behind the one that runs.

    Raises EngineError; click.Abort where it should stop.
    """
    times = _run(loaded.backend, loaded.request.batch, window, should_stop)
    return Figures(
        throughput_fps=window.throughput_fps,
        latency_ms=_latency(times),
        frame_age_ms=None,
        dropped=0,
        cpu_ms_per_frame=window.cpu(),
        memory=read_memory(loaded.device_bytes()),
        energy=window.energy(),
        frames=window.num_measured,
        warm_up_frames=window.warm_up,
        elapsed_s=window.elapsed_s,
    )


def compare_modes(mapped_fps: float, copied_fps: float) -> MemoryModes:
    faster = "mapped" if mapped_fps >= copied_fps else "copied"
    return MemoryModes(mapped_fps=mapped_fps, copied_fps=copied_fps, faster=faster)


def _run(
    backend: Backend, batch: PromptBatch, window: Window, should_stop: Callable[[], bool]
) -> list[tuple[float, float]]:
    """(vision, decoder) milliseconds of every measured picture."""
    times: list[tuple[float, float]] = []
    waiting: deque[Pending] = deque()
    slot = 0
    while not window.is_over:
        if should_stop():
            raise click.Abort
        if len(waiting) < backend.num_slots:
            waiting.append(backend.submit(slot, batch))
            slot = (slot + 1) % backend.num_slots
            continue
        output = waiting.popleft().result()
        if window.add():
            times.append((output.vision_ms, output.decoder_ms))
    for pending in waiting:  # whoever uses the slots next finds them free
        pending.result()
    return times


def _latency(times: list[tuple[float, float]]) -> dict[str, Percentiles | None]:
    measured = {
        "vision": percentiles([vision for vision, _ in times]),
        "decoder": percentiles([decoder for _, decoder in times]),
        "total": percentiles([vision + decoder for vision, decoder in times]),
    }
    return {stage: measured.get(stage) for stage in STAGES}

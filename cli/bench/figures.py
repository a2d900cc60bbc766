"""What `sam3-edge bench` measures of one configuration, as its report has it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# In the order a frame meets them. total: preprocess to sink of one frame, its waiting left out.
STAGES = ("source", "preprocess", "vision", "decoder", "postprocess", "sink", "total")


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Milliseconds, by nearest rank: every one of them is a value that was measured.

    jitter: p99 - p50.
    """

    p50: float
    p90: float
    p95: float
    p99: float
    max: float
    jitter: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuMs:
    """Processor milliseconds a frame, over all threads; None where the system does not tell.

    engine: the engine's threads, and what its calls take on the thread that makes them.
    source: the capture thread and the threads of the decoder it reads from.
    outside: all else of the process, measuring included.
    """

    engine: float | None
    source: float | None
    outside: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Of the process, after the measured frames; None where the system does not tell.

    peak_bytes: the most that was resident since the process began.
    device_bytes: what the engine took of the GPU's memory; None without a GPU's engine.
    """

    rss_bytes: int | None
    peak_bytes: int | None
    device_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyFigures:
    """What the whole board drew while the frames were measured. rails: those that were added up."""

    joules_per_frame: float
    watts: float
    rails: tuple[str, ...]
    num_samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One configuration, measured.

    throughput_fps: measured frames by elapsed_s, from the last result of the warm-up to the last.
    latency_ms: by stage of STAGES; None for a stage that was not part of it.
    frame_age_ms: from a frame's capture until its detections were known, waiting included.
    dropped: frames of a live source that came while the one before was not yet taken.
    warm_up_frames: went before and are in no figure but peak_bytes.
    """

    throughput_fps: float
    latency_ms: dict[str, Percentiles | None]
    frame_age_ms: Percentiles | None
    dropped: int
    cpu_ms_per_frame: CpuMs
    memory: Memory
    energy: EnergyFigures | None
    frames: int
    warm_up_frames: int
    elapsed_s: float


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """None of nothing."""
    if not values:
        return None
    ranks = np.percentile(values, [50, 90, 95, 99, 100], method="inverted_cdf")
    p50, p90, p95, p99, most = (round(float(value), 4) for value in ranks)
    return Percentiles(p50=p50, p90=p90, p95=p95, p99=p99, max=most, jitter=round(p99 - p50, 4))

"""The least time a frame can take on the board: arithmetic or memory, whichever is slower.

S. Williams, A. Waterman and D. Patterson, "Roofline: an insightful visual performance model for
multicore architectures", 2009. Nothing runs faster than its floor. How near one comes: a published
ViT-B at 512 px reaches 28 % of the peak.
"""

from dataclasses import dataclass
from typing import Literal

from sam3_edge.jetson.board import Board

Precision = Literal["fp16", "int8"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """Per second: dense (no structured sparsity) operations of the GPU, a multiply-add being two."""

    fp16: float
    int8: float
    memory_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """floor_ms: the larger of the two, since a GPU computes while it loads."""

    compute_ms: float
    memory_ms: float
    floor_ms: float
    bound_by: Literal["compute", "memory"]


# By the names in the board's /etc/nvpmodel.conf. 32 tensor cores do 256 FP16 multiply-adds a cycle
# each, twice as many in INT8, at 625 and 1020 MHz; 128 bits of LPDDR5 at 2133 and 3199 MHz.
ORIN_NANO_8GB = {
    "15W": Peak(fp16=10.2e12, int8=20.5e12, memory_bytes=68e9),
    "MAXN_SUPER": Peak(fp16=16.7e12, int8=33.4e12, memory_bytes=102e9),
}


def find_peak(board: Board, power_mode: str) -> Peak | None:
    """None for a board or a power mode whose peak is not known here.

    Other boards have modes of the same names: an Orin Nano with 4 GB has half the cores.
    """
    nano = "orin nano" in board.model.lower() and (board.memory_bytes or 0) > 6 << 30
    return ORIN_NANO_8GB.get(power_mode) if nano else None


def floor(
    *, num_operations: float, num_bytes: float, peak: Peak, precision: Precision = "fp16"
) -> Floor:
    """num_operations: a multiply-add is two. num_bytes: read and written, weights included.

    Raises ValueError for negative numbers.
    """
    if not (num_operations >= 0 and num_bytes >= 0):
        raise ValueError(
            f"expected operations and bytes of 0 or more, got {num_operations} and {num_bytes}"
        )
    rate = {"fp16": peak.fp16, "int8": peak.int8}[precision]
    compute_ms = 1000 * num_operations / rate
    memory_ms = 1000 * num_bytes / peak.memory_bytes
    return Floor(
        compute_ms=compute_ms,
        memory_ms=memory_ms,
        floor_ms=max(compute_ms, memory_ms),
        bound_by="compute" if compute_ms >= memory_ms else "memory",
    )

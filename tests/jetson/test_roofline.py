from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam3_edge.jetson.board import Board, read_board
from sam3_edge.jetson.roofline import ORIN_NANO_8GB, find_peak, floor

SUPER = ORIN_NANO_8GB["MAXN_SUPER"]
NANO = Board(
    model="NVIDIA Jetson Orin Nano Developer Kit",
    soc="tegra234",
    l4t="36.4.7",
    jetpack="6.2.1",
    kernel=None,
    memory_bytes=7802072 * 1024,
)
amounts = st.floats(0, 1e15)


def test_floor_of_a_frame_of_sam3_small() -> None:
    """About 100 GFLOP and 290 MB of FP16 weights: 6 ms of arithmetic, 3 ms of memory."""
    frame = floor(num_operations=100e9, num_bytes=290e6, peak=SUPER)
    assert round(frame.compute_ms) == 6
    assert round(frame.memory_ms) == 3
    assert frame.floor_ms == frame.compute_ms
    assert frame.bound_by == "compute"


def test_a_decoder_that_only_loads_is_bound_by_memory() -> None:
    frame = floor(num_operations=1e9, num_bytes=290e6, peak=SUPER)
    assert (frame.bound_by, frame.floor_ms) == ("memory", frame.memory_ms)


@given(amounts, amounts, st.sampled_from(sorted(ORIN_NANO_8GB)))
def test_the_floor_is_the_slower_of_the_two(operations: float, num_bytes: float, mode: str) -> None:
    peak = ORIN_NANO_8GB[mode]
    frame = floor(num_operations=operations, num_bytes=num_bytes, peak=peak)
    assert frame.floor_ms == max(frame.compute_ms, frame.memory_ms)
    assert frame.compute_ms / 1000 * peak.fp16 == pytest.approx(operations)
    assert frame.memory_ms / 1000 * peak.memory_bytes == pytest.approx(num_bytes)
    int8 = floor(num_operations=operations, num_bytes=num_bytes, peak=peak, precision="int8")
    assert int8.compute_ms <= frame.compute_ms
    assert int8.memory_ms == frame.memory_ms


@pytest.mark.parametrize(
    ("mode", "gpu_hz", "memory_hz"), [("15W", 625e6, 2133e6), ("MAXN_SUPER", 1020e6, 3199e6)]
)
def test_peaks_follow_from_the_clocks(mode: str, gpu_hz: float, memory_hz: float) -> None:
    """32 tensor cores, 256 FP16 multiply-adds a cycle each; 16 bytes on both edges of the clock."""
    peak = ORIN_NANO_8GB[mode]
    assert peak.fp16 == pytest.approx(32 * 256 * 2 * gpu_hz, rel=0.01)
    assert peak.int8 == pytest.approx(2 * peak.fp16, rel=0.01)
    assert peak.memory_bytes == pytest.approx(16 * 2 * memory_hz, rel=0.01)


def test_a_peak_is_for_one_board(orin_nano: Path) -> None:
    board = read_board(orin_nano)
    assert board is not None
    assert find_peak(board, "MAXN_SUPER") == find_peak(NANO, "MAXN_SUPER") == SUPER
    assert find_peak(NANO, "15W") == ORIN_NANO_8GB["15W"]


@pytest.mark.parametrize(
    "board",
    [
        replace(NANO, model="NVIDIA Jetson Orin NX Engineering Reference Developer Kit Super"),
        replace(NANO, memory_bytes=3_600_000 * 1024),  # the Orin Nano with 4 GB
        replace(NANO, memory_bytes=None),
    ],
)
def test_other_boards_have_modes_of_the_same_name(board: Board) -> None:
    assert find_peak(board, "MAXN_SUPER") is None


def test_a_mode_without_a_known_peak() -> None:
    assert find_peak(NANO, "25W") is None


@pytest.mark.parametrize(("operations", "num_bytes"), [(-1, 1), (1, -1), (float("nan"), 1)])
def test_negative_amounts_are_refused(operations: float, num_bytes: float) -> None:
    with pytest.raises(ValueError, match="expected operations and bytes of 0 or more"):
        floor(num_operations=operations, num_bytes=num_bytes, peak=SUPER)

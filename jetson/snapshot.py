"""Everything that can be read about the board, at one moment."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sam3_edge.errors import Sam3EdgeError
from sam3_edge.jetson.board import Board, read_board
from sam3_edge.jetson.clocks import (
    Clock,
    CpuClock,
    read_cpus,
    read_gpus,
    read_memory_clock,
)
from sam3_edge.jetson.power import Rail, counted_rails, read_power, total_watts
from sam3_edge.jetson.power_mode import PowerModeState, read_power_mode
from sam3_edge.jetson.thermal import (
    OverCurrent,
    Throttling,
    Zone,
    read_over_current,
    read_throttling,
    read_zones,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """JSON: `dataclasses.asdict`. None: this machine does not have it or does not let us read it.

    utc_ns: when the reading began. board, power_mode: None on a machine that is no Jetson.
    total_rails: the names of the rails that total_watts adds up.
    cpus, zones: empty where there are none.
    """

    utc_ns: int
    board: Board | None
    power_mode: PowerModeState | None
    rails: tuple[Rail, ...] | None
    total_watts: float | None
    total_rails: tuple[str, ...] | None
    zones: tuple[Zone, ...]
    throttling: Throttling | None
    over_current: tuple[OverCurrent, ...] | None
    cpus: tuple[CpuClock, ...]
    gpus: tuple[Clock, ...] | None
    memory_clock: Clock | None


def take_snapshot(root: Path = Path("/"), *, utc_ns: Callable[[], int] = time.time_ns) -> Snapshot:
    """Never fails for what the machine lacks or refuses; power_mode.reason says what was wrong."""
    now = utc_ns()
    rails = read_power(root)  # first: reading the rest draws power too
    board = read_board(root)
    return Snapshot(
        utc_ns=now,
        board=board,
        power_mode=_power_mode(root) if board else None,
        rails=rails or None,
        total_watts=total_watts(rails),
        total_rails=counted_rails(rail.name for rail in rails) or None,
        zones=read_zones(root),
        throttling=read_throttling(root),
        over_current=read_over_current(root),
        cpus=read_cpus(root),
        gpus=read_gpus(root) or None,
        memory_clock=read_memory_clock(root),
    )


def _power_mode(root: Path) -> PowerModeState:
    try:
        return read_power_mode(root)
    except Sam3EdgeError as error:
        return PowerModeState(current=None, modes=(), default_id=None, reason=str(error))

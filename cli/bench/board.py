"""Heat, clocks and power around the measuring: whether the board held its speed."""

from dataclasses import dataclass
from pathlib import Path

from sam3_edge.bench.window import PowerSensors
from sam3_edge.jetson.power import counted_rails, find_rails, watts_reader
from sam3_edge.jetson.snapshot import Snapshot
from sam3_edge.jetson.thermal import hottest


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardRecord:
    """throttled: what slowed the board down before or after; None where nothing tells.

    over_current: events of each kind in between. hottest_celsius: of every zone, afterwards.
    """

    before: Snapshot
    after: Snapshot
    throttled: tuple[str, ...] | None
    over_current: dict[str, int]
    hottest_celsius: float | None


def record_board(before: Snapshot, after: Snapshot) -> BoardRecord:
    known = [shot.throttling for shot in (before, after) if shot.throttling is not None]
    warmest = hottest(after.zones)
    return BoardRecord(
        before=before,
        after=after,
        throttled=tuple(dict.fromkeys(name for each in known for name in each.active))
        if known
        else None,
        over_current=_new_events(before, after),
        hottest_celsius=warmest.celsius if warmest else None,
    )


def find_power_sensors(root: Path = Path("/")) -> PowerSensors | None:
    """root: what stands for `/`. None where there are none."""
    read_watts = watts_reader(root)
    if read_watts is None:
        return None
    return PowerSensors(read_watts, counted_rails(sensor.name for sensor in find_rails(root)))


def _new_events(before: Snapshot, after: Snapshot) -> dict[str, int]:
    earlier = {each.name: each.events for each in before.over_current or ()}
    return {
        each.meaning or each.name: each.events - known
        for each in after.over_current or ()
        if each.events is not None
        and (known := earlier.get(each.name)) is not None
        and each.events > known
    }

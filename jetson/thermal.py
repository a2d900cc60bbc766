"""How hot the board is, and whether it is slowed down for heat or for current.

Zones and cooling devices: https://docs.kernel.org/driver-api/thermal/sysfs-api.html. Over-current:
the counters that NVIDIA's kernel has for Orin (hwmon `soctherm_oc`), as "Platform Power and
Performance" of the Jetson Linux developer guide describes them.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from sam3_edge.jetson.sysfs import entries, read_int, read_text, scaled

_ABSOLUTE_ZERO_C = -273.15
# cpu-throttle-alert, soc0-throttle-alert ... (Jetson); cpufreq-cpu0, 17000000.gpu, devfreq-...
# (kernel: clocks capped by a passive trip); Processor (ACPI). No fans, no hot-surface-alert.
_THROTTLES = re.compile(r"throttle|^(thermal-)?(cpufreq|devfreq)-|gpu|^processor$", re.IGNORECASE)
_EVENT_COUNT = re.compile(r"oc([0-9]+)_event_cnt")
_MEANINGS = {1: "under-voltage", 2: "average over-current", 3: "instantaneous over-current"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """celsius: None where it cannot be read, as of a part that is switched off (EAGAIN)."""

    name: str
    celsius: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CoolingDevice:
    """One that slows the CPU, the GPU or the SoC down. state: 0 is full speed; None: unreadable."""

    name: str
    state: int | None
    max_state: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttling:
    """devices: all that could slow the board down. active: the names of those that do now."""

    devices: tuple[CoolingDevice, ...]
    active: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OverCurrent:
    """One kind of event. events: since boot; it is the difference over a run that tells.

    slows_down: whether the hardware throttles on it. None: not readable.
    """

    name: str
    meaning: str | None
    events: int | None
    slows_down: bool | None


def read_zones(root: Path = Path("/")) -> tuple[Zone, ...]:
    """Names may repeat, as two of acpitz on a PC."""
    return tuple(
        Zone(name=read_text(folder / "type") or folder.name, celsius=_celsius(folder))
        for folder in entries(root / "sys/class/thermal", "thermal_zone*")
    )


def hottest(zones: tuple[Zone, ...]) -> Zone | None:
    readable = [(zone.celsius, zone) for zone in zones if zone.celsius is not None]
    return max(readable, key=lambda pair: pair[0])[1] if readable else None


def read_throttling(root: Path = Path("/")) -> Throttling | None:
    """None where no such device is readable: then it is not known whether anything is slowed."""
    devices = tuple(
        CoolingDevice(
            name=name,
            state=read_int(folder / "cur_state"),
            max_state=read_int(folder / "max_state"),
        )
        for folder in entries(root / "sys/class/thermal", "cooling_device*")
        if (name := read_text(folder / "type")) and _THROTTLES.search(name)
    )
    if all(device.state is None for device in devices):
        return None
    active = tuple(device.name for device in devices if (device.state or 0) > 0)
    return Throttling(devices=devices, active=active)


def read_over_current(root: Path = Path("/")) -> tuple[OverCurrent, ...] | None:
    """None where the kernel has no such counters."""
    found = [
        _over_current(folder, int(match[1]))
        for folder in entries(root / "sys/class/hwmon", "hwmon*")
        for path in entries(folder, "oc*_event_cnt")
        if (match := _EVENT_COUNT.fullmatch(path.name))
    ]
    return tuple(found) or None


def _over_current(folder: Path, number: int) -> OverCurrent:
    enabled = read_int(folder / f"oc{number}_throt_en")
    return OverCurrent(
        name=f"oc{number}",
        meaning=_MEANINGS.get(number),
        events=read_int(folder / f"oc{number}_event_cnt"),
        slows_down=None if enabled is None else enabled != 0,
    )


def _celsius(folder: Path) -> float | None:
    celsius = scaled(read_int(folder / "temp"), 1e-3)
    # Some drivers say -256000 or less for a sensor that is switched off.
    return celsius if celsius is not None and celsius > _ABSOLUTE_ZERO_C else None

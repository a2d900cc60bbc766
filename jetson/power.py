"""What the board draws, rail by rail, from its INA3221 current monitors.

Attributes: https://docs.kernel.org/hwmon/ina3221.html. Channels 1 to 3 are rails; in4 to in7 and
curr4 are shunt voltages and sums of the same rails, so they are left alone. What a rail covers:
"Platform Power and Performance" of NVIDIA's Jetson Linux developer guide.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sam3_edge.jetson.sysfs import entries, read_int, read_text, scaled

MODULE_RAIL = "VDD_IN"  # Orin Nano and Orin NX: the input of the module, the other rails included
# AGX Orin: DDR and always-on power, drawn through the 5 V rail and measured there already.
_PART_OF = {"VDDQ_VDD2_1V8AO": "VIN_SYS_5V0"}
_NOT_CONNECTED = "NC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rail:
    """One reading. None: not readable; watts are None where volts or amperes are."""

    name: str
    volts: float | None
    amperes: float | None
    watts: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RailSensor:
    """Channel `channel` (1 to 3) of the monitor whose attributes are in `folder`."""

    name: str
    folder: Path
    channel: int

    def read(self) -> Rail:
        volts = scaled(read_int(self.folder / f"in{self.channel}_input"), 1e-3)
        amperes = scaled(read_int(self.folder / f"curr{self.channel}_input"), 1e-3)
        watts = None if volts is None or amperes is None else volts * amperes
        return Rail(name=self.name, volts=volts, amperes=amperes, watts=watts)


def read_power(root: Path = Path("/")) -> tuple[Rail, ...]:
    """Empty where no channel is there and switched on."""
    return tuple(sensor.read() for sensor in find_rails(root))


def counted_rails(names: Iterable[str]) -> tuple[str, ...]:
    """The rails whose sum is the total: VDD_IN alone where the board measures it, else every one
    that is not part of another. Without VDD_IN the total leaves out what has no rail."""
    present = tuple(names)
    if MODULE_RAIL in present:
        return (MODULE_RAIL,)
    return tuple(name for name in present if _PART_OF.get(name) not in present)


def total_watts(rails: tuple[Rail, ...]) -> float | None:
    """The sum of `counted_rails`. None without rails and where one of them is not readable: the
    sum of the others would be no total."""
    counted = counted_rails(rail.name for rail in rails)
    watts = [rail.watts for rail in rails if rail.name in counted]
    known = [value for value in watts if value is not None]
    return sum(known) if known and len(known) == len(watts) else None


def watts_reader(root: Path = Path("/")) -> Callable[[], float | None] | None:
    """Reads what `total_watts` gives, over and over, searching for the sensors only now.

    None where there is nothing to read. Only the rails that count are read: each value is a
    transfer over I2C, and reading costs power as well.
    """
    sensors = find_rails(root)
    counted = counted_rails(sensor.name for sensor in sensors)
    read = tuple(sensor for sensor in sensors if sensor.name in counted)
    return partial(_read_total, read) if read else None


def find_rails(root: Path = Path("/")) -> tuple[RailSensor, ...]:
    """Every channel that is connected and switched on."""
    found = [_sensor(folder, channel) for folder in _monitors(root) for channel in (1, 2, 3)]
    return tuple(sensor for sensor in found if sensor is not None)


def _read_total(sensors: tuple[RailSensor, ...]) -> float | None:
    return total_watts(tuple(sensor.read() for sensor in sensors))


def _monitors(root: Path) -> list[Path]:
    """Both ways lead to the same folders, whose names hwmon0, hwmon1 ... the kernel keeps unique."""
    bound = [
        folder
        for device in entries(root / "sys/bus/i2c/drivers/ina3221")
        for folder in entries(device / "hwmon", "hwmon*")
    ]
    named = [
        folder
        for folder in entries(root / "sys/class/hwmon", "hwmon*")
        if read_text(folder / "name") == "ina3221"
    ]
    return list({folder.name: folder for folder in [*named, *bound]}.values())


def _sensor(folder: Path, channel: int) -> RailSensor | None:
    label = read_text(folder / f"in{channel}_label")
    if label == _NOT_CONNECTED or read_int(folder / f"in{channel}_enable") == 0:
        return None
    readings = {f"in{channel}_input", f"curr{channel}_input"}
    if not label and not readings.intersection(path.name for path in entries(folder)):
        return None
    name = label or f"{folder.name} channel {channel}"
    return RailSensor(name=name, folder=folder, channel=channel)

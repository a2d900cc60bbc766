"""The power modes that nvpmodel knows and the one in force, from its files.

Modes differ by board: mode 0 is 15 W on an Orin Nano and MAXN on an AGX Orin. So names come
from the file. Format: the header comment of /etc/nvpmodel.conf.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from sam3_edge.errors import Sam3EdgeError
from sam3_edge.jetson.sysfs import read_text

CONFIGURATION = "etc/nvpmodel.conf"
STATUS = "var/lib/nvpmodel/status"
_STATUS = re.compile(r"pmode:\s*([0-9]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerMode:
    id: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerModeConfiguration:
    """modes: in the order of the file. default_id: chosen at the first boot; None if not said."""

    modes: tuple[PowerMode, ...]
    default_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerModeState:
    """current: None where it is not known, and then `reason` says why."""

    current: PowerMode | None
    modes: tuple[PowerMode, ...]
    default_id: int | None
    reason: str | None


def read_power_mode(root: Path = Path("/")) -> PowerModeState:
    """Raises Sam3EdgeError if /etc/nvpmodel.conf is there and malformed."""
    text = read_text(root / CONFIGURATION)
    if text is None:
        return _unknown((), None, f"/{CONFIGURATION} is missing or not readable")
    known = parse_configuration(text, f"/{CONFIGURATION}")
    status = read_text(root / STATUS)
    if status is None:
        return _unknown(known.modes, known.default_id, f"/{STATUS} is missing or not readable")
    found = _STATUS.search(status)
    if found is None:
        return _unknown(
            known.modes, known.default_id, f"/{STATUS}: expected `pmode:<id>`, got {status[:40]!r}"
        )
    current = _by_id(known.modes, int(found[1]))
    if current is None:
        reason = f"/{STATUS} names mode {int(found[1])}, which /{CONFIGURATION} does not have"
        return _unknown(known.modes, known.default_id, reason)
    return PowerModeState(
        current=current, modes=known.modes, default_id=known.default_id, reason=None
    )


def parse_configuration(text: str, name: str = "nvpmodel.conf") -> PowerModeConfiguration:
    """name: for messages. Raises Sam3EdgeError with the number of the line that is malformed."""
    modes: list[PowerMode] = []
    default: tuple[int, int] | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.split("#", 1)[0].strip()
        if not content.startswith("<"):
            continue  # a setting of the block before
        where = f"{name}, line {number}"
        keyword, values = _parse_header(content, where)
        if keyword == "POWER_MODEL":
            mode = PowerMode(
                id=_number(values, "ID", content, where),
                name=_value(values, "NAME", content, where),
            )
            if _by_id(modes, mode.id) is not None:
                raise _malformed(where, "an ID that no other mode has", content)
            modes.append(mode)
        elif keyword == "PM_CONFIG":
            default = _number(values, "DEFAULT", content, where), number
    if default is not None and _by_id(modes, default[0]) is None:
        ids = ", ".join(str(mode.id) for mode in modes) or "none"
        expected = f"DEFAULT to be one of the modes ({ids})"
        raise _malformed(f"{name}, line {default[1]}", expected, str(default[0]))
    return PowerModeConfiguration(modes=tuple(modes), default_id=default[0] if default else None)


def _parse_header(content: str, where: str) -> tuple[str, dict[str, str]]:
    """`< POWER_MODEL ID=0 NAME=15W >` as its keyword and its values."""
    words = content[1:-1].split()
    if not content.endswith(">") or not words:
        raise _malformed(where, "`< KEYWORD NAME=VALUE ... >`", content)
    pairs = [word.partition("=") for word in words[1:]]
    return words[0], {key: value for key, equals, value in pairs if equals}


def _value(values: dict[str, str], key: str, content: str, where: str) -> str:
    if not values.get(key):
        raise _malformed(where, f"`{key}=` and a value", content)
    return values[key]


def _number(values: dict[str, str], key: str, content: str, where: str) -> int:
    value = _value(values, key, content, where)
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise _malformed(where, f"a whole number after `{key}=`", content)
    return int(value)


def _malformed(where: str, expected: str, got: str) -> Sam3EdgeError:
    advice = "restore the file from NVIDIA's package (nvidia-l4t-nvpmodel)"
    return Sam3EdgeError(f"{where}: expected {expected}, got {got[:80]!r}; {advice}")


def _by_id(modes: list[PowerMode] | tuple[PowerMode, ...], number: int) -> PowerMode | None:
    return next((mode for mode in modes if mode.id == number), None)


def _unknown(modes: tuple[PowerMode, ...], default_id: int | None, reason: str) -> PowerModeState:
    return PowerModeState(current=None, modes=modes, default_id=default_id, reason=reason)

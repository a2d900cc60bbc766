"""Values from sysfs and procfs, which may vanish or fail between two reads.

A sensor that is switched off, hot-unplugged or not ours to read answers ENODATA, EAGAIN, EIO,
ENODEV or EACCES. That is a state of the board and not an error of ours: it reads as None.
"""

import re
from fnmatch import fnmatchcase
from pathlib import Path

_MAX_BYTES = 1 << 16  # an attribute of sysfs has one page at most; the files in /etc a few
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")


def read_text(path: Path) -> str | None:
    """At most 64 KiB, stripped of white space and NULs at both ends; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
    except OSError:
        return None
    return content.decode("utf-8", errors="replace").strip(" \t\r\n\0")


def read_int(path: Path) -> int | None:
    """None too if the content is no decimal integer, such as `<unknown>` or nothing."""
    text = read_text(path)
    return int(text) if text is not None and _INTEGER.fullmatch(text) else None


def read_first(*paths: Path) -> str | None:
    """The first that is readable and not empty."""
    return next((text for path in paths if (text := read_text(path))), None)


def entries(folder: Path, pattern: str = "*") -> list[Path]:
    """What is in `folder` and matches, numbers in counting order (cpu10 after cpu9).

    Empty if it cannot be listed. An entry may be gone by the time that it is read.
    """
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return []
    return [folder / name for name in sorted(names, key=_counting) if fnmatchcase(name, pattern)]


def _counting(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if i % 2 else (0, part) for i, part in enumerate(parts)]


def scaled(value: int | None, factor: float) -> float | None:
    return None if value is None else value * factor

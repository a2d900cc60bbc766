"""Which Jetson this is, and which JetPack it runs."""

import re
from dataclasses import dataclass
from pathlib import Path

from sam3_edge.jetson.sysfs import read_first, read_text

# "# R36 (release), REVISION: 4.7, GCID: ..., BOARD: generic, EABI: aarch64, DATE: ..."
_RELEASE = re.compile(r"#\s*R([0-9]+)\s*\(release\),\s*REVISION:\s*([0-9]+(?:\.[0-9]+)*)")
_SOC = re.compile(r"nvidia,(tegra[0-9]+)")
_MEMORY = re.compile(r"^MemTotal:\s+([0-9]+) kB$", re.MULTILINE)

# (L4T, JetPack) as NVIDIA's archive of releases pairs them. A revision between two of the same
# minor release is an update of the earlier one: 36.4.7 belongs to JetPack 6.2.1.
_JETPACKS = (
    ((36, 3, 0), "6.0"),
    ((36, 4, 0), "6.1"),
    ((36, 4, 3), "6.2"),
    ((36, 4, 4), "6.2.1"),
    ((36, 5, 0), "6.2.2"),
    ((38, 2, 0), "7.0"),
)
_JETPACK_MAJORS = {32: "4", 34: "5", 35: "5", 36: "6", 38: "7", 39: "7"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """model: as the device tree names it. soc: such as tegra234. l4t: such as 36.4.7.

    jetpack: guessed from l4t; only the major number where the release is not known here.
    memory_bytes: what Linux has, CPU and GPU together. None: not readable.
    """

    model: str
    soc: str | None
    l4t: str | None
    jetpack: str | None
    kernel: str | None
    memory_bytes: int | None


def read_board(root: Path = Path("/")) -> Board | None:
    """None where the device tree names no Jetson (or there is none, as on a PC).

    root: what stands for `/`, here and in every reader of this package.
    """
    model = _device_tree(root, "model") or ""
    soc = _SOC.search(_device_tree(root, "compatible") or "")
    if "jetson" not in model.lower() and soc is None:
        return None
    l4t = parse_l4t(read_text(root / "etc/nv_tegra_release") or "")
    return Board(
        model=model or "unnamed board",
        soc=soc[1] if soc else None,
        l4t=l4t,
        jetpack=guess_jetpack(l4t) if l4t else None,
        kernel=read_first(root / "proc/sys/kernel/osrelease"),
        memory_bytes=_memory_bytes(root),
    )


def parse_l4t(text: str) -> str | None:
    """The release in the text of /etc/nv_tegra_release, such as 36.4.7."""
    found = _RELEASE.search(text)
    return f"{found[1]}.{found[2]}" if found else None


def guess_jetpack(l4t: str) -> str | None:
    """None for an L4T of a major release that is not known here."""
    numbers = [int(part) for part in l4t.split(".")]
    release = (*numbers, 0, 0)[:3]
    same_minor = [
        name for known, name in _JETPACKS if known[:2] == release[:2] and known <= release
    ]
    return same_minor[-1] if same_minor else _JETPACK_MAJORS.get(release[0])


def _device_tree(root: Path, name: str) -> str | None:
    # /proc/device-tree is a link to the other; some containers hide one of them.
    return read_first(
        root / "proc/device-tree" / name, root / "sys/firmware/devicetree/base" / name
    )


def _memory_bytes(root: Path) -> int | None:
    found = _MEMORY.search(read_text(root / "proc/meminfo") or "")
    return int(found[1]) * 1024 if found else None

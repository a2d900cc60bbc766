"""The clocks of the CPU cores, the GPU and the memory, and how far they may go now.

Sources: https://docs.kernel.org/admin-guide/pm/cpufreq.html (kHz) and the kernel's devfreq class
(Hz). The memory clock is behind debugfs, which only root may read.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from sam3_edge.jetson.sysfs import entries, read_int, read_text

_CPU = re.compile(r"cpu([0-9]+)")
# 17000000.gpu or 17000000.ga10b (Orin, by kernel), 17000000.gv11b (Xavier), gpu-gpc-0 (Thor)
_GPU = re.compile(r"gpu|\.(ga|gv|gp|gb)[0-9]+b", re.IGNORECASE)
_EMC = "sys/kernel/debug/bpmp/debug/clk/emc"


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuClock:
    """hz: of this core. max_hz: what policy, power mode and heat allow now. None: not readable."""

    index: int
    online: bool | None
    hz: int | None
    max_hz: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """hz, max_hz: as of CpuClock."""

    name: str
    hz: int | None
    max_hz: int | None


def read_cpus(root: Path = Path("/")) -> tuple[CpuClock, ...]:
    """Every core that the kernel knows, the ones that are switched off included."""
    folder = root / "sys/devices/system/cpu"
    online = parse_cpu_list(read_text(folder / "online") or "")
    return tuple(
        _read_cpu(path, int(match[1]), online)
        for path in entries(folder, "cpu[0-9]*")
        if (match := _CPU.fullmatch(path.name))
    )


def read_gpus(root: Path = Path("/")) -> tuple[Clock, ...]:
    """GPUs with a devfreq, which is Jetson's; a PC's card is not seen here."""
    return tuple(
        Clock(
            name=path.name,
            hz=read_int(path / "cur_freq"),
            max_hz=read_int(path / "max_freq"),
        )
        for path in entries(root / "sys/class/devfreq")
        if _GPU.search(path.name)
    )


def read_memory_clock(root: Path = Path("/")) -> Clock | None:
    """None for anyone but root, and where there is no BPMP (no Jetson)."""
    hz = read_int(root / _EMC / "rate")
    return (
        None if hz is None else Clock(name="emc", hz=hz, max_hz=read_int(root / _EMC / "max_rate"))
    )


def parse_cpu_list(text: str) -> frozenset[int] | None:
    """The kernel's `0-3,5`; None if it is none."""
    if not re.fullmatch(r"[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*", text):
        return None
    ranges = [part.partition("-") for part in text.split(",")]
    return frozenset(
        index for first, _, last in ranges for index in range(int(first), int(last or first) + 1)
    )


def _read_cpu(path: Path, index: int, online: frozenset[int] | None) -> CpuClock:
    switch = read_int(path / "online")  # the first core has none: it cannot be switched off
    known = switch != 0 if switch is not None else None if online is None else index in online
    return CpuClock(
        index=index,
        online=known,
        hz=_khz(path / "cpufreq/scaling_cur_freq"),
        max_hz=_khz(path / "cpufreq/scaling_max_freq"),
    )


def _khz(path: Path) -> int | None:
    khz = read_int(path)
    return None if khz is None else khz * 1000

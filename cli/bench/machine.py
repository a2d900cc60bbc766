"""What a report was measured on: enough to find the same machine again."""

import os
import platform
import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from sam3_edge import __version__
from sam3_edge.engines.manifest import BackendName
from sam3_edge.engines.onnxruntime_session import available_processors
from sam3_edge.jetson.snapshot import Snapshot
from sam3_edge.jetson.sysfs import read_text

# https://developer.arm.com/documentation, MIDR_EL1 of each core: Arm's /proc/cpuinfo has no names
_ARM_PARTS = {
    "0xd03": "Cortex-A53", "0xd07": "Cortex-A57", "0xd08": "Cortex-A72", "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1", "0xd40": "Neoverse-V1", "0xd42": "Cortex-A78AE", "0xd49": "Neoverse-N2",
    "0xd4f": "Neoverse-V2", "0xd83": "Neoverse-V3AE",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """driver_version: the newest CUDA the driver knows."""

    name: str
    compute_capability: str
    driver_version: str
    tensorrt_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """cores: of the machine; usable_cores: of this process. None: not known, or no Jetson.

    gpu: of a TensorRT bundle; others do not use it.
    """

    system: str
    architecture: str
    cpu: str | None
    cores: int | None
    usable_cores: int
    memory_bytes: int | None
    board: str | None
    jetpack: str | None
    l4t: str | None
    power_mode: str | None
    gpu: Gpu | None
    versions: dict[str, str]


def describe_machine(snapshot: Snapshot, backend: BackendName, root: Path = Path("/")) -> Machine:
    """Raises EngineError for a TensorRT bundle where TensorRT or CUDA is missing."""
    board, mode = snapshot.board, snapshot.power_mode
    return Machine(
        system=platform.platform(),
        architecture=platform.machine(),
        cpu=read_cpu_model(root),
        cores=os.cpu_count(),
        usable_cores=available_processors(),
        memory_bytes=_memory_bytes(root),
        board=board.model if board else None,
        jetpack=board.jetpack if board else None,
        l4t=board.l4t if board else None,
        power_mode=mode.current.name if mode and mode.current else None,
        gpu=None if backend == "onnxruntime" else _gpu(backend),
        versions={
            "sam3_edge": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "onnxruntime": str(onnxruntime.__version__),
        },
    )


def read_cpu_model(root: Path = Path("/")) -> str | None:
    """As /proc/cpuinfo has it: a name on a PC, the part number of each kind of core on Arm."""
    text = read_text(root / "proc/cpuinfo") or ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    if named:
        return named[1].strip()
    parts = dict.fromkeys(re.findall(r"^CPU part\s*:\s*(0x[0-9a-f]+)$", text, re.MULTILINE))
    return " + ".join(_ARM_PARTS.get(part, f"Arm part {part}") for part in parts) or None


def _memory_bytes(root: Path) -> int | None:
    found = re.search(
        r"^MemTotal:\s+([0-9]+) kB$", read_text(root / "proc/meminfo") or "", re.MULTILINE
    )
    return int(found[1]) * 1024 if found else None


def _gpu(backend: BackendName) -> Gpu:
    from sam3_edge.engines.cuda_device import open_device
    from sam3_edge.engines.tensorrt_api import open_tensorrt

    assert backend != "onnxruntime"
    with closing(open_device()) as device:
        return Gpu(
            name=device.name,
            compute_capability=device.compute_capability,
            driver_version=device.driver_version,
            tensorrt_version=open_tensorrt(backend).version,
        )

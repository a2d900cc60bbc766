"""How much memory this process holds.

Linux: VmRSS and VmHWM of /proc/self/status, https://docs.kernel.org/filesystems/proc.html.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sam3_edge.bench.figures import Memory
from sam3_edge.engines.cuda_device import open_device
from sam3_edge.engines.manifest import BackendName
from sam3_edge.jetson.sysfs import read_text

_STATUS = Path("/proc/self/status")


def read_memory(device_bytes: int | None = None) -> Memory:
    status = read_text(_STATUS) or ""
    return Memory(
        rss_bytes=_kib(status, "VmRSS"),
        peak_bytes=_kib(status, "VmHWM"),
        device_bytes=device_bytes,
    )


@contextmanager
def device_memory(backend: BackendName) -> Iterator[Callable[[], int | None]]:
    """Gives what was taken of the GPU's memory since this was entered, bytes, by cudaMemGetInfo.

    Entered before an engine is loaded, so that CUDA's own context is not counted. Other programs'
    memory is, and on a Jetson the processor's. None for an engine that has no GPU.
    """
    if backend == "onnxruntime":
        yield lambda: None
        return
    with closing(open_device()) as device:
        free_before, _ = device.memory()
        yield lambda: max(0, free_before - device.memory()[0])


def _kib(status: str, name: str) -> int | None:
    found = re.search(rf"^{name}:\s+([0-9]+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else None

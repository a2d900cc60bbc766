"""Whether this processor multiplies 8-bit numbers without losing any of the sums.

x86 without VNNI adds two products of uint8 and int8 in 16 bits (VPMADDUBSW), where 2 * 255 * 127 has
no room and is cut off. ONNX Runtime uses that instruction; its documentation advises weights of 7
bits there, with which 2 * 255 * 64 = 32,640 fits. ARM has no such instruction.
"""

import platform
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
_X86 = ("x86_64", "AMD64", "i686", "x86")
_EXACT = {"avx512_vnni", "avx_vnni"}


@cache
def saturates() -> bool:
    """True also for an x86 of which nobody says what it can do."""
    if platform.machine() not in _X86:
        return False
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return True
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not _EXACT & set(flags.split())

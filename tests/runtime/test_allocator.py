"""Threads that come and go leave no memory behind that nobody uses."""

import re
import subprocess
import sys

import pytest

THREADS = """
import ctypes, sys, threading
from sam3_edge.runtime.allocator import limit_arenas
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.fopen.restype = libc.free.restype = ctypes.c_void_p
assert limit_arenas() if sys.argv[1] == "few" else True
gate = threading.Barrier(24)
def work():
    gate.wait()  # all at once: else they use one after the other's
    blocks = [libc.malloc(1000) for _ in range(200)]
    gate.wait()
threads = [threading.Thread(target=work) for _ in range(24)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc.malloc_info(0, ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w")))
libc.fflush(None)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="expected Linux with glibc")
def test_few_arenas_for_many_threads() -> None:
    counts = []
    for how in ("few", "many"):
        ran = subprocess.run(
            [sys.executable, "-c", THREADS, how], capture_output=True, text=True, check=True
        )
        counts.append(len(re.findall(r"<heap nr=", ran.stdout)))
    few, many = counts
    assert few <= 2 < many

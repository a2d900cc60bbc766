"""A disk that is full for real."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """small_disk(size_bytes): the folder of a file system of its own, in memory."""
    with ExitStack() as stack:

        def mount(size_bytes: int) -> Path:
            folder = tmp_path / "disk"
            folder.mkdir()
            command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
            if shutil.which("mount") is None or _fails(command):
                pytest.skip("expected a right to mount a small file system, got none; run as root")
            stack.callback(_fails, ["umount", "--lazy", str(folder)])
            return folder

        yield mount


def _fails(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode != 0

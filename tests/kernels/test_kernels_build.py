"""kernels.c alone: no warning, nothing for the sanitizers to say, and it builds for the board."""

import shutil
import subprocess
from pathlib import Path

import pytest

WARNINGS = ["-std=gnu11", "-Wall", "-Wextra", "-Werror"]


def compiler(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"expected a C compiler called {name}, found none")
    return path


def build(command: list[str]) -> None:
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr


def test_sanitizers_find_nothing(root: Path, tmp_path: Path) -> None:
    program = tmp_path / "sanitized_rle"
    sources = [root / "tests/kernels/sanitized_rle.c", root / "runtime/kernels.c"]
    sanitize = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    include = ["-I", str(root / "runtime")]
    build([compiler("cc"), *WARNINGS, *sanitize, *include, *map(str, sources), "-o", str(program)])
    ran = subprocess.run([program], capture_output=True, text=True, check=False, timeout=120)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "ok\n", "")


def test_builds_for_aarch64(root: Path, tmp_path: Path) -> None:
    kernels = str(root / "runtime/kernels.c")
    cross = compiler("aarch64-linux-gnu-gcc")
    build([cross, *WARNINGS, "-O3", "-c", kernels, "-o", str(tmp_path / "kernels.o")])

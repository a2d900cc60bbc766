"""The kernels alone: no warning, nothing for the sanitizers to say, and the same on the board."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KERNELS = sorted((ROOT / "runtime").glob("kernels*.c"))
PROGRAMS = sorted((ROOT / "tests/kernels").glob("sanitized_*.c"))
WARNINGS = ["-std=gnu11", "-Wall", "-Wextra", "-Werror"]
SANITIZE = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"expected a program called {name}, found none")
    return path


def build(compiler: str, options: list[str], source: Path, program: Path) -> Path:
    sources = [str(path) for path in (source, *KERNELS)]
    command = [tool(compiler), *WARNINGS, *options, "-I", str(ROOT / "runtime"), *sources]
    built = subprocess.run(
        [*command, "-o", str(program), "-lm"], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return program


def output(command: list[str | Path]) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert ran.stdout.startswith("ok")
    return ran.stdout


@pytest.mark.parametrize("source", PROGRAMS, ids=lambda path: path.stem)
def test_sanitizers_find_nothing(source: Path, tmp_path: Path) -> None:
    output([build("cc", SANITIZE, source, tmp_path / "sanitized")])


@pytest.mark.parametrize("source", PROGRAMS, ids=lambda path: path.stem)
def test_the_board_says_the_same(source: Path, tmp_path: Path) -> None:
    """Built for aarch64 and run in an emulator, with the vector instructions of the board."""
    here = build("cc", ["-O3"], source, tmp_path / "here")
    board = build("aarch64-linux-gnu-gcc", ["-O3", "-static"], source, tmp_path / "board")
    assert output([tool("qemu-aarch64"), board]) == output([here])

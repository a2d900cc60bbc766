"""Whatever text a fuzzer makes up, RLE's readers stay inside their buffers and agree."""

import shutil
import subprocess
from pathlib import Path

import pytest

SANITIZE = ["-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
RUNS = 100_000
# Height, width, text: whole, too long, with runs of several groups, without pixels.
SEEDS = [b"\x02\x0306", b"\x02\x0333000007", b"\x14\x1ed0X11O1O1", b"\x00\x00"]
EMPTY = """
int LLVMFuzzerTestOneInput(const unsigned char *data, unsigned long size);
int LLVMFuzzerTestOneInput(const unsigned char *data, unsigned long size)
{
    return data == 0 && size == 1;
}
"""


def run(command: list[str | Path], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def clang(tmp_path: Path) -> str:
    path = shutil.which("clang")
    if path is None:
        pytest.skip("expected a program called clang, found none")
    (tmp_path / "empty.c").write_text(EMPTY, encoding="utf-8")
    tried = run([path, *SANITIZE, "empty.c", "-o", "empty"], tmp_path)
    if tried.returncode != 0:
        pytest.skip(f"expected clang to come with libFuzzer, got: {tried.stderr.strip()[-200:]}")
    return path


def test_a_fuzzer_finds_nothing(root: Path, tmp_path: Path, clang: str) -> None:
    kernels = [
        *sorted((root / "runtime").glob("kernels_rle_*.c")),
        root / "runtime/kernels_association.c",
    ]
    sources = [root / "tests/kernels/fuzz_rle.c", *kernels]
    built = run(
        [clang, *SANITIZE, "-I", root / "runtime", *sources, "-o", tmp_path / "fuzz"], tmp_path
    )
    assert built.returncode == 0, built.stderr
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS):
        (corpus / str(number)).write_bytes(seed)
    limits = [f"-runs={RUNS}", "-seed=1", "-max_len=96", "-timeout=10"]
    ran = run([tmp_path / "fuzz", *limits, corpus], tmp_path)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert f"Done {RUNS} runs" in ran.stderr

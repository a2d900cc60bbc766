"""Which processors lose sums of 8-bit products."""

from pathlib import Path

import pytest

from sam3_edge.calib import saturation

HEAD = "processor : 0\nmodel name : any\n"


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", "fpu sse2 avx2", True),
        ("x86_64", "fpu avx2 avx512f avx512_vnni", False),
        ("x86_64", "fpu avx2 avx_vnni", False),
        ("aarch64", "", False),
        ("x86_64", None, True),
    ],
)
def test_vnni_decides_on_x86(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    machine: str,
    flags: str | None,
    expected: bool,
) -> None:
    if flags is not None:
        (tmp_path / "cpuinfo").write_text(f"{HEAD}flags\t\t: {flags}\n")
    monkeypatch.setattr(saturation, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert saturation.saturates.__wrapped__() is expected

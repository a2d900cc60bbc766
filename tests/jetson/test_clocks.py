import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from sam3_edge.jetson.clocks import (
    Clock,
    CpuClock,
    parse_cpu_list,
    read_cpus,
    read_gpus,
    read_memory_clock,
)
from tests.jetson.trees import CPU, EMC, GPU


def test_cores_of_an_orin_nano(orin_nano: Path) -> None:
    cores = read_cpus(orin_nano)
    assert [core.index for core in cores] == [0, 1, 2, 3, 4, 5]
    assert [core.online for core in cores] == [True] * 4 + [False] * 2
    assert cores[0] == CpuClock(index=0, online=True, hz=1_344_000_000, max_hz=1_728_000_000)
    assert cores[5] == CpuClock(index=5, online=False, hz=None, max_hz=None)


def test_cores_are_counted_past_nine(tmp_path: Path) -> None:
    for index in range(12):
        (tmp_path / CPU / f"cpu{index}").mkdir(parents=True)
    (tmp_path / CPU / "online").write_text("0-3,10")
    cores = read_cpus(tmp_path)
    assert [core.index for core in cores] == list(range(12))
    assert [core.index for core in cores if core.online] == [0, 1, 2, 3, 10]
    (tmp_path / CPU / "online").unlink()
    assert {core.online for core in read_cpus(tmp_path)} == {None}


def test_a_core_that_goes_while_it_is_read(
    orin_nano: Path, fails: Callable[[Path, int], None]
) -> None:
    fails(orin_nano / CPU / "cpu3/cpufreq/scaling_cur_freq", errno.EBUSY)
    (orin_nano / CPU / "cpu3/cpufreq/scaling_max_freq").write_text("<unknown>\n")
    assert read_cpus(orin_nano)[3] == CpuClock(index=3, online=True, hz=None, max_hz=None)


def test_the_gpu_alone_of_all_devfreqs(orin_nano: Path) -> None:
    clock = Clock(name="17000000.gpu", hz=612_000_000, max_hz=1_020_000_000)
    assert read_gpus(orin_nano) == (clock,)


@pytest.mark.parametrize(
    ("name", "is_gpu"),
    [
        ("17000000.ga10b", True),
        ("17000000.gv11b", True),
        ("57000000.gpu", True),
        ("gpu-gpc-0", True),
        ("15340000.vic", False),
        ("bwmgr", False),
    ],
)
def test_names_of_gpus(tmp_path: Path, name: str, is_gpu: bool) -> None:
    (tmp_path / "sys/class/devfreq" / name).mkdir(parents=True)
    assert [clock.name for clock in read_gpus(tmp_path)] == [name] * is_gpu


def test_a_gpu_that_fails_is_still_there(
    orin_nano: Path, fails: Callable[[Path, int], None]
) -> None:
    fails(orin_nano / GPU / "cur_freq", errno.EIO)
    assert read_gpus(orin_nano) == (Clock(name="17000000.gpu", hz=None, max_hz=1_020_000_000),)


def test_the_memory_clock_is_for_root(
    orin_nano: Path, pc: Path, fails: Callable[[Path, int], None]
) -> None:
    clock = Clock(name="emc", hz=3_199_000_000, max_hz=3_199_000_000)
    assert read_memory_clock(orin_nano) == clock
    fails(orin_nano / EMC / "rate", errno.EACCES)
    assert read_memory_clock(orin_nano) is None
    assert read_memory_clock(pc) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0-5", {0, 1, 2, 3, 4, 5}),
        ("0", {0}),
        ("0-1,4,6-7", {0, 1, 4, 6, 7}),
        ("", None),
        ("0-", None),
        ("a", None),
        ("0,,1", None),
    ],
)
def test_lists_of_cores(text: str, expected: set[int] | None) -> None:
    assert parse_cpu_list(text) == expected

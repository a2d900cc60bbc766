import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sam3_edge.jetson.thermal import (
    CoolingDevice,
    OverCurrent,
    Throttling,
    Zone,
    hottest,
    read_over_current,
    read_throttling,
    read_zones,
)
from tests.jetson.trees import OVER_CURRENT, THERMAL


def test_zones_of_an_orin_nano(orin_nano: Path) -> None:
    """In the order of their numbers; parts that are switched off have no temperature."""
    zones = read_zones(orin_nano)
    names = ["cpu-thermal", "gpu-thermal", "cv0-thermal", "tj-thermal", "soc2-thermal"]
    assert [zone.name for zone in zones] == names
    celsius = [zone.celsius for zone in zones]
    assert celsius == pytest.approx([49.812, 51.25, None, 51.25, None])


def test_zones_of_a_pc_may_share_a_name(pc: Path) -> None:
    assert [zone.name for zone in read_zones(pc)] == ["acpitz", "acpitz", "x86_pkg_temp"]


def test_the_hottest_of_those_that_can_be_read(pc: Path) -> None:
    zones = read_zones(pc)
    assert hottest(zones) == Zone(name="x86_pkg_temp", celsius=46.0)
    assert hottest((Zone(name="cv0-thermal", celsius=None),)) is None
    assert hottest(()) is None
    assert hottest(zones[:1] * 2) == zones[0]


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EIO, errno.ENODATA, errno.EACCES])
def test_a_zone_that_fails_keeps_its_name(
    orin_nano: Path, fails: Callable[[Path, int], None], number: int
) -> None:
    fails(orin_nano / THERMAL / "thermal_zone0/temp", number)
    assert read_zones(orin_nano)[0] == Zone(name="cpu-thermal", celsius=None)
    fails(orin_nano / THERMAL / "thermal_zone0/type", number)
    assert read_zones(orin_nano)[0] == Zone(name="thermal_zone0", celsius=None)


def test_what_slows_the_board_down(orin_nano: Path) -> None:
    """The fan at full speed and a hot surface do not."""
    assert read_throttling(orin_nano) == Throttling(
        devices=(
            CoolingDevice(name="cpu-throttle-alert", state=0, max_state=2),
            CoolingDevice(name="gpu-throttle-alert", state=1, max_state=2),
            CoolingDevice(name="cpufreq-cpu0", state=0, max_state=None),
        ),
        active=("gpu-throttle-alert",),
    )


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("cpu-throttle-alert", True),
        ("soc0-throttle-alert", True),
        ("cpufreq-cpu4", True),
        ("thermal-cpufreq-0", True),
        ("thermal-devfreq-0", True),
        ("devfreq-gpu-gpc-0", True),
        ("17000000.gpu", True),
        ("Processor", True),
        ("pwm-fan", False),
        ("Fan", False),
        ("hot-surface-alert", False),
        ("intel_powerclamp", False),
    ],
)
def test_which_cooling_devices_slow_down(tmp_path: Path, name: str, counts: bool) -> None:
    folder = tmp_path / THERMAL / "cooling_device0"
    folder.mkdir(parents=True)
    (folder / "type").write_text(name)
    (folder / "cur_state").write_text("1")
    throttling = read_throttling(tmp_path)
    assert (throttling is not None and throttling.active == (name,)) == counts


def test_nothing_readable_is_not_taken_for_full_speed(orin_nano: Path) -> None:
    for path in (orin_nano / THERMAL).glob("cooling_device*/cur_state"):
        path.write_text("")
    assert read_throttling(orin_nano) is None
    shutil.rmtree(orin_nano / THERMAL)
    assert read_throttling(orin_nano) is None


def test_a_pc_at_full_speed(pc: Path) -> None:
    throttling = read_throttling(pc)
    assert throttling is not None
    assert throttling.active == ()


def test_over_current_events(orin_nano: Path) -> None:
    assert read_over_current(orin_nano) == (
        OverCurrent(name="oc1", meaning="under-voltage", events=0, slows_down=True),
        OverCurrent(name="oc2", meaning="average over-current", events=0, slows_down=False),
        OverCurrent(name="oc3", meaning="instantaneous over-current", events=42, slows_down=True),
    )


def test_no_counters_is_not_taken_for_no_events(pc: Path) -> None:
    assert read_over_current(pc) is None


def test_a_counter_that_fails(orin_nano: Path, fails: Callable[[Path, int], None]) -> None:
    fails(orin_nano / OVER_CURRENT / "oc3_event_cnt", errno.EINVAL)
    (orin_nano / OVER_CURRENT / "oc3_throt_en").unlink()
    found = read_over_current(orin_nano)
    assert found is not None
    assert (found[2].name, found[2].events, found[2].slows_down) == ("oc3", None, None)

import errno
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sam3_edge.jetson.power import counted_rails, find_rails, read_power, total_watts, watts_reader
from tests.jetson.trees import AGX_ORIN_POWER, MONITOR, write_tree


def test_rails_of_an_orin_nano(orin_nano: Path) -> None:
    """Not twice, though two ways lead to them; no sums, no shunt voltages."""
    module, cores, soc = read_power(orin_nano)
    assert [rail.name for rail in (module, cores, soc)] == ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]
    assert module.volts == pytest.approx(5.0)
    assert module.amperes == pytest.approx(1.8)
    assert module.watts == pytest.approx(9.0)
    assert cores.watts == pytest.approx(2.496)


def test_the_module_input_is_the_total(orin_nano: Path) -> None:
    assert total_watts(read_power(orin_nano)) == pytest.approx(9.0)


@pytest.mark.parametrize("gone", ["sys/bus", "sys/class/hwmon"])
def test_either_way_to_the_monitor_will_do(orin_nano: Path, gone: str) -> None:
    shutil.rmtree(orin_nano / gone)
    assert total_watts(read_power(orin_nano)) == pytest.approx(9.0)


def test_a_rail_inside_another_is_not_counted_twice(tmp_path: Path) -> None:
    """AGX Orin: no input of the module; the power of the DDR is in that of the 5 V rail."""
    rails = read_power(write_tree(tmp_path, AGX_ORIN_POWER))
    names = ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"]
    assert [rail.name for rail in rails] == names
    assert list(counted_rails(names)) == names[:3]
    assert total_watts(rails) == pytest.approx(4.0 + 2.0 + 4.0)


@pytest.mark.parametrize(("name", "total"), [("VDD_CPU_CV", None), ("VDDQ_VDD2_1V8AO", 10.0)])
def test_a_sum_of_some_rails_is_no_total(tmp_path: Path, name: str, total: float | None) -> None:
    """One that is not counted may fail."""
    rails = read_power(write_tree(tmp_path, AGX_ORIN_POWER))
    failed = tuple(replace(rail, watts=None) if rail.name == name else rail for rail in rails)
    assert failed != rails
    assert total_watts(failed) == (None if total is None else pytest.approx(total))


def test_without_the_rail_around_it_it_counts() -> None:
    assert counted_rails(["VDDQ_VDD2_1V8AO", "VDD_CPU_CV"]) == ("VDDQ_VDD2_1V8AO", "VDD_CPU_CV")


def test_a_pc_has_none(pc: Path) -> None:
    assert read_power(pc) == ()
    assert total_watts(()) is None
    assert watts_reader(pc) is None


@pytest.mark.parametrize("number", [errno.EIO, errno.EAGAIN, errno.EACCES, errno.ENODATA])
@pytest.mark.parametrize("name", ["in1_input", "curr1_input"])
def test_a_failing_sensor_gives_no_watts(
    orin_nano: Path, fails: Callable[[Path, int], None], name: str, number: int
) -> None:
    """And no total: the two other rails are not what the module draws."""
    fails(orin_nano / "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1" / name, number)
    module, cores, soc = read_power(orin_nano)
    assert module.name == "VDD_IN"
    assert module.watts is None
    assert (module.volts is None) == (name == "in1_input")
    assert (cores.watts or 0) > 0
    assert (soc.watts or 0) > 0
    assert total_watts((module, cores, soc)) is None


def test_content_that_is_no_number_gives_no_watts(orin_nano: Path) -> None:
    (orin_nano / MONITOR / "curr2_input").write_text("N/A\n")
    rails = read_power(orin_nano)
    assert [rail.watts is None for rail in rails] == [False, True, False]
    assert total_watts(rails) == pytest.approx(9.0)


def test_a_channel_that_is_switched_off_is_no_rail(orin_nano: Path) -> None:
    (orin_nano / MONITOR / "in1_enable").write_text("0\n")
    rails = read_power(orin_nano)
    assert [rail.name for rail in rails] == ["VDD_CPU_GPU_CV", "VDD_SOC"]
    assert total_watts(rails) == pytest.approx(4.992 * 0.9)


def test_a_channel_without_a_label_is_named_by_its_place(orin_nano: Path) -> None:
    for channel in (1, 2, 3):
        (orin_nano / MONITOR / f"in{channel}_label").unlink()
    for name in ("in3_input", "curr3_input"):
        (orin_nano / MONITOR / name).unlink()
    names = [rail.name for rail in read_power(orin_nano)]
    assert names == ["hwmon1 channel 1", "hwmon1 channel 2"]


def test_the_reader_follows_the_sensor_until_it_vanishes(orin_nano: Path) -> None:
    read = watts_reader(orin_nano)
    assert read is not None
    assert read() == pytest.approx(9.0)
    (orin_nano / MONITOR / "curr1_input").write_text("2000\n")
    assert read() == pytest.approx(10.0)
    shutil.rmtree(orin_nano / MONITOR)
    assert read() is None
    assert find_rails(orin_nano) == ()

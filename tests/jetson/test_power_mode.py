from pathlib import Path

import pytest

from sam3_edge.errors import Sam3EdgeError
from sam3_edge.jetson.power_mode import PowerMode, parse_configuration, read_power_mode
from tests.jetson.trees import NVPMODEL_CONF

MODES = (
    PowerMode(id=0, name="15W"),
    PowerMode(id=1, name="25W"),
    PowerMode(id=2, name="MAXN_SUPER"),
    PowerMode(id=3, name="7W"),
)


def test_the_mode_in_force(orin_nano: Path) -> None:
    state = read_power_mode(orin_nano)
    assert state.current == PowerMode(id=2, name="MAXN_SUPER")
    assert (state.modes, state.default_id, state.reason) == (MODES, 1, None)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("pmode:0009\n", "names mode 9, which /etc/nvpmodel.conf does not have"),
        ("", "expected `pmode:<id>`, got ''"),
        ("fmode:quiet", "expected `pmode:<id>`, got 'fmode:quiet'"),
        (None, "/var/lib/nvpmodel/status is missing or not readable"),
    ],
)
def test_an_unknown_mode_has_a_reason(orin_nano: Path, status: str | None, reason: str) -> None:
    """The default is not taken for the mode in force."""
    path = orin_nano / "var/lib/nvpmodel/status"
    path.unlink()
    if status is not None:
        path.write_text(status)
    state = read_power_mode(orin_nano)
    assert state.current is None
    assert state.modes == MODES
    assert state.reason is not None
    assert reason in state.reason


def test_without_the_configuration_there_are_no_names(pc: Path) -> None:
    state = read_power_mode(pc)
    assert (state.current, state.modes) == (None, ())
    assert state.reason == "/etc/nvpmodel.conf is missing or not readable"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ID=2 NAME=MAXN_SUPER", "ID=two NAME=MAXN_SUPER", "a whole number after `ID=`"),
        ("ID=2 NAME=MAXN_SUPER", "ID=-2 NAME=MAXN_SUPER", "a whole number after `ID=`"),
        ("ID=2 NAME=MAXN_SUPER", "ID=2 NAME=", "`NAME=` and a value"),
        ("ID=2 NAME=MAXN_SUPER", "NAME=MAXN_SUPER", "`ID=` and a value"),
        ("ID=2 NAME=MAXN_SUPER", "ID=1 NAME=MAXN_SUPER", "an ID that no other mode has"),
        ("NAME=MAXN_SUPER >", "NAME=MAXN_SUPER", "`< KEYWORD NAME=VALUE ... >`"),
    ],
)
def test_a_malformed_file_names_the_line(orin_nano: Path, old: str, new: str, message: str) -> None:
    lines = NVPMODEL_CONF.replace(old, new)
    number = 1 + next(i for i, line in enumerate(lines.splitlines()) if new in line)
    (orin_nano / "etc/nvpmodel.conf").write_text(lines)
    with pytest.raises(Sam3EdgeError) as caught:
        read_power_mode(orin_nano)
    text = str(caught.value)
    assert text.startswith(f"/etc/nvpmodel.conf, line {number}: expected {message}, got ")
    assert "\n" not in text


def test_the_default_must_be_a_mode() -> None:
    text = NVPMODEL_CONF.replace("PM_CONFIG DEFAULT=1", "PM_CONFIG DEFAULT=7")
    with pytest.raises(Sam3EdgeError, match=r"DEFAULT to be one of the modes \(0, 1, 2, 3\)"):
        parse_configuration(text)


@pytest.mark.parametrize(
    "line",
    [
        "< POWER_MODEL ID=0 NAME=15W >",
        "<POWER_MODEL ID=0 NAME=15W>",
        "  <  POWER_MODEL   ID=0   NAME=15W >  # the default of the kit",
        "< POWER_MODEL NAME=15W ID=0 >\r",
    ],
)
def test_spaces_and_comments_do_not_matter(line: str) -> None:
    known = parse_configuration(f"{line}\nGPU MAX_FREQ 612000000\n")
    assert known.modes == (PowerMode(id=0, name="15W"),)
    assert known.default_id is None


def test_an_empty_file_has_no_modes() -> None:
    assert parse_configuration("").modes == ()

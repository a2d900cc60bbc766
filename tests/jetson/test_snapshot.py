import json
import shutil
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from sam3_edge.jetson.snapshot import take_snapshot
from tests.jetson.trees import ORIN_NANO, write_tree

# What a file may turn into: nothing, a folder, or any content.
outcomes = st.none() | st.just("folder") | st.binary(max_size=40)


def test_everything_of_an_orin_nano(orin_nano: Path) -> None:
    snapshot = take_snapshot(orin_nano, utc_ns=lambda: 7)
    content = json.loads(json.dumps(asdict(snapshot), allow_nan=False))
    assert [name for name, value in content.items() if value in (None, [])] == []
    assert content["utc_ns"] == 7
    assert content["board"]["l4t"] == "36.4.7"
    assert content["power_mode"]["current"] == {"id": 2, "name": "MAXN_SUPER"}
    assert content["total_watts"] == 9.0
    assert content["total_rails"] == ["VDD_IN"]
    assert content["throttling"]["active"] == ["gpu-throttle-alert"]


def test_what_a_pc_has_is_given_and_the_rest_is_none(pc: Path) -> None:
    snapshot = take_snapshot(pc)
    given_names = {name for name, value in asdict(snapshot).items() if value is not None}
    assert given_names == {"utc_ns", "zones", "throttling", "cpus"}
    assert len(snapshot.zones) == 3
    assert [core.hz for core in snapshot.cpus] == [3_600_000_000, 800_000_000]


def test_this_machine_whatever_it_is() -> None:
    json.dumps(asdict(take_snapshot()), allow_nan=False)


def test_an_empty_tree(tmp_path: Path) -> None:
    snapshot = take_snapshot(tmp_path, utc_ns=lambda: 1)
    assert (snapshot.zones, snapshot.cpus, snapshot.board) == ((), (), None)


def test_a_malformed_power_configuration_is_a_reason(orin_nano: Path) -> None:
    (orin_nano / "etc/nvpmodel.conf").write_text("< POWER_MODEL ID=x NAME=15W >\n")
    mode = take_snapshot(orin_nano).power_mode
    assert mode is not None
    assert mode.current is None
    assert mode.reason is not None
    assert mode.reason.startswith("/etc/nvpmodel.conf, line 1: expected a whole number")


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(sorted(ORIN_NANO)), outcomes, min_size=1, max_size=12))
def test_no_file_can_make_it_fail(changes: dict[str, bytes | str | None]) -> None:
    with TemporaryDirectory() as name:
        root = write_tree(Path(name), ORIN_NANO)
        for path, outcome in changes.items():
            replace(root / path, outcome)
        json.dumps(asdict(take_snapshot(root)), allow_nan=False)


def test_hot_unplug_of_any_folder(orin_nano: Path, tmp_path: Path) -> None:
    """Links to what is gone stay behind, as they may for a moment."""
    folders = sorted({Path(name).parent for name in ORIN_NANO})
    for i, folder in enumerate(folders):
        root = write_tree(tmp_path / str(i), ORIN_NANO)
        shutil.rmtree(root / folder)
        json.dumps(asdict(take_snapshot(root)), allow_nan=False)


def replace(path: Path, outcome: bytes | str | None) -> None:
    path.unlink()
    if outcome == "folder":
        path.mkdir()
    elif isinstance(outcome, bytes):
        path.write_bytes(outcome)

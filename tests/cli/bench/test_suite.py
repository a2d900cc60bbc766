"""A whole report from the fakes: a GPU, an Orin Nano's files, and the stand-in bundle."""

import dataclasses
from pathlib import Path

import pytest
from rich.console import Console

from sam3_edge.bench.plan import Plan, make_plan
from sam3_edge.bench.suite import Outcome, Suite, SuiteOptions
from sam3_edge.bench.table import show_report
from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.manifest import BuiltOn
from sam3_edge.jetson.snapshot import Snapshot, take_snapshot
from tests.engines.fake_cuda import FakeDevice
from tests.engines.fake_tensorrt import fake_tensorrt
from tests.jetson.trees import ORIN_NANO, OVER_CURRENT, write_tree


def engine_bundle(folder: Path) -> Bundle:
    """The stand-in's graphs as if they were engines of the fake GPU."""
    bundle = Bundle.open(folder)
    built_on = BuiltOn(
        gpu_name="Fake GPU", compute_capability="8.7", driver_version="12.6",
        tensorrt_version="10.3.0", prompt_profile=(1, 2, 16), device_memory_bytes=None,
    )  # fmt: skip
    manifest = dataclasses.replace(bundle.manifest, backend="tensorrt", built_on=built_on)
    return dataclasses.replace(bundle, manifest=manifest)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    """The fake, wherever one is opened. Everything of it must be closed in the end."""
    device = FakeDevice(integrated=True)
    tensorrt, _ = fake_tensorrt(device)
    for module in ("bench.memory", "engines.tensorrt_backend", "engines.cuda_device"):
        monkeypatch.setattr(f"sam3_edge.{module}.open_device", lambda: device)
    for module in ("engines.tensorrt_backend", "engines.tensorrt_api"):
        monkeypatch.setattr(f"sam3_edge.{module}.open_tensorrt", lambda _kind: tensorrt)
    return device


def measure(
    bundle: Bundle, tmp_path: Path, *, engine_only: bool, root: Path, plan: Plan | None = None
) -> Outcome:
    plan = plan or make_plan(
        bundles=("it",), source=None, sizes=((64, 64),), fps=None, num_prompts=(1,), threads=(None,)
    )
    options = SuiteOptions(
        plan=plan,
        bundles={"it": bundle},
        texts=("fish",),
        frames=6,
        warm_up=2,
        engine_only=engine_only,
        jsonl=None,
        text_cache=tmp_path / "cache",
        startup_rounds=0,
        command="sam3-edge bench",
        root=root,
    )
    said: list[str] = []
    outcome = Suite(options, say=said.append, warn=pytest.fail, should_stop=lambda: False).run()
    assert said
    return outcome


def test_an_engine_on_a_board(stand_in: Path, tmp_path: Path, gpu: FakeDevice) -> None:
    root = write_tree(tmp_path / "board", ORIN_NANO)
    report = measure(engine_bundle(stand_in), tmp_path, engine_only=True, root=root).report
    assert gpu.live == []
    assert report.throughput_fps == report.engine_only_fps
    modes = report.memory_modes
    assert modes is not None
    assert modes.faster == ("mapped" if modes.mapped_fps >= modes.copied_fps else "copied")
    assert "upload" in gpu.calls  # the copied one
    assert report.memory.device_bytes is not None
    assert report.memory.device_bytes > 0
    machine = report.machine
    assert machine.gpu is not None
    assert (machine.gpu.name, machine.gpu.tensorrt_version) == ("Fake GPU", "10.3.0")
    assert (machine.jetpack, machine.power_mode) == ("6.2.1", "MAXN_SUPER")
    assert report.energy is not None
    assert report.energy.watts == pytest.approx(9.0)
    assert report.energy.rails == ("VDD_IN",)
    assert report.board.throttled == ("gpu-throttle-alert",)
    assert report.board.hottest_celsius == pytest.approx(51.25)
    console = Console(record=True, width=80, markup=False)
    show_report(console, report)
    text = console.export_text()
    assert "9.00 W (VDD_IN)" in text
    assert "SLOWED DOWN by gpu-throttle-alert" in text


def test_events_in_between_are_counted(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_tree(tmp_path / "board", ORIN_NANO)

    def two_more_each_time(root: Path) -> Snapshot:
        snapshot = take_snapshot(root)
        path = root / OVER_CURRENT / "oc3_event_cnt"
        path.write_text(f"{int(path.read_text()) + 2}\n")
        return snapshot

    monkeypatch.setattr("sam3_edge.bench.suite.take_snapshot", two_more_each_time)
    outcome = measure(Bundle.open(stand_in), tmp_path, engine_only=False, root=root)
    assert outcome.report.board.over_current == {"instantaneous over-current": 2}
    assert outcome.report.memory_modes is None
    assert outcome.report.memory.device_bytes is None
    assert len(outcome.total_ms) == outcome.report.frames == 6

"""`sam3-edge bench` as a user meets it, on the default bundle with a few frames."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from sam3_edge.bench.figures import STAGES
from sam3_edge.bench.report import read_report, write_report
from sam3_edge.command import main
from sam3_edge.errors import SinkError, UsageError

Command = Callable[..., subprocess.CompletedProcess[str]]
FRAMES, WARM_UP = 12, 3


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with report.json, plot.png, lines.jsonl and what was printed."""
    folder = tmp_path_factory.mktemp("bench")
    arguments = (
        "--frames", FRAMES, "--warm-up", WARM_UP, "--num-prompts", "1,2", "--size", "320x240",
        "--json", "report.json", "--plot", "plot.png", "--jsonl", "lines.jsonl", "--quick",
    )  # fmt: skip
    ran = subprocess.run(
        [sys.executable, "-m", "sam3_edge", "bench", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stderr
    (folder / "out.txt").write_text(ran.stdout, encoding="utf-8")
    (folder / "err.txt").write_text(ran.stderr, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def report(measured: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((measured / "report.json").read_text(encoding="utf-8"))
    return read


def test_the_report_has_what_programs_read(report: dict[str, Any]) -> None:
    assert report["schema"] == 1
    assert set(report) == {
        "schema", "throughput_fps", "latency_ms", "frame_age_ms", "dropped", "cpu_ms_per_frame",
        "memory", "startup", "energy", "machine", "bundle", "board", "command", "configuration",
        "created_utc", "warm_up_frames", "frames", "elapsed_s", "sweeps", "engine_only_fps",
        "memory_modes",
    }  # fmt: skip
    assert (report["frames"], report["warm_up_frames"], report["dropped"]) == (FRAMES, WARM_UP, 0)
    assert report["command"].startswith("sam3-edge bench --frames 12 ")
    assert report["configuration"]["prompts"] == ["fish"]
    assert (report["configuration"]["width"], report["configuration"]["height"]) == (320, 240)
    assert len(report["bundle"]["sha256"]) == 64
    assert report["machine"]["versions"]["numpy"]
    assert report["throughput_fps"] == pytest.approx(FRAMES / report["elapsed_s"])
    assert report["engine_only_fps"] > 0


def test_percentiles_are_in_order_and_the_total_is_the_most(report: dict[str, Any]) -> None:
    assert tuple(report["latency_ms"]) == STAGES
    for stage in (*report["latency_ms"].values(), report["frame_age_ms"]):
        ranks = [stage[name] for name in ("p50", "p90", "p95", "p99", "max")]
        assert ranks == sorted(ranks)
        assert ranks[0] > 0
        assert stage["jitter"] == pytest.approx(stage["p99"] - stage["p50"], abs=1e-3)
    total = report["latency_ms"]["total"]
    for name in ("preprocess", "vision", "decoder", "postprocess", "sink"):
        for rank in ("p50", "p99", "max"):
            assert total[rank] >= report["latency_ms"][name][rank]
    assert report["frame_age_ms"]["max"] >= report["latency_ms"]["vision"]["max"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no thread clocks")
def test_the_processor_time_fits_into_what_passed(report: dict[str, Any]) -> None:
    cpu, cores = report["cpu_ms_per_frame"], report["machine"]["usable_cores"]
    assert all(value >= 0 for value in cpu.values())
    assert cpu["engine"] > cpu["outside"]
    passed_ms = report["elapsed_s"] * 1e3 / FRAMES
    assert 0 < sum(cpu.values()) < 1.2 * cores * passed_ms


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no /proc")
def test_memory_and_start_are_there(report: dict[str, Any]) -> None:
    memory, startup = report["memory"], report["startup"]
    assert 0 < memory["rss_bytes"] <= memory["peak_bytes"]
    assert memory["device_bytes"] is None
    steps = [value for name, value in startup.items() if name not in ("total_ms", "rounds")]
    assert all(value > 0 for value in steps)
    assert startup["total_ms"] == pytest.approx(sum(steps), abs=0.01)  # of one round


def test_every_variation_is_measured(report: dict[str, Any]) -> None:
    (row,) = report["sweeps"]
    assert (row["varied"], row["value"]) == ("num_prompts", "2")
    assert row["figures"]["frames"] == FRAMES
    assert row["figures"]["latency_ms"]["total"]["p50"] > 0


def test_the_results_went_where_they_should(measured: Path) -> None:
    lines = (measured / "lines.jsonl").read_text(encoding="utf-8").splitlines()
    last = [json.loads(line) for line in lines]  # of the last run, that with two prompts
    assert set(last[0]["presence"]) == {"fish", "fish (2)"}
    assert [line["frame"] for line in last] == list(range(len(last)))


def test_it_prints_a_table_that_fits(measured: Path) -> None:
    text = (measured / "out.txt").read_text(encoding="utf-8")
    for words in (*STAGES, "frame age", "jitter", "frames/s", "2 prompts", "start-up", "warm-up"):
        assert words in text
    table = [line for line in text.splitlines() if line.split()[:1] in (["total"], ["2"])]
    assert max(map(len, table)) <= 80
    told = (measured / "err.txt").read_text(encoding="utf-8")
    assert told.startswith(f"measuring {FRAMES} frames after {WARM_UP} of warm-up, 2 times")


def test_the_plot_is_a_picture(measured: Path) -> None:
    picture = cv2.imread(str(measured / "plot.png"))
    assert picture is not None
    height, width = picture.shape[:2]
    assert width > 1000
    assert height > 300
    assert len({tuple(pixel) for pixel in picture[::7, ::7].reshape(-1, 3).tolist()}) > 3


def test_a_report_compares_with_itself(measured: Path) -> None:
    path = str(measured / "report.json")
    ran = CliRunner().invoke(main, ["bench", "--compare", path, path])
    assert ran.exit_code == 0, ran.output
    assert "same machine, bundle and command" in ran.output
    (line,) = [line for line in ran.output.splitlines() if line.startswith("throughput_fps")]
    assert line.split()[-1] == "1.00"


def test_a_comparison_says_in_what_they_differ(measured: Path, tmp_path: Path) -> None:
    value = json.loads((measured / "report.json").read_text(encoding="utf-8"))
    value["throughput_fps"] *= 2
    value["machine"]["power_mode"] = "15W"
    value["bundle"]["precision"] = "int8"
    value["command"] = "another"
    value["startup"] = None
    other = tmp_path / "other.json"
    other.write_text(json.dumps(value), encoding="utf-8")
    ran = CliRunner().invoke(
        main, ["bench", "--compare", str(measured / "report.json"), str(other)]
    )
    assert ran.exit_code == 0, ran.output
    for words in (
        "machine.power_mode differs: A None, B '15W'",
        "bundle.precision differs: A 'fp32', B 'int8'",
        "command differs: A 'sam3-edge bench",
    ):
        assert words in ran.output
    (line,) = [line for line in ran.output.splitlines() if line.startswith("throughput_fps")]
    assert line.split()[-1] == "2.00"
    (line,) = [line for line in ran.output.splitlines() if line.startswith("startup.total_ms")]
    assert line.split()[-2:] == ["-", "-"]


def test_a_report_reads_back_as_it_was(measured: Path, tmp_path: Path) -> None:
    read = read_report(measured / "report.json")
    write_report(tmp_path / "again.json", read)
    assert read_report(tmp_path / "again.json") == read
    assert (tmp_path / "again.json").read_text() == (measured / "report.json").read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected a report, got .*; give a file that"),
        ("[]", "expected a report of schema 1, got None; measure again"),
        ('{"schema": 2}', "expected a report of schema 1, got 2; measure again"),
        ('{"schema": true}', "expected a report of schema 1, got True; measure again"),
        ('{"schema": 1}', "throughput_fps: expected this key, got nothing; give a file"),
    ],
)
def test_what_is_no_report_is_refused(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        read_report(path)
    with pytest.raises(UsageError, match="No such file"):
        read_report(tmp_path / "none.json")


def test_a_report_that_cannot_be_written_leaves_what_was_there(
    measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, path = read_report(measured / "report.json"), tmp_path / "r.json"
    path.write_text("before")

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SinkError, match="No space left"):
        write_report(path, read)
    assert [each.name for each in tmp_path.iterdir()] == ["r.json"]
    assert path.read_text() == "before"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--size", "1x1"], 2, "--size: expected sides of 64 to 16384 pixels, got 1x1"),
        (["--num-prompts", "0"], 2, "--num-prompts: expected counts"),
        (["--source", "demo", "--size", "640x480"], 2, "expected it without --source"),
        (["--source", "demo", "--fps", "3"], 2, "expected it without --source"),
        (["--engine-only", "--jsonl", "x"], 2, "expected it without --engine-only"),
        (["--plot", "x.jpg"], 2, "expected a name ending in .png, got .jpg"),
        (["--json", "."], 1, "expected a file to write, got a folder"),
        (["--prompt", " "], 2, "got the empty prompt"),
        (["--compare", "a", "b", "--quick"], 2, "expected --compare alone, got also --quick"),
        (["--frames", "0"], 2, "0 is not in the range"),
    ],
)
def test_wrong_use_is_told_before_anything_is_measured(
    arguments: list[str], status: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(main, ["bench", *arguments])
    assert (ran.exit_code, "measuring" in ran.output) == (status, False)
    assert message in ran.output
    assert ran.output.count("\n") == 1


def test_the_engine_alone_to_standard_output(sam3_edge: Command, stand_in: Path) -> None:
    ran = sam3_edge(
        "bench", "--bundle", stand_in, "--engine-only", "--json", "-", "--frames", "5",
        "--warm-up", "1", "--no-startup",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)  # the table went to standard error
    measured = {name for name, value in report["latency_ms"].items() if value is not None}
    assert measured == {"vision", "decoder", "total"}
    assert report["throughput_fps"] == report["engine_only_fps"]
    assert (report["frame_age_ms"], report["startup"], report["memory_modes"]) == (None,) * 3
    assert "the engine alone" in ran.stderr


def test_a_source_as_a_camera_and_one_that_is_too_short(
    sam3_edge: Command, stand_in: Path, tmp_path: Path
) -> None:
    shared = ("--bundle", stand_in, "--frames", "4", "--warm-up", "2", "--no-startup")
    ran = sam3_edge("bench", *shared, "--fps", "50", "--json", "r.json", "--threads", "1")
    assert ran.returncode == 0, ran.stderr
    report = read_report(tmp_path / "r.json")
    assert report.configuration.live
    assert report.configuration.threads == 1
    cv2.imwrite(str(tmp_path / "one.png"), np.full((64, 64, 3), 127, np.uint8))
    ran = sam3_edge("bench", *shared, "--source", "one.png")
    assert ran.returncode == 2
    assert "expected more frames than the 2 of the warm-up, got 1; take a longer" in ran.stderr


def test_ctrl_c_ends_it_without_a_report(stand_in: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sam3_edge", "bench", "--bundle", str(stand_in)]
    command += ["--frames", "1000000", "--json", "r.json", "--text-cache", "cache"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert running.stderr.readline().startswith("measuring ")
        running.send_signal(signal.SIGINT)
        assert running.stderr.read() == "sam3-edge: interrupted\n"
    assert running.returncode == 130
    assert not (tmp_path / "r.json").exists()

"""`sam3-edge run` at a camera in the network: it comes, goes, comes back, and says so."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.runtime.sources.rtsp_server import RtspServer

PATIENCE_S = 60.0


class Run:
    def __init__(self, bundle: Path, folder: Path, *arguments: str) -> None:
        self.output = folder / "o.jsonl"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sam3_edge", "run", "--bundle", bundle, "--prompt", "fish",
             "--jsonl", "o.jsonl", *arguments],
            cwd=folder, env={**os.environ, "XDG_CACHE_HOME": str(folder)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def lines(self) -> list[dict[str, Any]]:
        if not self.output.exists():
            return []
        whole = self.output.read_text(encoding="utf-8").rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def wait_for(self, state: str, count: int = 1) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while sum(line["state"] == state for line in self.lines()) < count:
            assert time.monotonic() < deadline, self.lines()[-3:]
            assert self._process.poll() is None, self._process.communicate()
            time.sleep(0.05)

    def stop(self) -> tuple[int, str, str]:
        self._process.send_signal(signal.SIGINT)
        return self.ended()

    def ended(self) -> tuple[int, str, str]:
        out, err = self._process.communicate(timeout=PATIENCE_S)
        return self._process.returncode, out, err


def test_a_camera_goes_and_comes_back(
    stand_in: Path, tmp_path: Path, rtsp_server: RtspServer
) -> None:
    run = Run(stand_in, tmp_path, "--source", rtsp_server.url)
    run.wait_for("ok", 10)
    rtsp_server.kill()
    run.wait_for("reconnecting")
    rtsp_server.start()
    run.wait_for("recovered")
    before = len(run.lines())
    run.wait_for("ok", 20)
    status, out, err = run.stop()
    assert status == 0
    lost, back = err.splitlines()  # the cause, once
    assert lost.startswith("sam3-edge: warning: ")
    assert lost.endswith("trying to connect again")
    assert back == f"sam3-edge: warning: {rtsp_server.url}: it is back"
    assert "median age of a result" in out
    lines = run.lines()
    assert len(lines) > before
    frames = [line["frame"] for line in lines if "frame" in line]
    assert frames == sorted(set(frames))  # counted on, none twice
    states = [line["state"] for line in lines if line["state"] != "ok"]
    assert (states[0], states[-1]) == ("lost", "recovered")


def test_it_gives_up_only_when_told(
    stand_in: Path, tmp_path: Path, rtsp_server: RtspServer
) -> None:
    run = Run(stand_in, tmp_path, "--source", rtsp_server.url, "--retries", "1")
    run.wait_for("ok", 3)
    rtsp_server.kill()
    status, _, err = run.ended()
    assert status == 1
    assert "given up after 1 attempt to connect again" in err
    assert "Traceback" not in err
    assert run.lines()[0]["state"] == "ok"


def test_it_can_be_stopped_while_the_camera_is_away(
    stand_in: Path, tmp_path: Path, rtsp_server: RtspServer
) -> None:
    run = Run(
        stand_in, tmp_path, "--source", rtsp_server.url, "--source", "demo", "--frames", "100000"
    )
    run.wait_for("ok", 10)
    rtsp_server.kill()
    run.wait_for("lost")
    count = sum(line["source"] == "demo" for line in run.lines())
    run.wait_for("ok", count + 30)  # the other source goes on
    assert run.stop()[0] == 0

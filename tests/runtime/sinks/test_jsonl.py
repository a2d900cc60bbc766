import errno
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sam3_edge.errors import SinkError
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.sinks.jsonl import JsonlSink

Make = Callable[..., FrameResult]


def test_each_line_is_there_at_once(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "new" / "out.jsonl"
    sink = JsonlSink(str(path))
    assert sink.written is None
    for index in range(3):
        sink.write(make_result(index))
        lines = path.read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["frame"] for line in lines] == list(range(index + 1))
    sink.close()
    sink.close()
    assert sink.written == f"{path} (3 JSON lines)"


def test_an_old_file_is_replaced_at_the_first_frame(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("old\n")
    sink = JsonlSink(str(path))
    assert path.read_text() == "old\n"
    sink.write(make_result())
    sink.close()
    assert path.read_text().startswith('{"schema":1')


def test_standard_output(capfdbinary: pytest.CaptureFixture[bytes], make_result: Make) -> None:
    sink = JsonlSink("-")
    sink.write(make_result())
    sink.close()
    print("still open")
    lines = capfdbinary.readouterr().out.splitlines()
    assert json.loads(lines[0])["frame"] == 0
    assert lines[1] == b"still open"
    assert sink.written is None


def test_a_device_that_is_full(make_result: Make) -> None:
    sink = JsonlSink("/dev/full")
    with pytest.raises(SinkError, match="cannot write /dev/full: No space left on device"):
        sink.write(make_result())
    sink.close()


def test_a_disk_that_is_pulled_out_takes_nothing_back(
    tmp_path: Path, make_result: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PulledOut(io.FileIO):
        def write(self, content: Any) -> int:
            if self.tell() > 0:
                raise OSError(errno.EIO, "Input/output error")
            return super().write(bytes(content)[:10])

        def truncate(self, _size: int | None = None) -> int:
            raise OSError(errno.EROFS, "Read-only file system")

    sink = JsonlSink(str(tmp_path / "o.jsonl"))
    monkeypatch.setattr(sink, "_open", lambda: PulledOut(tmp_path / "o.jsonl", "wb"))
    with pytest.raises(SinkError, match=r"o\.jsonl: Input/output error; check the path"):
        sink.write(make_result())
    sink.close()


_FILL = """
import resource, sys, numpy as np
from sam3_edge.errors import SinkError
from sam3_edge.runtime.detections import Detections
from sam3_edge.runtime.frame import bgr_frame
from sam3_edge.runtime.results import FrameResult, Timing
from sam3_edge.runtime.sinks.jsonl import JsonlSink

none = Detections(boxes=np.zeros((0, 4), np.float32), scores=np.zeros(0, np.float32), masks=(),
                  prompt_index=np.zeros(0, np.int64), presence=np.zeros(0, np.float32))
time = Timing(preprocess_ms=0, vision_ms=0, decoder_ms=0, postprocess_ms=0)
sink = JsonlSink(sys.argv[1])
if sys.argv[1] != "-":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for index in range(1000):
    frame = bgr_frame(np.zeros((2, 2, 3), np.uint8), source="s", index=index, time_s=0,
                  captured_ns=0, utc_ns=0)
    try:
        sink.write(FrameResult(frame=frame, prompts=(), detections=none, timing=time, age_ms=0))
    except SinkError as error:
        sys.exit(f"{index} {error}")
"""


def test_when_there_is_no_room_the_last_line_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    ran = subprocess.run(
        [sys.executable, "-c", _FILL, str(path)], capture_output=True, text=True, check=False
    )
    count, _, message = ran.stderr.partition(" ")
    assert message.startswith(f"cannot write {path}: File too large")
    text = path.read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert [json.loads(line)["frame"] for line in text.splitlines()] == list(range(int(count)))
    assert 0 < len(text) <= 1000


def test_a_disk_that_fills(small_disk: Callable[[int], Path], make_result: Make) -> None:
    """By standard output too, behind what was there already."""
    disk = small_disk(2**20)
    path, redirected = disk / "out.jsonl", disk / "redirected.jsonl"
    redirected.write_text("before\n")
    sink = JsonlSink(str(path))
    big = replace(make_result(), prompts=("f" * 20_000, "crab"))

    def fill() -> None:
        for _ in range(100):
            sink.write(big)

    with pytest.raises(SinkError, match=r"cannot write .*out\.jsonl: No space left on device"):
        fill()
    count = len([json.loads(line) for line in path.read_text().splitlines()])
    assert sink.written == f"{path} ({count} JSON lines)"
    assert path.read_bytes().endswith(b"}\n")
    sink.close()
    path.write_bytes(bytes(2**20 - 40_960))
    with redirected.open("ab") as stdout:
        subprocess.run(
            [sys.executable, "-c", _FILL, "-"], stdout=stdout, stderr=subprocess.PIPE, check=False
        )
    lines = redirected.read_bytes().splitlines(keepends=True)
    assert lines[0] == b"before\n"
    frames = [json.loads(line)["frame"] for line in lines[1:]]
    assert frames == list(range(len(frames)))
    assert len(frames) > 1
    assert lines[-1].endswith(b"}\n")


def test_a_reader_that_has_gone(tmp_path: Path, make_result: Make) -> None:
    os.mkfifo(tmp_path / "pipe")
    sink = JsonlSink(str(tmp_path / "pipe"))  # waits for no reader
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    sink.write(make_result())
    os.close(reader)
    with pytest.raises(SinkError, match="pipe: Broken pipe; whoever read it has gone"):
        sink.write(make_result())
    sink.close()


def test_a_pipe_that_does_not_block_and_is_full(
    tmp_path: Path, make_result: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(writing, "w") as stdout, os.fdopen(reading, "rb") as stream:
        monkeypatch.setattr(sys, "stdout", stdout)
        sink = JsonlSink("-")
        received: list[bytes] = []
        reader = threading.Thread(target=lambda: received.extend(stream))
        big = replace(make_result(), prompts=("f" * 200_000, "crab"))
        threading.Timer(0.1, reader.start).start()
        sink.write(big)
        sink.write(big)
        sink.close()
        stdout.close()
        while not reader.ident:
            time.sleep(0.01)
        reader.join()
    assert [json.loads(line)["frame"] for line in received] == [0, 0]


def test_standard_output_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SinkError, match="cannot write standard output: it is closed"):
        JsonlSink("-")


def test_a_reader_of_standard_output_that_has_gone(
    monkeypatch: pytest.MonkeyPatch, make_result: Make
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        sink = JsonlSink("-")
        with pytest.raises(SinkError, match="cannot write standard output: Broken pipe; whoever"):
            sink.write(make_result())
        sink.close()


def test_a_socket_is_no_file(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{tmp_path}/s")
        with pytest.raises(SinkError, match=r"got a socket; unix:.*/s writes to it"):
            JsonlSink(f"{tmp_path}/s")

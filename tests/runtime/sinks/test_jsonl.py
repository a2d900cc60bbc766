import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for index in range(100):
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

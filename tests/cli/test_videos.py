"""The default bundle on a real video, from the command line to the files."""

import json
import subprocess
import sys
from pathlib import Path

import cv2

from sam3_edge.runtime.rle import decode_rle

KEYS = {
    "schema", "source", "state", "frame", "time_s", "utc_ns", "width", "height", "age_ms",
    "dropped", "presence", "timing_ms", "detections",
}  # fmt: skip


def test_every_frame_of_a_video(shared: Path, tmp_path: Path) -> None:
    video = shared / "video" / "intel_car-detection.mp4"
    jsonl, saved = tmp_path / "out.jsonl", tmp_path / "out.mp4"
    command = [sys.executable, "-m", "sam3_edge", "run", "--source", str(video)]
    options = [
        "--prompt",
        "car",
        "--threshold",
        "0.05",
        "--jsonl",
        str(jsonl),
        "--save",
        str(saved),
    ]
    cache = ["--text-cache", str(tmp_path / "cache")]
    done = subprocess.run([*command, *options, *cache], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "377 frames" in done.stdout + done.stderr
    assert "nearest" in done.stderr  # the bundle never learned cars, and says so
    lines = [json.loads(line) for line in jsonl.read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(377))
    for line in lines:
        assert set(line) == KEYS
        assert set(line["presence"]) == {"car"}
        for one in line["detections"]:
            x0, y0, x1, y1 = one["box"]
            assert 0 <= x0 < x1 <= line["width"]
            assert 0 <= y0 < y1 <= line["height"]
            size = one["mask"]["size"]
            assert decode_rle((size[0], size[1]), one["mask"]["counts"]).shape == tuple(size)
    capture = cv2.VideoCapture(str(saved))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 377
    capture.release()

"""Every benchmark runs to its end in its quick mode. Their figures are no test: machines differ."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

QUICK = {
    "draw": ["--quick"],
    "end_to_end": ["--quick"],
    "masks": ["--quick"],
    "memory": ["--quick"],
    "preprocess": ["--quick"],
    "prompts": ["--quick"],
    "rtsp_end_to_end": ["--quick"],
    "rtsp_latency": ["--quick"],
    "rtsp_soak": ["--quick"],
    "startup": ["--quick"],
}
LEFT_OUT = {
    "engine_modes": "BUNDLE: needs one built for TensorRT, and the GPU it was built for",
    "image_sizes": "CHECKPOINT: exports a bundle for each size, which takes minutes",
    "precision": "--calib FOLDER: needs photos, and builds four bundles from them",
    "training_memory": "PRESET:SIZE:BATCH: loads torch in a process for each, which takes minutes",
    "training_speed": "--data: installs an earlier commit and trains both, which takes minutes",
    "yolo_baseline": "--data, --minutes: trains; its parts are in test_yolo_baseline.py",
    "claim_table": "no benchmark: what the others print with",
    "clocked_camera": "no benchmark: the camera the others look through",
    "default_model": "no benchmark: the model the others load",
    "rendered_video": "no benchmark: the file the others read",
    "yolo_answers": "no benchmark: what yolo_baseline finds",
    "yolo_pictures": "no benchmark: what yolo_baseline learns from",
    "yolo_speed": "no benchmark: how yolo_baseline takes times",
    "yolo_table": "no benchmark: what yolo_baseline prints",
    "yolo_training": "no benchmark: how yolo_baseline trains",
}
_FIGURE = re.compile(r"\d+(\.\d+)?")


def test_every_script_is_run_or_left_out_with_a_reason(root: Path) -> None:
    scripts = {path.stem for path in (root / "benchmarks").glob("*.py")}
    assert scripts - {*QUICK, *LEFT_OUT} == set()


def test_a_script_that_is_left_out_says_how_it_is_used(root: Path) -> None:
    script = root / "benchmarks/yolo_baseline.py"
    ran = subprocess.run(
        [sys.executable, str(script), "--help"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert {"--data", "--work", "--minutes", "--ours"} <= {*ran.stdout.split()}


@pytest.mark.parametrize("name", QUICK)
def test_quick_mode_prints_a_table(name: str, root: Path, tmp_path: Path) -> None:
    here, cache = tmp_path / "here", tmp_path / "cache"
    here.mkdir()
    ran = subprocess.run(
        [sys.executable, str(root / "benchmarks" / f"{name}.py"), *QUICK[name]],
        cwd=here,
        env={**os.environ, "XDG_CACHE_HOME": str(cache), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    rows = [line for line in ran.stdout.splitlines() if len(_FIGURE.findall(line)) >= 2]
    assert len(rows) >= 3, ran.stdout
    # Nothing is left where it was started, nor in the user's cache of prompts.
    assert list(here.iterdir()) == []
    assert not (cache / "sam3-edge").exists()

"""The scripts of examples/ as a user runs them, with the model that comes with the project."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from sam3_edge.runtime.scene import FRAMES_PER_SECOND, Scene

Example = Callable[..., list[str]]


@pytest.fixture
def python(tmp_path: Path) -> Example:
    """python(SCRIPT, ...): the lines it prints; in an empty folder."""

    def call(*arguments: str) -> list[str]:
        ran = subprocess.run(
            [sys.executable, "-W", "error", *arguments],
            cwd=tmp_path,
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        return ran.stdout.splitlines()

    return call


@pytest.fixture
def example(root: Path, python: Example) -> Example:
    """example(NAME, ...): of the folder examples."""
    return lambda name, *arguments: python(str(root / "examples" / name), *arguments)


@pytest.mark.parametrize("page", ["README.md", "docs/library.md"])
def test_what_the_pages_say_runs(root: Path, python: Example, page: str) -> None:
    """As it is written, but for the camera and the end."""
    text = (root / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        script, changes = re.subn(r'"rtsp://[^"]*", ', '"demo", frames=2, ', block)
        assert changes == 1
        assert python("-c", script)


def test_every_example_is_run(root: Path) -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    names = [path.name for path in (root / "examples").glob("*.py")]
    assert names
    assert [name for name in names if f'"{name}"' not in text] == []


def test_camera_to_json(example: Example) -> None:
    lines = [
        json.loads(line) for line in example("camera_to_json.py", "demo", "fish", "--frames", "4")
    ]
    assert [line["frame"] for line in lines] == [0, 1, 2, 3]
    assert {found["prompt"] for line in lines for found in line["detections"]} == {"fish"}


def test_count_fish(example: Example, tmp_path: Path) -> None:
    scene = Scene(0, "held_out")
    height, width = scene.frame(0).shape[:2]
    writer = cv2.VideoWriter(
        str(tmp_path / "reef.avi"),
        cv2.VideoWriter.fourcc(*"MJPG"),
        FRAMES_PER_SECOND,
        (width, height),
    )
    for index in range(7):
        writer.write(scene.frame(index))
    writer.release()
    *frames, most = example("count_fish.py", "reef.avi", "--every", "3")
    counts = [int(line.split()[-1]) for line in frames]
    assert len(counts) == 3  # of 0 to 6: 0, 3 and 6
    assert max(counts) > 0
    assert most.startswith(f"most at once: {max(counts)}, after ")


def test_masks_to_png(example: Example, tmp_path: Path) -> None:
    image = Scene(0, "held_out").frame(0)
    cv2.imwrite(str(tmp_path / "photo.png"), image)
    lines = example("masks_to_png.py", "photo.png", "fish", "--folder", "cut/fish")
    files = [tmp_path / line.split("  ")[0] for line in lines]
    assert files
    assert sorted((tmp_path / "cut" / "fish").iterdir()) == sorted(files)
    for file in files:
        cut = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        assert cut is not None
        np.testing.assert_array_equal(cut[..., :3], image)
        assert 0 < np.count_nonzero(cut[..., 3]) < cut[..., 3].size / 2

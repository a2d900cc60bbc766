"""A whole video gives every frame; a broken one what it can, and then says so."""

import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from sam3_edge.errors import SourceError
from sam3_edge.runtime.sources import Source, open_source
from tests.runtime.sources_to_test import frames_of

NUM_FRAMES = 60


@pytest.fixture(params=["mp4", "mkv", "avi"])
def video(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """60 frames, 20 a second, of noise, so that half the bytes are half the frames."""
    path = tmp_path / f"clip.{request.param}"
    codec = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), codec, 20, (96, 64))
    random = np.random.default_rng(7)
    for _ in range(NUM_FRAMES):
        writer.write(random.integers(0, 256, (64, 96, 3)).astype(np.uint8))
    writer.release()
    return path


def test_a_whole_video(video: Path) -> None:
    source = open_source(str(video))
    frames = list(frames_of(source))
    source.close()
    source.close()
    assert source.num_frames == len(frames) == NUM_FRAMES
    assert source.fps == pytest.approx(20)
    assert [frame.index for frame in frames] == list(range(NUM_FRAMES))
    times = [frame.time_s for frame in frames]
    np.testing.assert_allclose(times, np.arange(NUM_FRAMES) / 20, atol=0.002)
    assert frames[0].bgr().shape == (64, 96, 3)
    assert frames[0].source == str(video)


def test_a_truncated_video_gives_what_it_can(video: Path) -> None:
    content = video.read_bytes()
    video.write_bytes(content[: len(content) // 2])
    if video.suffix == ".mp4":  # its index is at the end, so nothing can be read
        with pytest.raises(SourceError, match="expected a video, got one that cannot be opened"):
            open_source(str(video))
        return
    seen: list[int] = []
    with pytest.raises(SourceError, match="breaks off: expected 60 frames, got") as broken:
        remember(open_source(str(video)), seen)
    assert 10 <= len(seen) <= 32
    assert f"got {len(seen)};" in str(broken.value)


@pytest.mark.parametrize(
    "name", ["a\nb.mp4", "file:x.mp4", "concat:x.mp4", "-x.mp4", "x%03d.mp4", "tiefe_\u00b5.mp4"]
)
def test_names_that_mean_something_to_ffmpeg(
    video: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(video.parent)
    video.rename(name)
    source = open_source(name)
    assert next(frames_of(source)).source == source.name == name


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a name is always text")
def test_a_name_that_is_no_text_is_refused(video: Path) -> None:
    """OpenCV would end the process."""
    for odd in (b"\xff.mp4", b"\xff/clip.mp4"):
        path = video.parent / os.fsdecode(odd)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(video.read_bytes())
        with pytest.raises(SourceError, match="expected a path in UTF-8, got another; rename it"):
            open_source(str(path))


class VariableRate:
    """Four frames with time stamps of their own, the third of which is missing."""

    def __init__(self, *_: object) -> None:
        self.stamps_ms = [0.0, 400.0, 0.0, 450.0]
        self.count = 0

    def isOpened(self) -> bool:  # noqa: N802 -- OpenCV's name
        return True

    def get(self, what: int) -> float:
        if what == cv2.CAP_PROP_POS_MSEC:
            return self.stamps_ms[self.count - 1]
        return 10.0 if what == cv2.CAP_PROP_FPS else 4.0

    def read(self, _room: object = None) -> tuple[bool, object]:
        self.count += 1
        return self.count <= 4, np.zeros((4, 6, 3), np.uint8)


def test_time_is_the_files_own_and_never_goes_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "clip.mp4").write_bytes(bytes(100))
    monkeypatch.setattr(cv2, "VideoCapture", VariableRate)
    times = [frame.time_s for frame in frames_of(open_source(str(tmp_path / "clip.mp4")))]
    assert times == [0.0, 0.4, 0.4, 0.45]


@pytest.mark.parametrize(("step_ms", "is_whole"), [(200.0, True), (100.0, False)])
def test_a_count_of_frames_that_is_but_an_estimate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step_ms: float, is_whole: bool
) -> None:
    """40 frames are promised, at 10 a second, and 20 are there: in four seconds, or in two."""

    class Half(VariableRate):
        def __init__(self, *_: object) -> None:
            super().__init__()
            self.stamps_ms = [step_ms * k for k in range(20)]

        def get(self, what: int) -> float:
            return 40.0 if what == cv2.CAP_PROP_FRAME_COUNT else super().get(what)

        def read(self, _room: object = None) -> tuple[bool, object]:
            self.count += 1
            return self.count <= 20, np.zeros((4, 6, 3), np.uint8)

    (tmp_path / "clip.mp4").write_bytes(bytes(100))
    monkeypatch.setattr(cv2, "VideoCapture", Half)
    seen: list[int] = []
    source = open_source(str(tmp_path / "clip.mp4"))
    if is_whole:
        remember(source, seen)
    else:
        with pytest.raises(SourceError, match="breaks off: expected 40 frames, got 20"):
            remember(source, seen)
    assert len(seen) == 20


def remember(source: Source, seen: list[int]) -> None:
    """Into `seen`, so that it is known when the source breaks off."""
    for frame in frames_of(source):
        seen.append(frame.index)

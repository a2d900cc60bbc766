from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest

from sam3_edge.errors import SinkError, UsageError
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.sinks import places
from sam3_edge.runtime.sinks.video import VideoSink

Make = Callable[..., FrameResult]


def frames_and_rate(path: Path) -> tuple[int, float]:
    reader = cv2.VideoCapture(str(path))
    count = 0
    while reader.read()[0]:
        count += 1
    return count, reader.get(cv2.CAP_PROP_FPS)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "mov", "MP4"])
def test_every_frame_at_the_rate_of_the_source(
    tmp_path: Path, make_result: Make, suffix: str
) -> None:
    path = tmp_path / "new" / f"out.{suffix}"
    sink = VideoSink(path, 12.5)
    assert sink.written is None
    for index in range(25):
        sink.write(make_result(index))
    sink.close()
    sink.close()
    count, rate = frames_and_rate(path)
    assert count == 25
    assert rate == pytest.approx(12.5)
    assert sink.written == f"{path} (25 frames)"


def test_without_frames_there_is_no_file(tmp_path: Path) -> None:
    VideoSink(tmp_path / "out.mp4", 30).close()
    assert list(tmp_path.iterdir()) == []


def test_an_old_file_is_kept_until_the_first_frame(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"old")
    sink = VideoSink(path, 30)
    assert path.read_bytes() == b"old"
    sink.write(make_result())
    sink.close()
    assert frames_and_rate(path)[0] == 1


def test_another_frame_size_is_an_error_and_the_video_stays_readable(
    tmp_path: Path, make_result: Make
) -> None:
    path = tmp_path / "out.mp4"
    sink = VideoSink(path, 30)
    sink.write(make_result(0))
    sink.write(make_result(1))
    with pytest.raises(SinkError, match="expected frames of 64 x 48, got 32 x 48"):
        sink.write(make_result(2, size=(48, 32)))
    sink.close()
    assert frames_and_rate(path)[0] == 2


def test_a_full_disk_stops_while_the_video_can_be_finished(
    tmp_path: Path, make_result: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.mp4"
    sink = VideoSink(path, 30)
    for index in range(7):
        sink.write(make_result(index))
    monkeypatch.setattr(
        places, "shutil", SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=10 * 2**20))
    )
    with pytest.raises(SinkError, match=r"expected 16 MiB of free space, got 10\.0; make room"):
        sink.write(make_result(7))
    sink.close()
    assert frames_and_rate(path)[0] == 7


def test_a_video_that_did_not_reach_the_disk_is_told(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "out.mp4"
    sink = VideoSink(path, 30)
    sink.write(make_result())
    path.unlink()
    with pytest.raises(SinkError, match="is not whole: expected 1 frames, got 0"):
        sink.close()


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("out.gif", UsageError, "expected a video name ending in .mp4, .mov, .mkv, .avi, got .gif"),
        ("out", UsageError, "got no ending"),
        ("folder.mp4", SinkError, "expected a file to write, got a folder"),
        ("file/out.mp4", SinkError, "cannot write .*out.mp4: File exists"),
    ],
)
def test_what_cannot_be_written_is_refused_at_once(
    tmp_path: Path, name: str, error: type[Exception], message: str
) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(error, match=message):
        VideoSink(tmp_path / name, 30)

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

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


def pictures_of(path: Path) -> list[NDArray[np.uint8]]:
    reader = cv2.VideoCapture(str(path))
    pictures = []
    while (read := reader.read())[0]:
        pictures.append(np.asarray(read[1], np.uint8))
    return pictures


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


def test_a_name_with_a_colon(
    tmp_path: Path, make_result: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sink = VideoSink(Path("12:30.mkv"), 30)
    sink.write(make_result())
    sink.close()
    assert sink.written == "12:30.mkv (1 frames)"


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


def test_pictures_of_another_size_are_fitted_in(tmp_path: Path, make_result: Make) -> None:
    """A camera that comes back with another size does not end the recording."""
    path = tmp_path / "out.mkv"
    sink = VideoSink(path, 30)
    for index, size in enumerate([(48, 64), (96, 64), (20, 200), (20, 3000), (48, 64)]):
        sink.write(make_result(index, size=size))
    sink.close()
    assert sink.written == f"{path} (5 frames, 3 of another size fitted in)"
    pictures = pictures_of(path)
    assert [picture.shape for picture in pictures] == [(48, 64, 3)] * 5
    tall, wide = (picture.mean(axis=2) for picture in pictures[1:3])
    assert tall[:, 20:44].mean() > 80 > 20 > max(tall[:, :12].mean(), tall[:, -12:].mean())
    assert wide[22:26].mean() > 60 > 20 > max(wide[:16].mean(), wide[-16:].mean())


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


def test_a_disk_that_fills_for_real(small_disk: Callable[[int], Path], make_result: Make) -> None:
    """Somebody else takes the room: the video stops while it can be finished, and is whole."""
    disk = small_disk(18 * 2**20)
    sink = VideoSink(disk / "out.mp4", 30)
    for index in range(40):
        sink.write(make_result(index))
    (disk / "other").write_bytes(bytes(3 * 2**20))
    with pytest.raises(SinkError, match=r"expected 16 MiB of free space, got 1.*; make room"):
        sink.write(make_result(40))
    sink.close()
    assert frames_and_rate(disk / "out.mp4")[0] == 40


def test_a_disk_that_is_too_small_is_refused_before_the_engine_is_loaded(
    small_disk: Callable[[int], Path],
) -> None:
    disk = small_disk(2**20)
    (disk / "old.mp4").write_bytes(b"old")
    with pytest.raises(SinkError, match=r"expected 16 MiB of free space, got 1\.0; make room"):
        VideoSink(disk / "old.mp4", 30)
    assert (disk / "old.mp4").read_bytes() == b"old"


def test_a_video_that_did_not_reach_the_disk_is_told(tmp_path: Path, make_result: Make) -> None:
    path = tmp_path / "out.mp4"
    sink = VideoSink(path, 30)
    sink.write(make_result())
    path.unlink()
    with pytest.raises(SinkError, match="is not whole: expected 1 frames, got 0"):
        sink.close()


def test_a_disk_that_is_unplugged_is_told_with_the_next_frame(
    tmp_path: Path, make_result: Make
) -> None:
    path = tmp_path / "out.mp4"
    sink = VideoSink(path, 30)
    sink.write(make_result(0))
    path.unlink()
    with pytest.raises(SinkError, match="expected the video to be there still, got none"):
        sink.write(make_result(1))


def test_what_is_on_the_disk_of_a_process_that_is_killed(tmp_path: Path, make_result: Make) -> None:
    """docs/results.md says which endings need their end: here it is not written yet."""
    counts = {}
    for suffix in (".mkv", ".avi", ".mp4"):
        sink = VideoSink(tmp_path / f"out{suffix}", 30)
        for index in range(200):
            sink.write(make_result(index, size=(96, 128)))
        copy = tmp_path / f"copy{suffix}"
        copy.write_bytes((tmp_path / f"out{suffix}").read_bytes())
        sink.close()
        counts[suffix] = frames_and_rate(copy)[0]
    assert counts[".mkv"] > 100
    assert counts[".avi"] > 100
    assert counts[".mp4"] == 0


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

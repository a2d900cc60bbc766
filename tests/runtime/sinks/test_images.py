from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from sam3_edge.errors import SinkError
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.sinks.images import ImagesSink

Make = Callable[..., FrameResult]


def test_every_third_frame(tmp_path: Path, make_result: Make) -> None:
    folder = tmp_path / "a" / "b"
    sink = ImagesSink(folder, every=3)
    for index in range(7):
        sink.write(make_result(index))
    sink.close()
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["frame_000000.jpg", "frame_000003.jpg", "frame_000006.jpg"]
    picture = cv2.imread(str(folder / names[1]))
    assert picture is not None
    assert picture.shape == (48, 64, 3)
    assert sink.written == f"{folder} (3 pictures)"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(SinkError, match="cannot write"):
            ImagesSink(folder)


def test_a_folder_that_vanishes(tmp_path: Path, make_result: Make) -> None:
    sink = ImagesSink(tmp_path / "out")
    (tmp_path / "out").rmdir()
    with pytest.raises(SinkError, match=r"cannot write .*frame_000000\.jpg: No such file"):
        sink.write(make_result())


def test_a_disk_that_fills(small_disk: Callable[[int], Path], make_result: Make) -> None:
    """What is there stays, also a picture of an earlier run, and no half one is left."""
    folder = small_disk(2**20)
    sink = ImagesSink(folder)
    earlier = [folder / f"frame_{index:06d}.jpg" for index in range(40)]
    for path in earlier:
        path.write_bytes(b"earlier")

    def fill() -> None:
        for index in range(40):
            sink.write(make_result(index, size=(300, 300)))

    with pytest.raises(SinkError, match=r"cannot write .*frame_\d+\.jpg: No space left on device"):
        fill()
    sink.close()
    assert sorted(folder.iterdir()) == earlier
    new = [path for path in earlier if path.read_bytes() != b"earlier"]
    assert sink.written == f"{folder} ({len(new)} pictures)"
    assert new == earlier[: len(new)]
    assert all(cv2.imread(str(path)) is not None for path in new)

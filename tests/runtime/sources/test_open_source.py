"""Which source a text means, and the one line for each text that means none."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from sam3_edge.errors import SourceError, UsageError
from sam3_edge.runtime.sources import open_source
from tests.runtime.sources_to_test import frames_of


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of three pictures whose left upper pixel counts them, and a note."""
    for number in (1, 2, 10):
        picture = np.full((20 + number, 30, 3), number, np.uint8)
        cv2.imwrite(str(tmp_path / f"shot{number}.png"), picture)
    (tmp_path / "note.txt").write_text("not a picture")
    return tmp_path


def test_a_picture(pictures: Path) -> None:
    source = open_source(str(pictures / "shot2.png"))
    (frame,) = frames_of(source)
    assert (source.fps, source.num_frames) == (None, 1)
    assert frame.bgr().shape == (22, 30, 3)
    assert frame.bgr().dtype == np.uint8
    assert frame.source == source.name == str(pictures / "shot2.png")


@pytest.mark.parametrize("pattern", ["", "/*.png"])
def test_a_folder_or_pattern_goes_by_number(pictures: Path, pattern: str) -> None:
    source = open_source(f"{pictures}{pattern}")
    frames = list(frames_of(source))
    assert source.num_frames == 3
    assert [int(frame.bgr()[0, 0, 0]) for frame in frames] == [1, 2, 10]
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert [Path(frame.source).name for frame in frames] == ["shot1.png", "shot2.png", "shot10.png"]


def test_the_demo_is_the_same_for_one_seed() -> None:
    first, again, other = (frames_of(open_source(text)) for text in ("demo", "demo:0", "demo:3"))
    for index in range(2):
        one, two, three = next(first), next(again), next(other)
        np.testing.assert_array_equal(one.bgr(), two.bgr())
        assert not np.array_equal(one.bgr(), three.bgr())
        assert (one.index, one.source, three.source) == (index, "demo", "demo:3")
    assert one.time_s == pytest.approx(1 / 30)
    assert one.captured_ns > 0


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("nowhere.mp4", SourceError, "found none; check the path"),
        ("0", SourceError, "use --camera 0 for a camera"),
        ("", SourceError, "expected an image, folder or video, found none"),
        ("none/*.jpg", SourceError, "expected a pattern that matches pictures, found none"),
        ("demo:x", UsageError, "expected a seed of digits after the colon, got 'x'"),
        ("demo:-1", UsageError, "expected a seed of digits"),
        ("camera:", UsageError, "expected a camera index of digits after the colon, got ''"),
        ("ftp://host/stream", UsageError, "ftp://: expected a file, a camera or an address"),
        ("{}/note.txt", SourceError, "expected a picture or video, got a text file"),
        ("{}/empty.mp4", SourceError, "got an empty file"),
        ("{}/empty.jpg", SourceError, "expected a picture, got an empty file"),
        ("{}/text.jpg", SourceError, "expected a picture, got 5 bytes that are none"),
        ("{}/noise.mp4", SourceError, "expected a video, got one that cannot be opened"),
        ("/dev/null", SourceError, "expected a file, got a device or pipe"),
        ("{}/bare", SourceError, "expected a folder with .*, found none"),
    ],
)
def test_what_is_none_is_one_line(
    pictures: Path, text: str, error: type[Exception], message: str
) -> None:
    (pictures / "empty.mp4").touch()
    (pictures / "empty.jpg").touch()
    (pictures / "text.jpg").write_text("hello")
    (pictures / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (pictures / "bare").mkdir()
    with pytest.raises(error, match=message) as refused:
        open_source(text.format(pictures))
    assert "\n" not in str(refused.value)


def test_a_bad_picture_among_good_ones_is_named_when_it_is_reached(pictures: Path) -> None:
    (pictures / "shot5.png").write_bytes(b"\x89PNG but no more")
    frames = frames_of(open_source(str(pictures)))
    assert [next(frames).index, next(frames).index] == [0, 1]
    with pytest.raises(SourceError, match=r"shot5\.png: expected a picture"):
        next(frames)


def test_no_camera() -> None:
    with pytest.raises(SourceError, match="camera 97: expected a camera, found none that opens"):
        open_source("camera:97")

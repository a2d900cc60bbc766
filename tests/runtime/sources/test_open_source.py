"""Which source a text means, and the one line for each text that means none."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from sam3_edge.errors import SourceError, UsageError
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.sources import open_source
from sam3_edge.runtime.sources.image import read_picture
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
        (
            "demo:" + "9" * 5000,
            UsageError,
            "expected a seed of digits after the colon, got '9{40}'",
        ),
        ("camera:", UsageError, "camera:: expected a camera's number, .* after the colon, got ''"),
        ("camera:x", UsageError, "or its device, such as camera:/dev/video0, .*, got 'x'"),
        ("camera:" + "9" * 5000, UsageError, "expected a camera's number"),
        ("csi:" + "9" * 5000, UsageError, "expected csi: and a camera's number"),
        ("a" * 300, SourceError, "folder or video, got: File name too long; check the path"),
        ("a" * 300 + "*", SourceError, "got: File name too long; check the path"),
        ("{}/loop.png", SourceError, "got: Too many levels of symbolic links; check the path"),
        ("no\0such.png", SourceError, "found none; check the path"),
        ("{}/note.txt/shot.png", SourceError, "found none; check the path"),
        ("{}/huge.jpg", SourceError, "a picture of at most 1024 MiB, got 1048576 MiB; check"),
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
    (pictures / "loop.png").symlink_to("loop.png")
    with (pictures / "huge.jpg").open("wb") as huge:
        huge.truncate(1 << 40)  # no block of it is written
    with pytest.raises(error, match=message) as refused:
        open_source(text.format(pictures))
    assert "\n" not in str(refused.value)


def test_bad_pictures_among_good_ones_are_left_out_and_told_at_the_end(pictures: Path) -> None:
    (pictures / "shot0.png").write_bytes(b"\x89PNG but no more")
    seen: list[Frame] = []
    with pytest.raises(SourceError, match=r"^.*shot0\.png: expected a picture, got 16 bytes"):
        seen.extend(frames_of(open_source(str(pictures))))
    (pictures / "shot5.png").touch()
    source = open_source(str(pictures))
    (pictures / "shot10.png").unlink()  # since it was listed
    with pytest.raises(SourceError, match=r"expected 5 pictures, got 3 of them .*shot0\.png: exp"):
        seen.extend(frames_of(source))
    assert [Path(frame.source).name for frame in seen] == [
        *("shot1.png", "shot2.png", "shot10.png"),
        *("shot1.png", "shot2.png"),
    ]
    assert [(frame.index, frame.dropped) for frame in seen] == [
        *((0, 1), (1, 1), (2, 1)),
        *((0, 1), (1, 1)),
    ]


def test_a_folder_of_bad_pictures_is_refused_when_it_is_opened(pictures: Path) -> None:
    for path in pictures.glob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(SourceError, match="expected 3 pictures, got 3 of them that cannot be read"):
        open_source(str(pictures))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_a_pipe_that_took_the_place_of_a_picture_holds_nobody_up(pictures: Path) -> None:
    frames = frames_of(open_source(str(pictures)))
    next(frames)
    (pictures / "shot2.png").unlink()
    os.mkfifo(pictures / "shot2.png")
    assert Path(next(frames).source).name == "shot10.png"
    with pytest.raises(SourceError, match="expected a picture, got a folder, device or pipe"):
        next(frames)


@pytest.mark.parametrize("name", ["a\nb.png", os.fsdecode(b"\xff.png"), "[1].png", "a*.png"])
def test_names_that_are_no_patterns_nor_text(pictures: Path, name: str) -> None:
    (pictures / "shot1.png").rename(pictures / name)
    (frame,) = frames_of(open_source(str(pictures / name)))
    assert frame.source == str(pictures / name)
    assert len(list(frames_of(open_source(str(pictures))))) == 3


@pytest.mark.skipif(os.name != "posix", reason="needs rights as POSIX has them")
def test_a_folder_on_the_way_that_is_closed(pictures: Path) -> None:
    closed = pictures / "closed"
    (closed / "in").mkdir(parents=True)
    (pictures / "shot1.png").rename(closed / "in" / "shot1.png")
    closed.chmod(0o600)
    open_source(str(pictures))  # what it needs is imported with all rights
    is_root = os.geteuid() == 0  # who may enter whatever is closed
    if is_root:
        os.seteuid(1234)
    try:
        for text in ("closed", "closed/in", "closed/in/shot1.png", "closed/in/*.png"):
            with pytest.raises(SourceError, match="Permission denied; check"):
                open_source(str(pictures / text))
    finally:
        if is_root:
            os.seteuid(0)
        closed.chmod(0o700)


def test_pictures_of_other_kinds(tmp_path: Path) -> None:
    """Grey, of 16 bits, with a palette, in CMYK, half transparent: 8 bits of BGR, as looked at."""
    red = Image.new("RGB", (20, 10), (255, 0, 0))
    for name, picture in {
        "cmyk.jpg": red.convert("CMYK"),
        "palette.png": red.convert("P"),
        "alpha.png": red.convert("RGBA"),
    }.items():
        picture.save(tmp_path / name)
        assert read_picture(tmp_path / name)[5, 5].tolist() == pytest.approx([0, 0, 255], abs=4)
    for depth, value in ((np.uint8, 120), (np.uint16, 120 * 257)):
        cv2.imwrite(str(tmp_path / "grey.png"), np.full((10, 20), value, depth))
        assert read_picture(tmp_path / "grey.png")[5, 5].tolist() == [120] * 3
    exif = Image.Exif()
    exif[0x112] = 6  # held upright, to be turned by a quarter
    red.save(tmp_path / "turned.jpg", exif=exif)
    assert read_picture(tmp_path / "turned.jpg").shape == (20, 10, 3)


def test_no_camera() -> None:
    with pytest.raises(SourceError, match="camera 97: expected a camera, found none that opens"):
        open_source("camera:97")

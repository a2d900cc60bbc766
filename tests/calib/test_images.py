"""Calibration pictures are all there and whole, or the one that is not is named."""

import hashlib
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from sam3_edge.calib.images import ENOUGH_IMAGES, open_images
from sam3_edge.errors import CalibrationError
from sam3_edge.runtime.preprocess import preprocess


def test_each_picture_is_what_the_network_sees(pictures: Path) -> None:
    images = open_images(pictures)
    assert images.names == tuple(sorted(path.name for path in pictures.iterdir()))
    expected = np.empty((28, 28, 3), np.uint8)
    for name, sha256, got in zip(images.names, images.sha256, images.pictures(28), strict=True):
        assert hashlib.sha256((pictures / name).read_bytes()).hexdigest() == sha256
        read = cv2.imread(str(pictures / name))
        assert read is not None
        preprocess(read.astype(np.uint8), expected)
        np.testing.assert_array_equal(got, expected)


def test_a_count_is_spread_over_the_names(pictures: Path) -> None:
    assert open_images(pictures, 3).names == ("00.png", "02.png", "04.png")
    assert open_images(pictures, 99).names == open_images(pictures).names
    assert open_images(pictures).spread(2).names == ("00.png", "03.png")


def test_few_are_too_few(pictures: Path, tmp_path: Path) -> None:
    assert open_images(pictures).too_few
    for index in range(ENOUGH_IMAGES):
        shutil.copy(pictures / "00.png", tmp_path / f"{index}.png")
    assert not open_images(tmp_path).too_few


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_a_picture_cut_short_is_named(tmp_path: Path, pictures: Path, suffix: str) -> None:
    shutil.copy(pictures / "00.png", tmp_path / "a.png")
    whole = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    path = tmp_path / f"half{suffix}"
    assert cv2.imwrite(str(path), whole)
    assert len(open_images(tmp_path)) == 2
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CalibrationError, match=rf"half\{suffix}: expected a whole picture"):
        open_images(tmp_path)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_it_is_named_where_opencv_shows_what_is_left(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """As OpenCV 4 does."""
    whole = cv2.imread(str(pictures / "00.png"))
    assert whole is not None
    assert cv2.imwrite(str(tmp_path / f"a{suffix}"), whole)
    monkeypatch.setattr(cv2, "imdecode", lambda _data, _flags: whole)
    assert len(open_images(tmp_path)) == 1
    data = (tmp_path / f"a{suffix}").read_bytes()
    (tmp_path / f"a{suffix}").write_bytes(data[:-20])
    with pytest.raises(CalibrationError, match=rf"a\{suffix}: expected a whole picture"):
        open_images(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_what_is_no_picture_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(CalibrationError, match=r"a\.jpg: expected a whole picture"):
        open_images(tmp_path)


def test_a_folder_without_pictures_is_refused(tmp_path: Path, pictures: Path) -> None:
    (tmp_path / "notes.txt").write_text("none here")
    shutil.copytree(pictures, tmp_path / "below")
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(CalibrationError, match="expected a folder with"):
            open_images(folder)

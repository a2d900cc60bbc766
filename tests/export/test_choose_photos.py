"""A build is never judged by the photos it was calibrated on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from sam3_edge.engines.bundle import Bundle
from sam3_edge.errors import CalibrationError
from sam3_edge.export.choose_photos import Photos, choose_photos
from sam3_edge.export.write_step import Recipe


@pytest.fixture
def recipe(default_bundle: Bundle) -> Recipe:
    return Recipe(source=default_bundle, backend="onnxruntime")


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[str, int], Path]:
    """folder(name, count): that many small pictures, each different from all others."""

    def make(name: str, count: int) -> Path:
        path = tmp_path / name
        path.mkdir()
        random = np.random.default_rng(len(name))
        for number in range(count):
            noise = random.integers(0, 256, (8, 8, 3)).astype(np.uint8)
            assert cv2.imwrite(str(path / f"{number:03}.png"), noise)
        return path

    return make


def options(calib: Path | None, images: Path | None = None) -> Photos:
    return Photos(
        calib=calib, num_calib=40, images=images, annotations=None, num_images=32, phrases=()
    )


def test_some_are_held_out(recipe: Recipe, folder: Callable[[str, int], Path]) -> None:
    said: list[str] = []
    images, evidence = choose_photos(recipe, options(folder("reef", 80)), said.append)
    assert images is not None
    assert evidence is not None
    assert (len(images), len(evidence)) == (40, 32)
    assert not set(images.sha256) & set(evidence.image_sha256)
    assert evidence.pictures == "photos held out of reef"
    assert not said


def test_copies_are_held_out_with_their_originals(
    recipe: Recipe, folder: Callable[[str, int], Path]
) -> None:
    path = folder("reef", 70)
    for picture in sorted(path.iterdir()):
        (path / f"copy_{picture.name}").write_bytes(picture.read_bytes())
    images, evidence = choose_photos(recipe, options(path), lambda _: None)
    assert images is not None
    assert evidence is not None
    assert not set(images.sha256) & set(evidence.image_sha256)


def test_a_small_folder_is_for_calibration_alone(
    recipe: Recipe, folder: Callable[[str, int], Path]
) -> None:
    said: list[str] = []
    images, evidence = choose_photos(recipe, options(folder("few", 5)), said.append)
    assert images is not None
    assert len(images) == 5
    assert evidence is None
    assert "rendered scenes" in said[0]
    assert "5 photos to calibrate on" in said[1]


def test_what_is_given_is_used(recipe: Recipe, folder: Callable[[str, int], Path]) -> None:
    train, valid = folder("train", 70), folder("valid2", 3)
    images, evidence = choose_photos(recipe, options(train, valid), lambda _: None)
    assert images is not None
    assert evidence is not None
    assert evidence.pictures == "photos in valid2"
    assert len(evidence) == 3
    (valid / "seen.png").write_bytes((train / "017.png").read_bytes())
    with pytest.raises(CalibrationError, match=r"got 017\.png in both; give others"):
        choose_photos(recipe, options(train, valid), lambda _: None)


def test_a_calibration_file_is_judged_by_scenes_with_a_warning(
    recipe: Recipe, tmp_path: Path
) -> None:
    said: list[str] = []
    file = tmp_path / "calibration.json"
    file.touch()
    assert choose_photos(recipe, options(file), said.append) == (None, None)
    assert "--images" in said[0]
    assert choose_photos(recipe, options(None), said.append) == (None, None)
    assert len(said) == 1


def test_nothing_is_held_out_where_no_phrase_is_known(
    recipe: Recipe, folder: Callable[[str, int], Path]
) -> None:
    manifest = replace(recipe.source.manifest, vocabulary=())
    silent = replace(recipe, source=replace(recipe.source, manifest=manifest))
    images, evidence = choose_photos(silent, options(folder("reef", 80)), lambda _: None)
    assert images is not None
    assert evidence is None
    asked = replace(options(folder("more", 80)), phrases=("fish",))
    _, evidence = choose_photos(silent, asked, lambda _: None)
    assert evidence is not None
    assert evidence.phrases == ("fish",)

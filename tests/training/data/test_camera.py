"""Each fault does what a camera's does, and without any nothing changes."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_edge.training.data.augmentation import Camera
from sam3_edge.training.data.camera import (
    DARKEST,
    coarser,
    compressed,
    motion_kernel,
    noisy,
    through_camera,
    underexposed,
    unevenly_lit,
)

NEVER = Camera(
    probability=1.0, uneven=0.0, blur=0.0, few_pixels=0.0, low_light=0.0, grey=0.0, jpeg=0.0
)


def picture(side: int = 96) -> NDArray[np.uint8]:
    """Coloured squares."""
    small = np.random.default_rng(0).integers(40, 220, (side // 12, side // 12, 3), dtype=np.uint8)
    return np.repeat(np.repeat(small, 12, 0), 12, 1)


def detail(image: NDArray[np.uint8]) -> float:
    return float(cv2.Laplacian(image, cv2.CV_64F).var())


def test_without_it_nothing_changes_and_nothing_is_drawn() -> None:
    rng, image = np.random.default_rng(0), picture()
    assert through_camera(image, rng, Camera()) is image
    assert rng.random() == np.random.default_rng(0).random()
    assert through_camera(image, rng, NEVER) is image


@pytest.mark.parametrize("seed", range(30))
def test_a_draw_is_the_generators_and_leaves_the_picture_alone(seed: int) -> None:
    image, every = picture(), Camera(probability=1.0)
    one, same = (through_camera(image, np.random.default_rng(seed), every) for _ in range(2))
    assert one.dtype == np.uint8
    assert one.shape == image.shape
    assert np.array_equal(one, same)
    assert np.array_equal(image, picture())


@pytest.mark.parametrize(
    "camera",
    [
        replace(NEVER, uneven=1.0),
        replace(NEVER, blur=1.0),
        replace(NEVER, few_pixels=1.0),
        replace(NEVER, low_light=1.0),
        replace(NEVER, grey=1.0),
        replace(NEVER, jpeg=1.0),
    ],
    ids=["uneven", "blur", "few pixels", "low light", "grey", "jpeg"],
)
def test_each_fault_changes_the_picture_and_none_destroys_it(camera: Camera) -> None:
    image = picture(336)
    for seed in range(10):
        made = through_camera(image, np.random.default_rng(seed), camera)
        assert not np.array_equal(made, image)
        assert np.corrcoef(made.mean(axis=2).ravel(), image.mean(axis=2).ravel())[0, 1] > 0.5


def test_light_fades_towards_the_edge_and_no_further_than_told() -> None:
    white = np.full((64, 64, 3), 200, np.uint8)
    for seed in range(10):
        made = unevenly_lit(white, np.random.default_rng(seed), 0.4)
        assert made.min() >= 0.4 * 200 - 1
        assert made.max() > 190
        assert made[:2].mean() < made[16:48, 16:48].mean()


@pytest.mark.parametrize("angle", [0.0, 0.5, np.pi / 2, 3.0])
@pytest.mark.parametrize("length", [2.0, 5.5, 9.0])
def test_motion_moves_nothing_and_keeps_the_light(length: float, angle: float) -> None:
    kernel = motion_kernel(length, angle)
    assert kernel.sum() == pytest.approx(1.0)
    assert np.allclose(kernel, kernel[::-1, ::-1])
    assert (kernel > 0).sum() >= length / 2


def test_fewer_pixels_show_less() -> None:
    image = picture()
    assert detail(image) > detail(coarser(image, 0.8)) > detail(coarser(image, 0.4))
    assert abs(coarser(image, 0.4).mean() - image.mean()) < 2.0


def test_dark_pictures_are_not_made_darker() -> None:
    image = np.full((32, 32, 3), 25, np.uint8)
    dark = replace(NEVER, low_light=1.0, noise=(0.0, 0.0), gamma=(1.0, 1.0), exposure=(0.3, 0.3))
    assert np.array_equal(through_camera(image, np.random.default_rng(0), dark), image)
    bright = np.full((32, 32, 3), 200, np.uint8)
    made = through_camera(bright, np.random.default_rng(0), dark)
    assert DARKEST <= made.mean() < 70
    assert np.array_equal(underexposed(bright, 1.0, 1.0), bright)


@pytest.mark.parametrize("seed", range(4))
def test_noise_has_the_deviation_told_and_grows_with_the_light(seed: int) -> None:
    spread = []
    for light in (40, 128, 200):
        flat = np.full((96, 96, 3), light, np.uint8)
        made = noisy(flat, np.random.default_rng(seed), 6.0).astype(float)
        assert abs(made.mean() - light) < 0.5
        spread.append(made.std())
    assert spread[1] == pytest.approx(6.0, abs=0.4)
    assert spread[0] < spread[1] < spread[2]


def test_noise_differs_from_draw_to_draw() -> None:
    flat = np.full((48, 64, 3), 100, np.uint8)
    first, second = (noisy(flat, np.random.default_rng(seed), 6.0) for seed in (0, 1))
    assert first.shape == flat.shape
    assert (first != second).mean() > 0.5


def test_a_lower_quality_is_further_from_the_picture() -> None:
    image = cv2.GaussianBlur(picture(), (5, 5), 0).astype(np.uint8)
    away = [np.abs(compressed(image, q).astype(int) - image).mean() for q in (20, 50, 90)]
    assert away[0] > away[1] > away[2]

"""Water changes colours smoothly and keeps what is seen; without it nothing changes."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_edge.training.data.augmentation import Water
from sam3_edge.training.data.water import (
    CELLS,
    balanced,
    distances,
    seen_through,
    through_water,
    with_specks,
)

ALWAYS = Water(probability=1.0, balance=0.5, snow=0.3)


def picture(
    side: int = 64, cast: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> NDArray[np.uint8]:
    """Bright and dark bars, seen in light of the colour `cast`."""
    bars = np.where(np.arange(side) % 16 < 8, 60.0, 200.0)[:, None, None] * np.array(cast)
    image: NDArray[np.uint8] = np.repeat(np.round(bars).astype(np.uint8), side, axis=1)
    return image


def test_without_it_nothing_changes_and_nothing_is_drawn() -> None:
    rng, image = np.random.default_rng(0), picture()
    assert through_water(image, rng, Water()) is image
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("seed", range(30))
def test_a_draw_is_the_generators_and_leaves_the_picture_alone(seed: int) -> None:
    image = picture()
    one, same = (through_water(image, np.random.default_rng(seed), ALWAYS) for _ in range(2))
    assert one.dtype == np.uint8
    assert one.shape == image.shape
    assert np.array_equal(one, same)
    assert np.array_equal(image, picture())


@pytest.mark.parametrize("seed", range(30))
def test_what_was_brighter_stays_brighter(seed: int) -> None:
    """At the worst the farthest bars keep a tenth of their contrast."""
    made = through_water(picture(), np.random.default_rng(seed), Water(probability=1.0, snow=0.0))
    light = made.mean(axis=(1, 2)).reshape(-1, 8).mean(axis=1)
    assert (light[1::2] - light[::2] > 14).all()


def test_casts_go_from_blue_to_green_to_brown() -> None:
    strong = Water(probability=1.0, absorb=1.0, path=(1.2, 1.2), murk=0.0, balance=0.0, snow=0.0)
    strongest = {
        int(
            through_water(picture(), np.random.default_rng(seed), strong).mean(axis=(0, 1)).argmax()
        )
        for seed in range(40)
    }
    assert strongest == {0, 1, 2}


@pytest.mark.parametrize("cast", [(0.1, 0.5, 1.0), (0.3, 1.0, 0.5), (1.0, 0.7, 0.3)])
def test_balancing_takes_a_cast_out(cast: tuple[float, float, float]) -> None:
    image = picture(cast=cast)
    spread = [np.ptp(balanced(image, share).mean(axis=(0, 1))) for share in (0.0, 0.5, 1.0)]
    assert spread[0] == np.ptp(image.mean(axis=(0, 1)))
    assert spread[0] > spread[1] > spread[2]
    assert spread[2] < 3.0
    assert abs(balanced(image, 1.0).mean() - image.mean()) < 3.0


def test_distances_are_smooth_and_mostly_farther_at_the_top() -> None:
    drawn = [distances(np.random.default_rng(seed)) for seed in range(40)]
    for one in drawn:
        assert one.shape == (CELLS, CELLS)
        assert one.min() > 0.0
        assert one.max() == 1.0
    above = sum(one[: CELLS // 2].mean() > one[CELLS // 2 :].mean() for one in drawn)
    assert above > 25


def test_the_formation_model_holds_where_the_distance_varies_and_where_not() -> None:
    image = picture(48)
    direct, scattered = np.full((1, 1, 3), (0.3, 0.6, 0.9)), np.full((1, 1, 3), (5.0, 40.0, 60.0))
    expected = image * direct + scattered
    cells = (np.repeat(np.repeat(part, 4, 0), 4, 1) for part in (direct, scattered))
    for made in (seen_through(image, direct, scattered), seen_through(image, *cells)):
        assert np.abs(made - expected).max() < 1.5


@pytest.mark.parametrize("side", [168, 336])
def test_specks_only_add_light_and_cover_little(side: int) -> None:
    image = np.full((side, side, 3), 50, np.uint8)
    made = with_specks(image, np.random.default_rng(0), Water())
    assert (made >= image).all()
    assert 0.0 < (made[..., 0] > 55).mean() < 0.1

"""A picture as if it were taken through water, or with the colour of its water taken out.

The image formation model of Jaffe (1990) and McGlamery (1980) with the direct and the scattered
light each having coefficients of their own (Akkaynak and Treibitz, CVPR 2018, equation 20):

    I = J exp(-(a + b) z) + B (1 - exp(-b z))

J the picture, z how far away each pixel is, a what the water absorbs (by channel), b what it
scatters, B the water's own colour. It is applied to display values, where a power of the light is
still a product: only the sum is an approximation. Forward scattering is left to the camera's blur.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.training.data.augmentation import Water


class _Kind(NamedTuple):
    """absorbed: of red, green, blue, against the most. colour: RGB, 0..255."""

    absorbed: tuple[float, float, float]
    colour: tuple[int, int, int]


# From the open ocean (Jerlov's types I to III) to the coast (1C to 9C), and what has no colour.
KINDS = (
    _Kind((1.0, 0.30, 0.08), (20, 85, 150)),
    _Kind((1.0, 0.15, 0.20), (35, 120, 135)),
    _Kind((1.0, 0.10, 0.65), (60, 115, 65)),
    _Kind((0.5, 0.60, 1.00), (115, 105, 65)),
    _Kind((0.3, 0.30, 0.30), (135, 140, 140)),
)
# How evenly kinds are mixed: below 1 mostly one of them.
MIXING = 0.4
# The cells a side in which distances are computed; they are smooth.
CELLS = 16
# No channel is made brighter than so many times, or darker, to take a cast out.
MOST_GAIN = 1.6
# Lengths are given for pictures of this side, pixels.
REFERENCE_SIDE = 336


def through_water(
    image: NDArray[np.uint8], rng: np.random.Generator, water: Water
) -> NDArray[np.uint8]:
    """(S, S, 3) uint8 RGB, perhaps changed; nothing is drawn where the probability is 0."""
    if water.probability == 0.0 or rng.random() >= water.probability:
        return image
    if rng.random() < water.balance:
        image = balanced(image, rng.uniform(*water.balance_strength))
    mixed = rng.dirichlet([MIXING] * len(KINDS))
    absorbed, colour = (mixed @ np.array(part, float) for part in zip(*KINDS, strict=True))
    path = rng.uniform(*water.path) if rng.random() < water.absorb else 0.0
    veil = rng.uniform(*water.veil) if rng.random() < water.murk else 0.0
    distance = distances(rng) if rng.random() < water.uneven else np.ones((1, 1))
    passed = (1.0 - veil) ** distance[..., None]
    direct = np.exp(-path * (absorbed - absorbed.min()) * distance[..., None]) * passed
    scattered = colour * rng.uniform(*water.veil_light) * (1.0 - passed)
    seen = seen_through(image, direct, scattered)
    return with_specks(seen, rng, water) if rng.random() < water.snow else seen


def balanced(image: NDArray[np.uint8], strength: float) -> NDArray[np.uint8]:
    """Its cast taken out: the channels' means are made equal (grey world), by the share `strength`.

    First by a gain, within MOST_GAIN, as more of it would only show noise. What a channel then still
    lacks is filled up from the strongest one (Ancuti et al., IEEE TIP 2018, equation 4): the red
    that water took does not come back, but nor is everything blue any more.
    """
    means = np.array(cv2.mean(image)[:3]) + 1.0
    gain = np.clip(means.mean() / means, 1.0 / MOST_GAIN, MOST_GAIN)
    reached = means * gain
    strongest = int(reached.argmax())
    fill = np.eye(3)
    fill[:, strongest] += (reached[strongest] - reached) / reached[strongest]
    level = means.mean() / reached[strongest]
    matrix = (1.0 - strength) * np.eye(3) + strength * level * fill * gain
    return cv2.transform(image, matrix).astype(np.uint8, copy=False)


def distances(rng: np.random.Generator) -> NDArray[np.float64]:
    """(CELLS, CELLS), of at most 1: smooth, and mostly farther away at the top."""
    coarse = rng.random((4, 4), dtype=np.float32)
    bumps = cv2.resize(coarse, (CELLS, CELLS), interpolation=cv2.INTER_CUBIC)
    angle = rng.normal(0.0, 0.7)
    across = np.linspace(-1.0, 1.0, CELLS)
    slope = across * np.sin(angle) - across[:, None] * np.cos(angle)
    relief = slope + rng.uniform(0.3, 1.5) * bumps
    near = rng.uniform(0.05, 0.6)
    far: NDArray[np.float64] = (relief - relief.min()) / np.ptp(relief)
    return near + (1.0 - near) * far


def seen_through(
    image: NDArray[np.uint8], direct: NDArray[np.float64], scattered: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """image * direct (0..1) + scattered (0..255); both (h, w, 3) for the whole picture, of any resolution."""
    if direct.shape[:2] == (1, 1):
        table = np.arange(256)[:, None] * direct[0] + scattered[0]
        return cv2.LUT(image, np.round(table).clip(0, 255).astype(np.uint8)[None]).astype(
            np.uint8, copy=False
        )
    factor, veil = (
        cv2.resize(
            np.round(part).clip(0, 255).astype(np.uint8),
            image.shape[1::-1],
            interpolation=cv2.INTER_LINEAR,
        )
        for part in (255.0 * direct, scattered)
    )
    dimmed = cv2.multiply(image, factor, scale=1.0 / 255.0)
    return cv2.add(dimmed, veil).astype(np.uint8, copy=False)


def with_specks(
    image: NDArray[np.uint8], rng: np.random.Generator, water: Water
) -> NDArray[np.uint8]:
    """Marine snow: small pale specks in the light, a few of them near and out of focus."""
    side = image.shape[0]
    count = int(rng.integers(water.specks // 8, water.specks + 1))
    places = (16 * rng.uniform(0, side, (count, 2))).astype(int).tolist()
    sizes = side / REFERENCE_SIDE * (0.4 + rng.exponential(0.5, count))
    lights = rng.uniform(30.0, 110.0, count) / np.maximum(sizes, 1.0)
    specks = np.zeros(image.shape[:2], dtype=np.uint8)
    for place, radius, light in zip(places, sizes.tolist(), lights.tolist(), strict=True):
        cv2.circle(specks, place, round(16 * radius), light, -1, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(specks, (3, 3), 0)
    return cv2.add(image, cv2.merge((soft, soft, soft))).astype(np.uint8, copy=False)

"""A picture as a worse camera would have taken it, in the order in which light meets its parts.

Lamp and lens (uneven light), focus and motion (blur), few pixels, exposure and the sensor's noise,
no colour, JPEG.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.training.data.augmentation import Camera

# Lengths are given for pictures of this side, pixels.
REFERENCE_SIDE = 336
# The cells a side in which light is computed; it is smooth.
CELLS = 16
# No picture is made darker than this in the mean, of 255: nothing would be left to see.
DARKEST = 35.0
# How much more noise there is made than a picture has pixels a side, so that it can be shifted.
SHIFTS = 64


def through_camera(
    image: NDArray[np.uint8], rng: np.random.Generator, camera: Camera
) -> NDArray[np.uint8]:
    """(S, S, 3) uint8 RGB, perhaps changed; nothing is drawn where the probability is 0."""
    if camera.probability == 0.0 or rng.random() >= camera.probability:
        return image
    uneven, blur, few, dark, grey, jpeg = rng.random(6) < (
        camera.uneven,
        camera.blur,
        camera.few_pixels,
        camera.low_light,
        camera.grey,
        camera.jpeg,
    )
    if uneven:
        image = unevenly_lit(image, rng, rng.uniform(*camera.edge_light))
    if blur:
        image = blurred(image, rng, camera)
    if few:
        image = coarser(image, rng.uniform(*camera.pixels))
    if dark:
        light = max(rng.uniform(*camera.exposure), min(DARKEST / np.mean(cv2.mean(image)[:3]), 1.0))
        image = underexposed(image, light, rng.uniform(*camera.gamma))
        image = noisy(image, rng, rng.uniform(*camera.noise))
    if grey:
        # All channels alike: the usual weights would leave next to nothing of blue water.
        image = _uint8(cv2.transform(image, np.full((3, 3), 1.0 / 3.0)))
    return compressed(image, int(rng.integers(*camera.quality))) if jpeg else image


def unevenly_lit(
    image: NDArray[np.uint8], rng: np.random.Generator, edge_light: float
) -> NDArray[np.uint8]:
    """A vignette around the middle or a lamp's cone anywhere. edge_light: left farthest away."""
    across = np.linspace(-1.0, 1.0, CELLS)
    cone = rng.random() < 0.5
    x, y = rng.uniform(-0.5, 0.5, 2) if cone else (0.0, 0.0)
    distance = np.hypot(across - x, across[:, None] - y)
    distance /= distance.max()
    reach = rng.uniform(0.3, 0.6) if cone else 1.0
    light = np.exp(-((distance / reach) ** 2)) if cone else 1.0 - distance**2
    factor = np.round(255.0 * (edge_light + (1.0 - edge_light) * light)).astype(np.uint8)
    whole = cv2.resize(factor, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return _uint8(cv2.multiply(image, cv2.merge((whole, whole, whole)), scale=1.0 / 255.0))


def blurred(
    image: NDArray[np.uint8], rng: np.random.Generator, camera: Camera
) -> NDArray[np.uint8]:
    """Out of focus, or moved while the shutter was open. Little of it is likelier than much."""
    scale, strength = image.shape[0] / REFERENCE_SIDE, rng.random() ** 2
    if rng.random() < 0.5:
        low, high = camera.defocus
        return _uint8(cv2.GaussianBlur(image, (0, 0), scale * (low + strength * (high - low))))
    low, high = camera.motion
    kernel = motion_kernel(scale * (low + strength * (high - low)), rng.uniform(0.0, np.pi))
    return _uint8(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101))


def motion_kernel(length: float, angle: float) -> NDArray[np.float32]:
    """(k, k), sum 1: a straight line through the middle, of `length` pixels."""
    half = int(np.ceil(length / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), dtype=np.float32)
    steps = np.linspace(-length / 2, length / 2, 2 * half + 1)
    rows, columns = (np.round(half + steps * f(angle)).astype(int) for f in (np.sin, np.cos))
    np.add.at(kernel, (rows, columns), 1.0 / len(steps))
    return kernel


def coarser(image: NDArray[np.uint8], pixels: float) -> NDArray[np.uint8]:
    """As if the picture had had `pixels` of its pixels a side."""
    height, width = image.shape[:2]
    few = max(round(width * pixels), 1), max(round(height * pixels), 1)
    small = cv2.resize(image, few, interpolation=cv2.INTER_LINEAR)
    return _uint8(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def underexposed(image: NDArray[np.uint8], exposure: float, gamma: float) -> NDArray[np.uint8]:
    table = 255.0 * exposure * (np.arange(256) / 255.0) ** gamma
    return _uint8(cv2.LUT(image, np.round(table).clip(0, 255).astype(np.uint8)))


def noisy(
    image: NDArray[np.uint8], rng: np.random.Generator, deviation: float
) -> NDArray[np.uint8]:
    """Read noise and, growing with the root of the light, photon noise; `deviation` at half light."""
    side = max(image.shape[:2])
    grain = _grain(side, fine=bool(rng.random() < 0.5))
    y, x = rng.integers(SHIFTS, size=2)
    turned = grain[y : y + image.shape[0], x : x + image.shape[1]]
    spread = deviation * np.sqrt(0.3 + 0.7 * np.arange(256) / 128.0)
    deviations = cv2.LUT(image, spread.astype(np.float32))
    noise = cv2.multiply(deviations, turned)
    return _uint8(cv2.add(image, noise, dtype=cv2.CV_8U))


def compressed(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """There and back through JPEG; its channels are taken as BGR both ways."""
    _, coded = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))
    decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    assert decoded is not None
    return _uint8(decoded)


@lru_cache(maxsize=8)
def _grain(side: int, *, fine: bool) -> NDArray[np.float32]:
    """(side + SHIFTS, side + SHIFTS, 3) of deviation 1. Drawing it anew would take longest of all."""
    room = side + SHIFTS
    rng = np.random.default_rng(room)
    if fine:
        noise: NDArray[np.float32] = rng.standard_normal((room, room, 3), dtype=np.float32)
        return noise
    half = rng.standard_normal((room // 2 + 1, room // 2 + 1, 3), dtype=np.float32)
    coarse = cv2.resize(half, (room, room), interpolation=cv2.INTER_LINEAR)
    grown: NDArray[np.float32] = (coarse / coarse.std()).astype(np.float32)
    return grown


def _uint8(image: cv2.typing.MatLike) -> NDArray[np.uint8]:
    return image.astype(np.uint8, copy=False)

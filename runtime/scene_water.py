"""The sea of the demo scene: water column, light from above, haze, camera grain."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.runtime.scene_bottom import Gray, bottom_texture, fractal
from sam3_edge.runtime.scene_palettes import Colour, Palette, mix, pick_colour

_WHITE: Colour = (255.0, 255.0, 255.0)
_ABYSS: Colour = (20.0, 12.0, 5.0)
_LIGHT_ROWS, _LIGHT_COLUMNS = 96, 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Sea:
    """What stays the same in a scene.

    background: (H, W, 3) uint8 BGR; haze: the colour that distance fades to; turbidity: share
    of haze at depth 1, 0..1; horizon: height above which there is only water, share of H,
    negative when the bottom is seen from straight above; light: (96, 128) float32, how strongly
    the caustics show; glow: their tint, BGR; softness: whether the lens blurs a little;
    grain: strength of the camera's noise, 0..1.
    """

    background: NDArray[np.uint8]
    haze: Colour
    turbidity: float
    horizon: float
    light: Gray
    glow: Colour
    softness: bool
    grain: float


def build_sea(rng: np.random.Generator, palette: Palette, width: int, height: int) -> Sea:
    """A sea drawn from `palette`, for frames of width x height pixels."""
    water = pick_colour(rng, palette.water)
    near, far = mix(water, _WHITE, 0.35), mix(water, _ABYSS, 0.45)
    horizon = float(rng.uniform(-0.3, 0.75))
    turbidity = float(rng.uniform(0.15, 0.7))
    background = _background(rng, palette, (near, far), horizon, turbidity, (width, height))
    rows = np.linspace(0, 1, _LIGHT_ROWS, dtype=np.float32)[:, None]
    lit = np.clip((rows - horizon) * 3 + 0.3, 0.1, 1.0) * np.float32(rng.uniform(10, 110))
    return Sea(
        background=background, haze=mix(near, far, 0.5), turbidity=turbidity, horizon=horizon,
        light=np.repeat(lit, _LIGHT_COLUMNS, axis=1).astype(np.float32),
        glow=mix(water, _WHITE, 0.5), softness=bool(rng.random() < 0.4),
        grain=float(rng.uniform(0.01, 0.07)),
    )  # fmt: skip


def _background(
    rng: np.random.Generator, palette: Palette, water: tuple[Colour, Colour], horizon: float,
    turbidity: float, size: tuple[int, int],
) -> NDArray[np.uint8]:  # fmt: skip
    """Water from light to dark with sunbeams, and from the horizon down the hazy bottom."""
    width, height = size
    top = max(0, int(horizon * height))
    kind = palette.bottom_kinds[int(rng.integers(len(palette.bottom_kinds)))]
    tone = pick_colour(rng, palette.bottom)
    low, high = mix(tone, _ABYSS, 0.6), mix(tone, _WHITE, 0.25)
    texture = bottom_texture(rng, kind, width, height - top, horizon < 0)
    sink = np.linspace(0, 1, height, dtype=np.float32)[:, None] ** np.float32(rng.uniform(0.5, 1.5))
    fade = np.linspace(1, 0, height - top, dtype=np.float32)[:, None] ** 2
    veil = turbidity * (0.3 + 0.4 * fade) if horizon < 0 else np.maximum(fade, 0.45 * turbidity)
    beams = _sunbeams(rng, width, height) * (1 - sink) * np.float32(rng.uniform(0, 90))
    planes = []
    for light, dark, shadow, lit in zip(*water, low, high, strict=True):
        column = light + (dark - light) * sink
        plane = np.repeat(column, width, axis=1)
        plane[top:] = texture * ((1 - veil) * (lit - shadow)) + (
            veil * column[top:] + (1 - veil) * shadow
        )
        planes.append(cv2.convertScaleAbs(plane + beams * np.float32(0.3 + 0.7 * light / 255)))
    return np.asarray(cv2.merge(planes), np.uint8)


def _sunbeams(rng: np.random.Generator, width: int, height: int) -> Gray:
    """(height, width) slanted soft stripes in 0..1."""
    stripe = np.maximum(fractal(rng, width, 1, 9, 23) - np.float32(0.45), 0) * np.float32(2)
    field = np.repeat(stripe, height, axis=0)
    lean = np.array([[1.0, rng.uniform(-0.5, 0.5), 0.0], [0.0, 1.0, 0.0]])
    slanted = cv2.warpAffine(field, lean, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(slanted, np.float32)


@lru_cache(maxsize=1)
def _caustic_tile() -> Gray:
    """(256, 256) bright threads on dark, periodic: where two of many points are equally near."""
    points = np.random.default_rng(5).random((40, 2), dtype=np.float32)
    axis = np.arange(256, dtype=np.float32) / 256
    nearest = np.full((2, 256, 256), 9.0, np.float32)
    for x, y in points:
        dx, dy = np.abs(axis - x), np.abs(axis - y)
        dx, dy = np.minimum(dx, 1 - dx), np.minimum(dy, 1 - dy)
        distance = np.sqrt(dy[:, None] ** 2 + dx[None] ** 2)
        nearest[1] = np.minimum(nearest[1], np.maximum(nearest[0], distance))
        nearest[0] = np.minimum(nearest[0], distance)
    return np.asarray(np.exp(-40 * (nearest[1] - nearest[0])), np.float32)


def caustics(sea: Sea, seconds: float, width: int, height: int) -> NDArray[np.uint8]:
    """(height, width, 3) light to add to a frame: two nets that sway through each other."""
    y = np.arange(_LIGHT_ROWS, dtype=np.float32)[:, None]
    x = np.arange(_LIGHT_COLUMNS, dtype=np.float32)[None]
    y = y * 1.6 - (y - _LIGHT_ROWS) ** 2 * 0.004
    wave = 7 * np.sin(0.11 * y + 1.1 * seconds) + 5 * np.sin(0.13 * x + 0.7 * seconds)
    net = np.zeros_like(sea.light)
    for drift, scale in ((11.0, 1.3), (-8.0, 1.0)):
        across, down = x * scale + wave + drift * seconds % 256, y * scale * 1.5 + wave
        net += cv2.remap(
            _caustic_tile(), across, down, cv2.INTER_NEAREST, borderMode=cv2.BORDER_WRAP
        )
    small = cv2.blur(net * net * 0.25 * sea.light, (2, 2))
    full = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.merge([cv2.convertScaleAbs(full, alpha=tint / 255) for tint in sea.glow]))


@lru_cache(maxsize=4)
def _grain(width: int, height: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(7).normal(128, 42, (height + 64, width + 64, 3))
    return np.clip(noise, 0, 255).astype(np.uint8)


def finish(picture: NDArray[np.uint8], sea: Sea, index: int) -> NDArray[np.uint8]:
    """Adds what lies between the scene and the file: light, softness, grain."""
    height, width = picture.shape[:2]
    lit = cv2.add(picture, caustics(sea, index / 30, width, height))
    if sea.softness:
        lit = cv2.GaussianBlur(lit, (3, 3), 0)
    dx, dy = index * 29 % 64, index * 17 % 64
    grain = _grain(width, height)[dy : dy + height, dx : dx + width]
    return np.asarray(cv2.addWeighted(lit, 1.0, grain, sea.grain, -128 * sea.grain), np.uint8)

"""Who is in a scene and where each is at a given time."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sam3_edge.runtime import scene_creatures, scene_distractors
from sam3_edge.runtime.scene_creatures import Look, Sketch
from sam3_edge.runtime.scene_drawing import Placement
from sam3_edge.runtime.scene_palettes import Palette, mix, pick_colour

PHRASES: tuple[str, ...] = ("fish", "jellyfish", "starfish")
SHAPES: dict[str, Callable[[Look, float, float], Sketch]] = {
    "fish": scene_creatures.fish,
    "jellyfish": scene_creatures.jellyfish,
    "starfish": scene_creatures.starfish,
    "leaf": scene_distractors.leaf,
    "kelp": scene_distractors.kelp,
    "bubble": scene_distractors.bubble,
    "stone": scene_distractors.stone,
    "bag": scene_distractors.bag,
    "urchin": scene_distractors.urchin,
    "coral": scene_distractors.coral,
}
_DISTRACTORS = (
    "leaf",
    "leaf",
    "kelp",
    "bubble",
    "bubble",
    "stone",
    "stone",
    "bag",
    "urchin",
    "coral",
)
_ON_BOTTOM = frozenset({"starfish", "stone", "urchin", "coral", "kelp"})
# Short side over long side at its least: what keeps the short side above 3 % of the frame.
_SLENDERNESS = {"fish": 0.27, "jellyfish": 0.5, "starfish": 0.75}
# A traveller turns back to the other edge this far outside, in frames: more than half of 30 %.
_MARGIN = 0.19


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """One thing in the water. Lengths are shares of the frame's width (x) or height (y).

    depth: 0 near to 1 far; size: longer side, share of the frame; home: where it is at time 0;
    drift: shares of the width per second, 0 for those that stay; sway: amplitude of its
    wandering (x, y); tempo: radians per second; tilt: radians; spin: radians per second.
    """

    kind: str
    look: Look
    depth: float
    size: float
    home: tuple[float, float]
    drift: float
    rise: float
    sway: tuple[float, float]
    tempo: float
    tilt: float
    spin: float
    mirrored: bool
    squash: float
    shadow: float

    def placement(self, seconds: float, width: int, height: int) -> Placement:
        """Where it is at a time, in pixels of a frame of width x height."""
        x = self.home[0] + self.sway[0] * np.sin(self.tempo * seconds + self.look.phase)
        y = self.home[1] + self.sway[1] * np.sin(1.3 * self.tempo * seconds + 2 * self.look.phase)
        if self.drift:
            x = (x + self.drift * seconds + _MARGIN) % (1 + 2 * _MARGIN) - _MARGIN
        if self.rise:
            y = (y - self.rise * seconds + _MARGIN) % (1 + 2 * _MARGIN) - _MARGIN
        roll = 0.1 * np.sin(0.8 * self.tempo * seconds + 3 * self.look.phase)
        return Placement(
            x=float(x * width), y=float(y * height), size=self.size * (width + height) / 2,
            angle=float(self.tilt + roll + self.spin * seconds), mirrored=self.mirrored,
            squash=self.squash,
        )  # fmt: skip


def cast_actors(rng: np.random.Generator, palette: Palette, horizon: float) -> list[Actor]:
    """Five to twenty-five labelled actors and four to fourteen others, the farthest first."""
    weights = rng.uniform(0.3, 1.0, 3) * (rng.random(3) > 0.2)
    if not weights.any():
        weights = np.ones(3)
    count = round(8 + 17 * float(rng.beta(1.1, 2.0)))
    kinds = list(rng.choice(PHRASES, count, p=weights / weights.sum()))
    kinds += list(rng.choice(_DISTRACTORS, int(rng.integers(4, 15))))
    homes = _spread(rng, len(kinds))
    stays = 7  # the first ones never leave, so that at least five can be seen in every frame
    return [
        _actor(rng, palette, str(kind), homes[k], horizon, settled=k < stays)
        for k, kind in enumerate(kinds)
    ]


def _spread(rng: np.random.Generator, count: int) -> list[tuple[float, float]]:
    """Places that keep away from one another: each is the best of six tries."""
    chosen = np.empty((0, 2))
    for _ in range(count):
        tries = rng.uniform(0.08, 0.92, (6, 2))
        if len(chosen):
            gaps = ((tries[:, None] - chosen[None]) ** 2).sum(axis=2).min(axis=1)
            best = int(gaps.argmax()) if rng.random() < 0.75 else 0
        else:
            best = 0
        chosen = np.concatenate([chosen, tries[best : best + 1]])
    return [(float(x), float(y)) for x, y in chosen]


def _actor(
    rng: np.random.Generator, palette: Palette, kind: str, home: tuple[float, float],
    horizon: float, settled: bool,
) -> Actor:  # fmt: skip
    size = 0.045 + 0.25 * float(rng.beta(2.0, 3.6))
    size = max(size, 0.036 / _SLENDERNESS.get(kind, 1.0))
    x, y = home
    grounded = kind in _ON_BOTTOM and rng.random() < 0.8
    if grounded and horizon > 0:
        y = max(horizon, 0.0) + (1 - max(horizon, 0.0)) * (0.1 + 0.85 * y)
        y = min(y, 0.93)
    # Things on the bottom are as far as they are high up; swimmers are anywhere before that.
    depth = float(rng.uniform(0.0, 1.0))
    if grounded:
        depth = float(np.clip(1.0 - (y - horizon) / (1.0 - horizon), 0.0, 1.0)) * 0.5 + 0.5
    drift = rise = 0.0
    mirrored = bool(rng.random() < 0.5)
    tilt, spin = float(rng.normal(0.0, 0.2)), 0.0
    squash = 1.0
    if kind == "fish" and not settled:
        drift = float(rng.uniform(0.03, 0.13)) * (-1 if mirrored else 1)
    if kind == "leaf":
        drift, tilt = float(rng.uniform(-0.05, 0.05)), float(rng.uniform(-np.pi, np.pi))
    if kind == "bubble":
        size, rise = size * 0.35, float(rng.uniform(0.08, 0.16))
    if kind in ("jellyfish", "bag"):
        tilt = float(rng.normal(0.0, 0.5))
        rise = 0.0 if settled else float(rng.uniform(-0.02, 0.05))
    if kind in ("starfish", "urchin", "coral"):
        tilt, spin = float(rng.uniform(-np.pi, np.pi)), float(rng.uniform(-0.06, 0.06))
        squash = float(rng.uniform(0.6, 1.0)) if horizon > 0 else 1.0
    if kind == "kelp":
        size, tilt = size * 2.0, 0.0
    sway = 0.004 if grounded else 0.03
    return Actor(
        kind=kind, look=_look(rng, palette), depth=depth, size=size, home=(x, y), drift=drift,
        rise=rise, sway=(float(rng.uniform(0.2, 1) * sway), float(rng.uniform(0.2, 1) * sway)),
        tempo=float(rng.uniform(0.3, 1.2)), tilt=tilt, spin=spin, mirrored=mirrored,
        squash=squash, shadow=0.45 if grounded and kind != "kelp" else 0.0,
    )  # fmt: skip


def _look(rng: np.random.Generator, palette: Palette) -> Look:
    body = pick_colour(rng, palette.creature)
    trim = pick_colour(rng, palette.creature)
    return Look(
        shape=tuple(float(v) for v in rng.random(12)), body=body,
        trim=mix(body, trim, float(rng.uniform(0.2, 1.0))), ink=pick_colour(rng, palette.creature),
        pattern=palette.patterns[int(rng.integers(len(palette.patterns)))],
        phase=float(rng.uniform(0, 2 * np.pi)),
    )  # fmt: skip

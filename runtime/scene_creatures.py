"""The three labelled shapes of the demo scene: fish, jellyfish, starfish.

Every shape function takes a `Look`, the time in seconds and the size of a pixel, and gives a
`Sketch` about one unit across, centred near the origin, head or bell where the text says.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sam3_edge.runtime.scene_palettes import Colour, mix
from sam3_edge.runtime.scene_patterns import Mark, Points, ellipse, mapped, pattern_marks, split, xy

_DARK: Colour = (18.0, 14.0, 12.0)
_WHITE: Colour = (235.0, 238.0, 240.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What makes an individual. shape: twelve numbers in 0..1; phase: radians."""

    shape: tuple[float, ...]
    body: Colour
    trim: Colour
    ink: Colour
    pattern: str
    phase: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """A drawing in units of the creature's length.

    outline: polygons whose union is the silhouette; ground: the colour under all marks;
    opacity: 0..1; hollow: 0..1, how much clearer the middle is than the rim;
    relief: 0..1, strength of the light from above; rough: 0..1, strength of the surface grain.
    """

    outline: list[Points]
    ground: Colour
    marks: list[Mark]
    opacity: float = 1.0
    hollow: float = 0.0
    relief: float = 0.5
    rough: float = 0.15


# Closer together at both ends, where noses and tips of arms are round.
_U = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, 15))
_SIDES = np.concatenate([xy(_U, -1.0), xy(_U[::-1], 1.0)])
_BELLY = np.concatenate([xy(_U[1:], 0.35), xy(_U[:0:-1], 1.0)])
_FIN_ROOTS = (0.5 - np.array([0.22, 0.05, -0.12, -0.2, 0.0, -0.14, -0.22])) / 0.78
_GILL = np.array([[0.23, -0.6], [0.2, 0], [0.23, 0.6], [0.215, 0.6], [0.18, 0], [0.215, -0.6]])


def fish(look: Look, t: float, pixel: float) -> Sketch:
    """Seen from the side, head to the right."""
    s = look.shape
    half_height = 0.09 + 0.15 * s[0]
    stroke = (5.0 + 4.0 * s[3]) * t + look.phase

    def profile(u: Points) -> Points:
        bulge = np.sin(np.pi * np.clip(u, 0.0, 1.0) ** (0.55 + 0.35 * s[1]))
        return half_height * np.maximum(bulge, 0.0) ** (0.6 + 0.3 * s[2]) + 0.03 * u

    def surface(uv: Points) -> Points:
        return xy(0.5 - 0.78 * uv[:, 0], uv[:, 1] * profile(uv[:, 0]))

    def swim(points: Points) -> Points:
        x = points[:, 0]
        return xy(x, points[:, 1] + 0.07 * np.sin(stroke + 4.0 * x) * (0.5 - x) ** 2)

    skin = [(_SIDES, look.body), (_BELLY, mix(look.body, _WHITE, 0.25))]
    skin += pattern_marks(look.pattern, s[4:7], look.ink, look.body)
    flat = mapped(surface, [area for area, _ in skin])
    fins = _fins(s, profile, float(np.cos(stroke)))
    rays = _tail_rays(s) if pixel < 0.025 else []
    face = _face(look, half_height, t, pixel)
    shapes = mapped(swim, [*fins, *rays, *flat, *(area for area, _ in face)])
    tints = [mix(look.trim, _DARK, 0.35)] * len(rays)
    tints += [colour for _, colour in skin] + [colour for _, colour in face]
    body = shapes[len(fins) + len(rays)]
    marks = list(zip(shapes[len(fins) :], tints, strict=True))
    return Sketch(outline=[body, *shapes[: len(fins)]], ground=look.trim, marks=marks)


def _face(look: Look, half_height: float, t: float, pixel: float) -> list[Mark]:
    """Breast fin, gill slit and eye of a fish."""
    flap = 0.05 * np.sin(3.0 * t + look.phase)
    fin = np.array([[0.17, 0.02], [0.02, 0.10 + flap], [-0.03, 0.05 + flap], [0.05, 0.0]])
    marks: list[Mark] = [(fin * (1, 4 * half_height), mix(look.trim, look.body, 0.3))]
    if pixel < 0.03:
        marks.append((_GILL * (1, half_height), mix(look.body, _DARK, 0.45)))
    eye, y = 0.022 + 0.018 * look.shape[7], -0.24 * half_height
    marks.append((ellipse(0.38, y, eye, eye), _WHITE))
    marks.append((ellipse(0.385, y, 0.6 * eye, 0.6 * eye), _DARK))
    return marks


def _fins(s: tuple[float, ...], profile: Callable[[Points], Points], sweep: float) -> list[Points]:
    """Tail, dorsal, anal fin of a fish; `sweep` in -1..1 foreshortens the tail as it beats."""
    spread, fork = 0.09 + 0.12 * s[8], 0.14 * s[9]
    end = -0.5 + 0.04 * sweep
    tail = np.array(
        [[-0.25, -0.025], [-0.4, -0.75 * spread], [end, -spread], [end + fork, 0.0],
         [end, spread], [-0.4, 0.75 * spread], [-0.25, 0.025]]
    )  # fmt: skip
    rise = 0.04 + 0.1 * s[10]
    edge = profile(_FIN_ROOTS)
    back, belly = edge[:4], edge[4:]
    dorsal = np.array(
        [[0.22, 0.02 - back[0]], [0.08, -rise - back[1]],
         [-0.14, -0.6 * rise - back[2]], [-0.2, 0.02 - back[3]]]
    )  # fmt: skip
    anal = np.array(
        [[0.0, belly[0] - 0.02], [-0.15, belly[1] + 0.8 * rise], [-0.22, belly[2] - 0.01]]
    )
    pelvic = np.array(
        [[0.18, belly[0] * 0.9], [0.05, belly[0] + 0.7 * rise], [0.06, belly[0] * 0.8]]
    )
    return [tail, dorsal, anal, pelvic] if s[11] > 0.4 else [tail, dorsal, anal]


def _tail_rays(s: tuple[float, ...]) -> list[Points]:
    spread = 0.09 + 0.12 * s[8]
    return [
        np.array([[-0.28, 0.2 * v - 0.003], [-0.47, v], [-0.28, 0.2 * v + 0.003]])
        for v in (-0.65 * spread, -0.25 * spread, 0.25 * spread, 0.65 * spread)
    ]


_BELL_U, _BELL_V = np.linspace(0.0, 1.0, 9), np.linspace(-1.0, 1.0, 17)
_RIM = xy(1.0 + 0.05 * np.abs(np.sin(4.5 * np.pi * _BELL_V)), _BELL_V)
_BELL = np.concatenate([xy(_BELL_U, -1.0), _RIM, xy(_BELL_U[::-1], 1.0)])
_BAND = np.concatenate([_RIM, xy(np.full(17, 0.86), _BELL_V[::-1])])


def jellyfish(look: Look, t: float, pixel: float) -> Sketch:
    """A bell with its apex up, tentacles and thicker mouth arms below it."""
    s = look.shape
    pulse = np.sin((2.0 + 1.5 * s[0]) * t + look.phase)
    width = (0.24 + 0.14 * s[1]) * (1.0 + 0.1 * pulse)
    height = (0.26 + 0.16 * s[2]) * (1.0 - 0.08 * pulse)

    def surface(uv: Points) -> Points:
        u, v = uv[:, 0], uv[:, 1]
        half = width * (1.0 - np.maximum(1.0 - u, 0.0) ** (1.6 + 0.8 * s[3])) ** 0.55
        droop = (0.07 + 0.03 * pulse) * (1.0 - v * v) * u
        return xy(half * v, -0.48 + height * u + droop)

    glow = mix(look.body, _WHITE, 0.35)
    skin = [(_BELL, look.body), (_BAND, glow)]
    skin += pattern_marks(look.pattern, s[4:7], look.ink, look.body)
    skin.append((ellipse(0.35, -0.35, 0.1, 0.16), glow))
    shapes = mapped(surface, [area for area, _ in skin])
    marks = [(shape, colour) for shape, (_, colour) in zip(shapes, skin, strict=True)]
    threads = _threads(look, t, width, -0.5 + 0.95 * height, pixel)
    return Sketch(
        outline=[shapes[0], *threads], ground=look.trim, marks=marks,
        opacity=0.62 + 0.3 * s[7], hollow=0.45 * s[8], relief=0.35, rough=0.05,
    )  # fmt: skip


def _threads(look: Look, t: float, width: float, top: float, pixel: float) -> list[Points]:
    """Tentacles at the rim, then mouth arms under the middle, each a wavy tapering band."""
    s = look.shape
    thin, thick = 5 + int(5 * s[9]), 2 + int(2.99 * s[10])
    k = np.arange(thin + thick)[:, None]
    arm = k >= thin
    place = np.where(arm, (k - thin + 0.5) / thick - 0.5, 1.8 * (k + 0.5) / thin - 0.9)
    length = (0.45 - top) * (np.where(arm, 0.55, 0.6) + 0.4 * ((k * 0.618 + s[11]) % 1.0))
    along = np.linspace(0.0, 1.0, 11)
    wave = np.sin(2.5 * t + look.phase - (5.0 + 4.0 * s[6]) * along + 1.3 * k)
    x = width * place * (1.0 + 0.15 * along) + (0.02 + 0.03 * s[3]) * wave * along
    frill = np.where(arm, 0.035 * (1.0 + 0.3 * np.sin(18.0 * along + k)), 0.014)
    half = np.maximum(frill * (1.1 - 0.8 * along), 0.75 * pixel)
    y = top + length * along
    left, right = np.stack([x - half, y], axis=2), np.stack([x + half, y], axis=2)
    return list(np.concatenate([left, right[:, ::-1]], axis=1))


def starfish(look: Look, t: float, pixel: float) -> Sketch:
    """Four to six thick tapering arms about a disc, seen from above."""
    s = look.shape
    arms = (5, 5, 5, 5, 4, 6)[int(5.99 * s[0])]
    fat = (0.085 + 0.075 * s[1]) * (5 / arms) ** 0.5
    skin: list[Mark] = [(_SIDES, look.body)]
    skin += pattern_marks(look.pattern, s[4:7], look.ink, look.body)
    if pixel < 0.04:
        skin += _knobs(mix(look.body, _WHITE, 0.3), s[8])
    uv = np.concatenate([area for area, _ in skin])
    u, k = np.clip(uv[:, 0], 0.0, 1.0), np.arange(arms)[:, None]
    angle = 2 * np.pi * (k + 0.12 * np.sin(7.0 * k + 6.0 * s[2])) / arms
    reach = 0.5 * (0.84 + 0.16 * ((k * 0.618 + s[3]) % 1.0)) * u
    half = fat * (0.4 + 0.75 * (1.0 - u) ** 1.5) * np.sqrt(1.0 - u**8)
    curl = 0.12 * np.sin(0.7 * t + look.phase + 2.0 * k) + 0.1 * (s[7] - 0.5)
    side = curl * u * u + half * uv[:, 1]
    cos, sin = np.cos(angle), np.sin(angle)
    points = np.stack([reach * cos - side * sin, reach * sin + side * cos], axis=2)
    lengths = [len(area) for area, _ in skin]
    shapes = [split(arm, lengths) for arm in points]
    marks = [(shape, skin[n][1]) for arm in shapes for n, shape in enumerate(arm) if n]
    if look.pattern != "hood":
        marks.append((ellipse(0.0, 0.0, 0.5 * fat, 0.5 * fat), mix(look.trim, look.body, 0.4)))
    disc = ellipse(0.0, 0.0, 1.15 * fat, 1.15 * fat)
    outline = [disc, *(arm[0] for arm in shapes)]
    return Sketch(outline=outline, ground=look.body, marks=marks, relief=0.7, rough=0.35)


def _knobs(colour: Colour, style: float) -> list[Mark]:
    """The seam, or the row of knobs, along the middle of an arm, in surface coordinates."""
    if style < 0.5:
        return [(np.array([[0.1, -0.12], [0.9, -0.06], [0.9, 0.06], [0.1, 0.12]]), colour)]
    return [(ellipse(u, 0.0, 0.035, 0.25), colour) for u in (0.15, 0.35, 0.55, 0.75)]

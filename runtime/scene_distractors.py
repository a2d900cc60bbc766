"""Things that look a little like the labelled creatures and are not: they carry no label.

Same convention as the creatures: `Look`, time, size of a pixel -> `Sketch`.
"""

import numpy as np

from sam3_edge.runtime.scene_creatures import Look, Sketch
from sam3_edge.runtime.scene_palettes import Colour, mix
from sam3_edge.runtime.scene_patterns import Mark, Points, ellipse, xy

_DARK: Colour = (18.0, 14.0, 12.0)
_WHITE: Colour = (240.0, 242.0, 244.0)


def leaf(look: Look, t: float, pixel: float) -> Sketch:
    """Fish-like: a pointed blade with a stalk and veins, but no tail fin and no eye."""
    s = look.shape
    half = 0.09 + 0.13 * s[0]
    u = np.linspace(0.0, 1.0, 13)
    curl = (0.15 * np.sin(0.9 * t + look.phase) + 0.2 * (s[1] - 0.5)) * (u - 0.5) ** 2
    width = half * np.sin(np.pi * u ** (0.7 + 0.5 * s[2]))
    width = width * (1.0 + 0.08 * s[3] * (np.arange(13) % 2))
    x = 0.36 - 0.72 * u
    blade = np.concatenate([xy(x, curl - width), xy(x, curl + width)[::-1]])
    midrib = np.concatenate([xy(x, curl - 0.009), xy(x, curl + 0.009)[::-1]])
    stalk = np.array(
        [[-0.34, -0.012], [-0.5, 0.03 * s[4]], [-0.5, 0.03 * s[4] + 0.02], [-0.34, 0.012]]
    )
    vein = mix(look.body, _DARK if s[5] > 0.5 else _WHITE, 0.4)
    marks: list[Mark] = [(midrib, vein)]
    if pixel < 0.025:
        for k in (3, 5, 7, 9):
            for side in (-0.8, 0.8):
                root, tip = (x[k], curl[k]), (x[k - 2], curl[k - 2] + side * width[k - 2])
                marks.append((np.array([root, tip, (root[0] + 0.015, root[1])]), vein))
    return Sketch(outline=[blade, stalk], ground=look.body, marks=marks, relief=0.3)


def kelp(look: Look, t: float, pixel: float) -> Sketch:
    """Long wavy blades that rise from one root at the lower end."""
    s = look.shape
    along = np.linspace(0.0, 1.0, 13)
    outline: list[Points] = []
    marks: list[Mark] = []
    for k in range(2 + int(2.99 * s[0])):
        sway = 0.05 * np.sin(1.1 * t + look.phase + 3.0 * along + 1.7 * k) * along
        lean = (0.25 * ((k * 0.618 + s[1]) % 1.0) - 0.12) * along**1.5
        height = 0.6 + 0.4 * ((k * 0.414 + s[2]) % 1.0)
        half = (0.018 + 0.02 * s[3]) * np.sin(np.pi * (0.12 + 0.85 * along)) ** 0.6
        half = half * (1.0 + 0.25 * np.sin(25.0 * along + k))
        x, y = sway + lean, 0.5 - height * along
        outline.append(np.concatenate([xy(x - half, y), xy(x + half, y)[::-1]]))
        rib = np.maximum(0.15 * half, 0.5 * pixel)
        middle = np.concatenate([xy(x - rib, y), xy(x + rib, y)[::-1]])
        marks.append((middle, mix(look.body, _DARK, 0.35)))
    return Sketch(outline=outline, ground=look.body, marks=marks, relief=0.3)


def bubble(look: Look, t: float, _pixel: float) -> Sketch:
    """A clear sphere: bright rim, one highlight."""
    wobble = 0.04 * np.sin(6.0 * t + look.phase)
    glint = [(ellipse(-0.18, -0.2, 0.12, 0.09), _WHITE), (ellipse(0.2, 0.24, 0.06, 0.05), _WHITE)]
    body = ellipse(0, 0, 0.5 + wobble, 0.5 - wobble)
    return Sketch(
        outline=[body], ground=mix(look.body, _WHITE, 0.75), marks=list(glint),
        opacity=0.75, hollow=0.95, relief=0.2, rough=0.0,
    )  # fmt: skip


def stone(look: Look, _t: float, _pixel: float) -> Sketch:
    """A rounded, grainy lump; half of them wear bands, as some fish do."""
    s = look.shape
    angle = np.linspace(0.0, 2 * np.pi, 18, endpoint=False)
    radius = 0.44 + 0.05 * np.sin(2 * angle + 6 * s[0]) + 0.03 * np.sin(3 * angle + 6 * s[1])
    body = xy(radius * np.cos(angle), (0.55 + 0.4 * s[2]) * radius * np.sin(angle))
    marks: list[Mark] = []
    if s[3] > 0.5:
        tilt = 0.3 * (s[4] - 0.5)
        band = np.array(
            [[-0.6, -0.08 - tilt], [0.6, -0.08 + tilt], [0.6, 0.02 + tilt], [-0.6, 0.03 - tilt]]
        )
        marks.append((band, mix(look.body, look.ink, 0.4)))
    return Sketch(
        outline=[body],
        ground=mix(look.body, (110, 110, 110), 0.35),
        marks=marks,
        relief=0.9,
        rough=0.6,
    )


def bag(look: Look, t: float, _pixel: float) -> Sketch:
    """Jellyfish-like: a translucent crumpled bag, two handles up, open and bare below."""
    s = look.shape
    angle = np.linspace(0.0, 2 * np.pi, 20, endpoint=False)
    billow = 0.03 * np.sin(1.3 * t + look.phase + 3 * angle)
    crumple = 0.035 * np.sin(5 * angle + 6 * s[0]) + 0.03 * np.sin(7 * angle + 6 * s[1])
    x, y = np.cos(angle), np.sin(angle)
    squareness = np.maximum(np.abs(x), np.abs(y)) ** -(0.4 + 0.5 * s[2])
    radius = (0.33 + billow + crumple) * squareness
    body = xy(0.85 * radius * x, radius * y + 0.1)
    handles = [
        np.array([[c - 0.09, -0.2], [c - 0.07, -0.5], [c + 0.07, -0.5], [c + 0.09, -0.2],
                  [c + 0.04, -0.2], [c + 0.03, -0.42], [c - 0.03, -0.42], [c - 0.04, -0.2]])
        for c in (-0.15, 0.15)
    ]  # fmt: skip
    crease = mix(look.body, _DARK, 0.25)
    marks: list[Mark] = []
    for k in range(4):
        top, low = -0.25 + 0.16 * k, -0.25 + 0.16 * ((k * 2.6 + s[3]) % 4)
        marks.append((np.array([[top, -0.2], [0.6 * low, 0.42], [top + 0.02, -0.2]]), crease))
    pale = mix(look.body, _WHITE, 0.6)
    marks.append(
        (
            np.array([[-0.1, -0.05], [0.12, 0.0], [0.08, 0.2], [-0.12, 0.16]]),
            mix(pale, look.ink, 0.5),
        )
    )
    return Sketch(
        outline=[body, *handles], ground=pale, marks=marks, opacity=0.7, hollow=0.5, rough=0.15
    )


def urchin(look: Look, t: float, pixel: float) -> Sketch:
    """Starfish-like: a disc with nine to sixteen thin spikes."""
    s = look.shape
    count = 9 + int(7 * s[0])
    angle = 2 * np.pi * np.arange(count) / count
    inner = 0.14 + 0.1 * s[1]
    outline: list[Points] = [ellipse(0, 0, inner * 1.1, inner * 1.1)]
    for k, a in enumerate(angle):
        tip = 0.5 * (0.75 + 0.25 * ((k * 0.618 + s[2]) % 1.0))
        wide = max(0.18, 1.5 * pixel / inner)
        a_tip = a + 0.08 * np.sin(0.8 * t + look.phase + k)
        ray = [[inner * np.cos(a - wide), inner * np.sin(a - wide)],
               [tip * np.cos(a_tip - 0.03), tip * np.sin(a_tip - 0.03)],
               [tip * np.cos(a_tip + 0.03), tip * np.sin(a_tip + 0.03)],
               [inner * np.cos(a + wide), inner * np.sin(a + wide)]]  # fmt: skip
        outline.append(np.array(ray))
    marks: list[Mark] = [(ellipse(0, 0, 0.6 * inner, 0.6 * inner), mix(look.body, look.ink, 0.5))]
    return Sketch(outline=outline, ground=mix(look.body, _DARK, 0.3), marks=marks, rough=0.3)


def coral(look: Look, _t: float, _pixel: float) -> Sketch:
    """A flower-like colony: seven to nine round lobes, no arms that taper."""
    s = look.shape
    lobes = 7 + int(3 * s[0])
    angle = np.linspace(0.0, 2 * np.pi, 6 * lobes, endpoint=False)
    radius = 0.4 + (0.06 + 0.05 * s[1]) * np.cos(lobes * angle)
    rim = xy(radius * np.cos(angle), radius * np.sin(angle))
    light, dark = mix(look.body, _WHITE, 0.3), mix(look.body, _DARK, 0.35)
    marks: list[Mark] = [
        (0.8 * rim, light),
        (0.62 * rim, look.body),
        (ellipse(0, 0, 0.13, 0.13), dark),
    ]
    return Sketch(outline=[rim], ground=dark, marks=marks, relief=0.6, rough=0.5)

"""Colours, bottoms and body patterns of the demo scene; the two splits share none of them.

A detector trained on one split and tested on the other can only have learned shapes.
"""

import colorsys
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

Split: TypeAlias = Literal["train", "held_out"]
Colour: TypeAlias = tuple[float, float, float]
"""Blue, green, red in 0..255."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourBand:
    """A box in HSV space. hue: degrees in 0..360; saturation, value: 0..1; each (low, high)."""

    hue: tuple[float, float]
    saturation: tuple[float, float]
    value: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """Everything that tells the pictures of one split from those of the other."""

    water: tuple[ColourBand, ...]
    bottom: tuple[ColourBand, ...]
    creature: tuple[ColourBand, ...]
    bottom_kinds: tuple[str, ...]
    patterns: tuple[str, ...]


def _bands(
    hues: tuple[tuple[float, float], ...],
    saturation: tuple[float, float],
    value: tuple[float, float],
) -> tuple[ColourBand, ...]:
    return tuple(ColourBand(hue=hue, saturation=saturation, value=value) for hue in hues)


# Creature hues interleave around the whole circle, so that neither split lacks a family of
# colours. Greys have no hue to tell them apart: they belong to the training split alone.
TRAIN_PALETTE = Palette(
    water=_bands(
        ((92, 118), (132, 158), (170, 184), (194, 204), (214, 232)), (0.3, 0.85), (0.3, 0.8)
    )
    + _bands(((30, 75),), (0.2, 0.5), (0.3, 0.65))
    + _bands(((0, 360),), (0.0, 0.12), (0.35, 0.8)),
    bottom=_bands(((0, 26), (44, 70), (90, 130), (200, 240)), (0.15, 0.55), (0.35, 0.85))
    + _bands(((0, 360),), (0.0, 0.12), (0.3, 0.9)),
    creature=_bands(
        ((0, 22), (36, 62), (76, 112), (126, 162), (176, 212), (226, 262), (276, 312), (326, 346)),
        (0.25, 1.0),
        (0.2, 1.0),
    )
    + _bands(((0, 360),), (0.0, 0.2), (0.1, 1.0)),
    bottom_kinds=("sand", "ripples", "pebbles", "rock", "mud", "meadow"),
    patterns=("plain", "bars", "spots", "back", "saddle", "speckle"),
)
HELD_OUT_PALETTE = Palette(
    water=_bands(((160, 169), (185, 193), (205, 213)), (0.4, 0.8), (0.4, 0.75)),
    bottom=_bands(((28, 42), (140, 190)), (0.2, 0.5), (0.4, 0.85)),
    creature=_bands(
        (
            (24, 34),
            (64, 74),
            (114, 124),
            (164, 174),
            (214, 224),
            (264, 274),
            (314, 324),
            (348, 358),
        ),
        (0.3, 1.0),
        (0.25, 1.0),
    ),
    bottom_kinds=("terraces", "dunes", "rubble"),
    patterns=("lines", "rings", "hood", "chevrons"),
)
PALETTES: dict[Split, Palette] = {"train": TRAIN_PALETTE, "held_out": HELD_OUT_PALETTE}


def pick_colour(rng: np.random.Generator, bands: tuple[ColourBand, ...]) -> Colour:
    """One colour, uniform in a band drawn at random."""
    band = bands[int(rng.integers(len(bands)))]
    hue = float(rng.uniform(*band.hue)) / 360.0
    saturation = float(rng.uniform(*band.saturation))
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, float(rng.uniform(*band.value)))
    return (255.0 * blue, 255.0 * green, 255.0 * red)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`first` with `share` (0..1) of `second` in it."""
    rest = 1.0 - share
    return (
        rest * first[0] + share * second[0],
        rest * first[1] + share * second[1],
        rest * first[2] + share * second[2],
    )

"""How strongly pictures are changed on their way to a sample."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Water:
    """How often a picture is seen through other water, and how much of it. Plain numbers are
    probabilities, pairs the range a value is drawn from.

    balance: its own cast is taken out first, by `balance_strength` of what makes the picture grey
    in the mean.
    absorb: light is lost on its way, e to the -`path` in the channel that loses most.
    murk: the water itself shines, and hides `veil` of what is farthest away; it is `veil_light`
    times as bright as its colour. uneven: distance differs over the picture, else it is one.
    snow: specks, at most `specks` of them.
    """

    probability: float = 0.0
    balance: float = 0.4
    balance_strength: tuple[float, float] = (0.5, 1.0)
    absorb: float = 0.7
    path: tuple[float, float] = (0.1, 1.4)
    murk: float = 0.6
    veil: tuple[float, float] = (0.1, 0.7)
    veil_light: tuple[float, float] = (0.6, 1.5)
    uneven: float = 0.6
    snow: float = 0.15
    specks: int = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """How often a picture is one of a worse camera, and how bad it is. Plain numbers are
    probabilities, of each fault by itself; pairs the range a value is drawn from. Lengths are pixels
    of a picture 336 wide.

    uneven: a vignette or a lamp's cone, which leaves `edge_light` farthest away. blur: half the time
    a Gaussian with the deviation `defocus`, else a line of the length `motion`. few_pixels: `pixels`
    of them a side. low_light: `exposure` times the light, to the power `gamma`, and `noise` at half
    of it (deviation, of 255). grey: no colour. jpeg: by its `quality`, the last not included.
    """

    probability: float = 0.0
    uneven: float = 0.25
    edge_light: tuple[float, float] = (0.35, 0.85)
    blur: float = 0.35
    defocus: tuple[float, float] = (0.4, 2.2)
    motion: tuple[float, float] = (2.0, 9.0)
    few_pixels: float = 0.25
    pixels: tuple[float, float] = (0.4, 0.9)
    low_light: float = 0.35
    exposure: tuple[float, float] = (0.35, 1.0)
    gamma: tuple[float, float] = (0.9, 1.5)
    noise: tuple[float, float] = (1.0, 14.0)
    grey: float = 0.08
    jpeg: float = 0.4
    quality: tuple[int, int] = (20, 91)


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How strongly pictures are changed. All but the stated are probabilities.

    mosaic: four pictures become one. copy_paste: objects of another picture are pasted in, at most
    `pasted_objects` of them, `pasted_scale` times as large; one without a mask only if its longer
    side is at most `pasted_rectangle` of the picture's, 0 for never. paste_foreign: the same with a
    picture of another source, once mosaics are made; there `foreign_oval` is the limit.

    Then, of what is left each time: zoom_in: a crop around one object, which takes `object_side`
    of its side; zoom_out: the picture on a canvas of its mean colour, `zoomed_side` as wide; whole:
    no crop; otherwise a crop of at least `crop` of the area, whose sides are stretched against each
    other by up to exp(`stretch`).

    hue: of 180, up or down. saturation, contrast: share, up or down. light: of 255, up or down.
    water, camera: come after these.
    """

    mosaic: float = 0.0
    copy_paste: float = 0.0
    pasted_objects: int = 4
    pasted_scale: tuple[float, float] = (0.5, 1.5)
    pasted_rectangle: float = 0.2
    paste_foreign: float = 0.0
    foreign_oval: float = 0.35
    zoom_in: float = 0.0
    object_side: tuple[float, float] = (0.15, 0.6)
    zoom_out: float = 0.0
    zoomed_side: tuple[float, float] = (0.3, 0.9)
    whole: float = 0.33
    crop: float = 0.3
    stretch: float = 0.2
    flip: float = 0.5
    hue: float = 12.0
    saturation: float = 0.4
    contrast: float = 0.3
    light: float = 30.0
    grey: float = 0.05
    blur: float = 0.1
    water: Water = field(default_factory=Water)
    camera: Camera = field(default_factory=Camera)

    @classmethod
    def none(cls) -> "Augmentation":
        """Every picture as it is at inference."""
        return cls(
            whole=1.0,
            flip=0.0,
            hue=0.0,
            saturation=0.0,
            contrast=0.0,
            light=0.0,
            grey=0.0,
            blur=0.0,
        )


DEFAULT = Augmentation()

"""How strongly pictures are changed on their way to a sample."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How strongly pictures are changed. All but the stated are probabilities.

    mosaic: four pictures become one. copy_paste: objects of another picture are pasted in, at most
    `pasted_objects` of them, `pasted_scale` times as large; one without a mask only if its longer
    side is at most `pasted_rectangle` of the picture's, 0 for never.

    Then, of what is left each time: zoom_in: a crop around one object, which takes `object_side`
    of its side; zoom_out: the picture on a canvas of its mean colour, `zoomed_side` as wide; whole:
    no crop; otherwise a crop of at least `crop` of the area, whose sides are stretched against each
    other by up to exp(`stretch`).

    hue: of 180, up or down. saturation, contrast: share, up or down. light: of 255, up or down.
    """

    mosaic: float = 0.0
    copy_paste: float = 0.0
    pasted_objects: int = 4
    pasted_scale: tuple[float, float] = (0.5, 1.5)
    pasted_rectangle: float = 0.2
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

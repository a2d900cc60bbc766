"""Which part of a picture a sample shows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3_edge.training.data.augmentation import DEFAULT, Augmentation
from sam3_edge.training.data.labelled import LabelledPicture

# No crop that is put around an object is smaller, pixels: there would be nothing left to see.
LEAST_WINDOW = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """x0, y0, x1, y1: pixels of the picture that fill the sample; where they lie outside of it, the
    sample shows the picture's mean colour. flip: left to right.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    flip: bool = False


def chosen_window(
    picture: LabelledPicture, rng: np.random.Generator, mask_side: int, strength: Augmentation
) -> Window:
    height, width = picture.image.shape[:2]
    wanted = picture.boxes[~picture.ignore]
    if len(wanted) and rng.random() < strength.zoom_in:
        return zoomed_in_window(wanted[rng.integers(len(wanted))], width, height, rng, strength)
    if rng.random() < strength.zoom_out:
        return zoomed_out_window(width, height, rng, mask_side, strength)
    return random_window(width, height, rng, strength)


def random_window(
    width: int, height: int, rng: np.random.Generator, strength: Augmentation = DEFAULT
) -> Window:
    """The whole picture, or a part of it, slightly stretched."""
    flip = bool(rng.random() < strength.flip)
    if rng.random() < strength.whole:
        return Window(x0=0, y0=0, x1=width, y1=height, flip=flip)
    side = np.sqrt(rng.uniform(strength.crop, 1.0))
    stretch = np.exp(rng.uniform(-strength.stretch, strength.stretch))
    w, h = width * min(side * stretch, 1.0), height * min(side / stretch, 1.0)
    x0, y0 = rng.uniform(0.0, width - w), rng.uniform(0.0, height - h)
    return Window(x0=round(x0), y0=round(y0), x1=round(x0 + w), y1=round(y0 + h), flip=flip)


def zoomed_in_window(
    box: NDArray[np.float32],
    width: int,
    height: int,
    rng: np.random.Generator,
    strength: Augmentation = DEFAULT,
) -> Window:
    """A part of the picture, of its proportions, with all of one object in it, xyxy pixels."""
    frame = np.array([width, height], dtype=np.float64)
    low, high = box[:2].astype(np.float64), box[2:].astype(np.float64)
    share = ((high - low) / frame).max() / rng.uniform(*strength.object_side)
    side = frame * np.clip(share, LEAST_WINDOW / frame.max(), 1.0)
    first, last = (high - side).clip(0.0, frame - side), low.clip(0.0, frame - side)
    corner = first + rng.random(2) * (last - first)
    (x0, y0), (x1, y1) = np.floor(corner), np.ceil(corner + side).clip(0.0, frame)
    flip = bool(rng.random() < strength.flip)
    return Window(x0=x0, y0=y0, x1=x1, y1=y1, flip=flip)


def zoomed_out_window(
    width: int,
    height: int,
    rng: np.random.Generator,
    mask_side: int,
    strength: Augmentation = DEFAULT,
) -> Window:
    """More than the picture. It fills whole cells of the masks, so that these stay exact."""
    scale = rng.uniform(*strength.zoomed_side)
    stretch = np.exp(rng.uniform(-strength.stretch, strength.stretch))
    shares = scale * np.array([np.sqrt(stretch), 1.0 / np.sqrt(stretch)])
    cells = (2 * np.round(shares * mask_side / 2)).clip(2, mask_side)
    start = 2 * np.floor(rng.random(2) * ((mask_side - cells) / 2 + 1))
    frame = np.array([width, height])
    (x0, y0), (x1, y1) = -start * frame / cells, (mask_side - start) * frame / cells
    flip = bool(rng.random() < strength.flip)
    return Window(x0=x0, y0=y0, x1=x1, y1=y1, flip=flip)

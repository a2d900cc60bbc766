"""Detections painted over their frame, for people to look at."""

import unicodedata
from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.runtime import _kernels
from sam3_edge.runtime.detections import Detections

PaintFormat = Literal["BGR", "RGB", "BGRx", "RGBA", "NV12"]

# BGR. The colours of Okabe and Ito, told apart with every common kind of colour blindness.
PALETTE = (
    (0, 159, 230),  # orange
    (233, 180, 86),  # sky blue
    (66, 228, 240),  # yellow
    (167, 121, 204),  # purple
    (115, 158, 0),  # green
    (0, 94, 213),  # vermilion
    (178, 114, 0),  # blue
)
_MASK_STRENGTH = 0.4
_MOST_OUTLINE_PX = 16.0
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_DARK, _LIGHT = (20, 20, 20), (255, 255, 255)


def draw(
    image: NDArray[np.uint8],
    detections: Detections,
    prompts: Sequence[str],
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """A copy of `image`, (H, W, 3) uint8 BGR, with masks, outlines, boxes and labels.

    One colour per prompt; lines and letters grow with the frame. Best scores are drawn last.
    out: filled and returned where given, C-contiguous and of the same shape; may be `image`.
    Raises ValueError for another `out`.
    """
    canvas = _copy(image, out)
    height, width, channels = canvas.shape
    unit = _unit(height, width)
    paint_masks((canvas.reshape(height, width * channels),), "BGR", (height, width), detections)
    order = range(len(detections) - 1, -1, -1)
    for i in order:
        _draw_box(canvas, detections.boxes[i], _colour(detections, i), unit)
    for i in order:
        label = _label(detections, i, prompts)
        _draw_label(canvas, detections.boxes[i], label, _colour(detections, i), unit)
    return canvas


def paint_masks(
    planes: tuple[NDArray[np.uint8], ...],
    format: PaintFormat,  # noqa: A002
    size: tuple[int, int],
    detections: Detections,
) -> None:
    """Tints the masks and draws their outlines in place; the best score lies on top.

    planes: (rows, bytes a row) uint8, as `preprocess.plane_sizes` has them, rows any distance
    apart. size: (H, W). Raises ValueError for planes that do not fit the format or cannot be
    written, and for masks of a larger frame.
    """
    height, width = size
    entries = []
    for i in range(len(detections) - 1, -1, -1):
        mask = detections.masks[i]
        entries.append((mask.bits, *mask.origin, _colour(detections, i)))
    outline_px = min(max(1.0, 2.0 * _unit(height, width)), _MOST_OUTLINE_PX)
    _kernels.paint_masks(planes, format, height, width, tuple(entries), _MASK_STRENGTH, outline_px)


def _copy(image: NDArray[np.uint8], out: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    if out is None:
        return image.copy(order="C")
    if out.shape != image.shape or out.dtype != np.uint8 or not out.flags.c_contiguous:
        raise ValueError(
            f"out: expected {image.shape} uint8, C-contiguous, got {out.shape} {out.dtype}"
            f"{'' if out.flags.c_contiguous else ', not C-contiguous'}"
        )
    if out is not image:
        np.copyto(out, image)
    return out


def _unit(height: int, width: int) -> float:
    """What lines and letters are measured in: 1 at 1280 x 720."""
    return max(0.5, min(height, width) / 720)


def _colour(detections: Detections, i: int) -> tuple[int, int, int]:
    return PALETTE[int(detections.prompt_index[i]) % len(PALETTE)]


def _label(detections: Detections, i: int, prompts: Sequence[str]) -> str:
    """OpenCV's strokes know ASCII only: accents go, other scripts become question marks."""
    text = unicodedata.normalize("NFKD", prompts[detections.prompt_index[i]])
    plain = "".join(c for c in text if not unicodedata.combining(c)).encode("ascii", "replace")
    track = "" if detections.track_ids is None else f" #{detections.track_ids[i]}"
    return f"{plain.decode()[:32]}{track} {detections.scores[i]:.2f}"


def _draw_box(
    canvas: NDArray[np.uint8],
    box: NDArray[np.float32],
    colour: tuple[int, int, int],
    unit: float,
) -> None:
    height, width = canvas.shape[:2]
    x1, y1, x2, y2 = (round(float(edge)) for edge in box)
    corners = (x1, y1), (min(x2, width - 1), min(y2, height - 1))
    cv2.rectangle(canvas, *corners, colour, max(1, round(1.5 * unit)), cv2.LINE_AA)


def _draw_label(
    canvas: NDArray[np.uint8],
    box: NDArray[np.float32],
    label: str,
    colour: tuple[int, int, int],
    unit: float,
) -> None:
    """On a plate of the object's colour above its box; inside where the frame ends."""
    scale, thickness, margin = 0.6 * unit, max(1, round(1.3 * unit)), round(4 * unit)
    (text_width, text_height), base = cv2.getTextSize(label, _FONT, scale, thickness)
    width, height = text_width + 2 * margin, text_height + base + margin
    x = max(0, min(round(float(box[0])), canvas.shape[1] - width))
    above = round(float(box[1])) - height
    y = above if above >= 0 else min(round(float(box[1])), canvas.shape[0] - height)
    cv2.rectangle(canvas, (x, y), (x + width, y + height), colour, cv2.FILLED)
    blue, green, red = colour
    ink = _DARK if 0.114 * blue + 0.587 * green + 0.299 * red > 110 else _LIGHT
    baseline = (x + margin, y + margin // 2 + text_height + base // 4)
    cv2.putText(canvas, label, baseline, _FONT, scale, ink, thickness, cv2.LINE_AA)

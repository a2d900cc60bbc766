"""Masks, boxes and labels drawn into the planes of a picture, whatever its format."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.runtime.detections import Detections
from sam3_edge.runtime.draw import PALETTE, PaintFormat, paint_masks
from sam3_edge.runtime.gstreamer.element.layout import Picture

_Colour = tuple[int, ...]
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_DARK, _LIGHT = (20, 20, 20), (255, 255, 255)
# BT.601 of limited range: Y, U, V from blue, green, red of 0..255.
_YUV = np.array(
    [[24.966, 128.553, 65.481], [112.0, -74.203, -37.797], [-18.214, -93.786, 112.0]]
) / 255  # fmt: skip
_YUV_ZERO = np.array([16.0, 128.0, 128.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Canvas:
    """One plane. image: (h, w) or (h, w, channels). pixels: of the picture to one of its own.

    channels: which of blue, green, red, alpha or of Y, U, V its samples are.
    """

    image: NDArray[np.uint8]
    pixels: Literal[1, 2]
    channels: tuple[int, ...]
    is_yuv: bool

    def colour(self, bgr: tuple[int, int, int]) -> _Colour:
        if not self.is_yuv:
            return tuple((*bgr, 255)[channel] for channel in self.channels)
        yuv = _YUV @ np.array(bgr) + _YUV_ZERO
        return tuple(round(float(yuv[channel])) for channel in self.channels)


def draw_boxes(picture: Picture, detections: Detections, prompts: Sequence[str]) -> None:
    """Boxes and labels, best scores last. picture: writable; prompts: as `Detections` has them."""
    height, width = picture.size
    unit = max(0.5, min(height, width) / 720)
    canvases = _canvases(picture)
    for i in range(len(detections) - 1, -1, -1):
        edges = [round(float(edge)) for edge in detections.boxes[i]]
        x1, y1 = edges[:2]
        x2, y2 = min(edges[2], width - 1), min(edges[3], height - 1)
        colour = PALETTE[int(detections.prompt_index[i]) % len(PALETTE)]
        for canvas in canvases:
            _rectangle(canvas, (x1, y1, x2, y2), colour, max(1, round(1.5 * unit)))
        _draw_label(canvases, picture.size, (x1, y1), _label(detections, i, prompts), colour, unit)


def draw_masks(picture: Picture, detections: Detections) -> None:
    """Tints and outlines. picture: writable, of the size the masks are of."""
    if picture.format != "I420":
        paintable = cast("PaintFormat", picture.format)  # the element's caps have no other
        paint_masks(picture.planes, paintable, picture.size, detections)
        return
    luma, u, v = picture.planes
    chroma = cv2.merge((u, v))
    rows, columns = u.shape
    planes = (luma, np.asarray(chroma, np.uint8).reshape(rows, 2 * columns))
    paint_masks(planes, "NV12", picture.size, detections)
    u[:], v[:] = chroma[..., 0], chroma[..., 1]


def _canvases(picture: Picture) -> list[_Canvas]:
    planes, (height, width) = picture.planes, picture.size
    if picture.format in ("NV12", "I420"):
        luma = _Canvas(image=planes[0], pixels=1, channels=(0,), is_yuv=True)
        if picture.format == "I420":
            u = _Canvas(image=planes[1], pixels=2, channels=(1,), is_yuv=True)
            return [luma, u, _Canvas(image=planes[2], pixels=2, channels=(2,), is_yuv=True)]
        rows, row = planes[1].shape
        chroma = planes[1].reshape(rows, row // 2, 2)
        return [luma, _Canvas(image=chroma, pixels=2, channels=(1, 2), is_yuv=True)]
    channels = {"BGR": (0, 1, 2), "RGB": (2, 1, 0), "BGRx": (0, 1, 2, 3), "RGBA": (2, 1, 0, 3)}
    order = channels[picture.format]
    image = planes[0].reshape(height, width, len(order))
    return [_Canvas(image=image, pixels=1, channels=order, is_yuv=False)]


def _rectangle(
    canvas: _Canvas,
    edges: tuple[int, int, int, int],
    colour: tuple[int, int, int],
    thickness: int,
) -> None:
    x1, y1, x2, y2 = (edge // canvas.pixels for edge in edges)
    lines = thickness if thickness < 0 else max(1, round(thickness / canvas.pixels))
    cv2.rectangle(canvas.image, (x1, y1), (x2, y2), canvas.colour(colour), lines)


def _draw_label(
    canvases: list[_Canvas],
    size: tuple[int, int],
    corner: tuple[int, int],
    label: str,
    colour: tuple[int, int, int],
    unit: float,
) -> None:
    """On a plate of the object's colour above its box; inside where the picture ends."""
    scale, thickness, margin = 0.6 * unit, max(1, round(1.3 * unit)), round(4 * unit)
    (text_width, text_height), base = cv2.getTextSize(label, _FONT, scale, thickness)
    width, height = text_width + 2 * margin, text_height + base + margin
    x = max(0, min(corner[0], size[1] - width))
    above = corner[1] - height
    y = above if above >= 0 else max(0, min(corner[1], size[0] - height))
    for canvas in canvases:
        _rectangle(canvas, (x, y, x + width, y + height), colour, cv2.FILLED)
    blue, green, red = colour
    ink = _DARK if 0.114 * blue + 0.587 * green + 0.299 * red > 110 else _LIGHT
    baseline = (x + margin, y + margin // 2 + text_height + base // 4)
    # Letters on the first plane alone: on the chroma of the plate they would be too fine.
    canvas = canvases[0]
    cv2.putText(
        canvas.image, label, baseline, _FONT, scale, canvas.colour(ink), thickness, cv2.LINE_AA
    )


def _label(detections: Detections, i: int, prompts: Sequence[str]) -> str:
    """OpenCV's strokes know ASCII only: accents go, other scripts become question marks."""
    text = unicodedata.normalize("NFKD", prompts[detections.prompt_index[i]])
    plain = "".join(c for c in text if not unicodedata.combining(c)).encode("ascii", "replace")
    track = "" if detections.track_ids is None else f" #{detections.track_ids[i]}"
    return f"{plain.decode()[:32]}{track} {detections.scores[i]:.2f}"

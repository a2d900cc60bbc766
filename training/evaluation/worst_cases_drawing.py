"""An answer painted over its picture: what is true, found, missed and false."""

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.runtime.rle import decode_rle
from sam3_edge.training.evaluation.answers import Objects
from sam3_edge.training.evaluation.worst_cases import Case

# The longer side of what is shown, pixels.
SIDE = 720
_JPEG_QUALITY = 82
# BGR. Of Okabe and Ito, told apart with every common kind of colour blindness; words say it too.
TRUE, RIGHT, MISSED, WRONG = (115, 158, 0), (233, 180, 86), (66, 228, 240), (0, 94, 213)
_IGNORED = (160, 160, 160)
_STRENGTH = 0.35
_FONT = cv2.FONT_HERSHEY_SIMPLEX

_Colour = tuple[int, int, int]


def draw_case(image: NDArray[np.uint8], case: Case) -> NDArray[np.uint8]:
    """image: (H, W, 3) uint8 RGB -> BGR, at most SIDE pixels high and wide.

    Truth is green, a missed one yellow too; what was found is blue, what is false is red. Masks of
    what was found are tinted, those of the truth outlined, where they are known.
    """
    answer = case.answer
    scale = min(SIDE / max(answer.size), 1.0)
    size = max(1, round(answer.size[1] * scale)), max(1, round(answer.size[0] * scale))
    shrunk = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    canvas = np.ascontiguousarray(shrunk[:, :, ::-1], dtype=np.uint8)
    judged = [(i, RIGHT) for i in case.right] + [(i, WRONG) for i in case.wrong]
    for i, colour in judged:
        _tint(canvas, answer.found, i, answer.size, colour)
    for i in range(len(answer.truth)):
        _outline(canvas, answer.truth, i, answer.size)
    for i, box in enumerate(answer.truth.boxes * scale):
        _rectangle(canvas, box, _IGNORED if answer.ignore[i] else TRUE, 2)
    for i in case.missed:
        _rectangle(canvas, answer.truth.boxes[i] * scale, MISSED, 2, inset=2)
        if _has_room(answer.truth.boxes[i] * scale, "missed"):  # many small ones would hide all
            _label(canvas, answer.truth.boxes[i] * scale, "missed", MISSED, below=True)
    for i, colour in judged:
        word = "false " if colour == WRONG else ""
        box = answer.found.boxes[i] * scale
        _rectangle(canvas, box, colour, 2)
        _label(canvas, box, f"{word}{answer.scores[i]:.2f}", colour, below=False)
    return canvas


def encode_jpeg(image: NDArray[np.uint8]) -> bytes:
    """image: (H, W, 3) uint8 BGR."""
    good, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    assert good
    return bytes(data)


def _mask(
    objects: Objects, index: int, size: tuple[int, int], shape: tuple[int, ...]
) -> NDArray[np.uint8] | None:
    counts = None if objects.masks is None else objects.masks[index]
    if counts is None:
        return None
    bits = decode_rle(size, counts).view(np.uint8)
    shrunk = cv2.resize(bits, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST)
    return shrunk.astype(np.uint8, copy=False)


def _tint(
    canvas: NDArray[np.uint8], objects: Objects, index: int, size: tuple[int, int], colour: _Colour
) -> None:
    mask = _mask(objects, index, size, canvas.shape)
    if mask is not None:
        plain = np.empty_like(canvas)
        plain[:] = colour
        cv2.copyTo(cv2.addWeighted(canvas, 1 - _STRENGTH, plain, _STRENGTH, 0), mask, canvas)


def _outline(
    canvas: NDArray[np.uint8], objects: Objects, index: int, size: tuple[int, int]
) -> None:
    mask = _mask(objects, index, size, canvas.shape)
    if mask is not None:
        rings, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, rings, -1, TRUE, 1, cv2.LINE_AA)


def _rectangle(
    canvas: NDArray[np.uint8],
    box: NDArray[np.float64],
    colour: _Colour,
    thickness: int,
    inset: int = 0,
) -> None:
    x0, y0, x1, y1 = (round(float(edge)) for edge in box)
    corners = (x0 + inset, y0 + inset), (x1 - inset, y1 - inset)
    cv2.rectangle(canvas, *corners, colour, thickness, cv2.LINE_AA)


def _has_room(box: NDArray[np.float64], text: str) -> bool:
    (width, _), _ = cv2.getTextSize(text, _FONT, 0.42, 1)
    return bool(box[2] - box[0] > width)


def _label(
    canvas: NDArray[np.uint8], box: NDArray[np.float64], text: str, colour: _Colour, *, below: bool
) -> None:
    """On a plate of its colour: above the box, or under it, inside where the picture ends."""
    (width, height), base = cv2.getTextSize(text, _FONT, 0.42, 1)
    x = max(0, min(round(float(box[0])), canvas.shape[1] - width - 4))
    top = round(float(box[3])) if below else round(float(box[1])) - height - base - 2
    top = max(0, min(top, canvas.shape[0] - height - base - 2))
    cv2.rectangle(canvas, (x, top), (x + width + 4, top + height + base + 2), colour, cv2.FILLED)
    at = (x + 2, top + height + 2)
    cv2.putText(canvas, text, at, _FONT, 0.42, (20, 20, 20), 1, cv2.LINE_AA)

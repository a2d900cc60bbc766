"""A good call of every function of the extension, argument by argument."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sam3_edge.runtime import _kernels
from sam3_edge.runtime.rle import encode_rle

Kind = Literal["array", "index", "number", "text", "flag", "tuple", "format", "capsule", "box"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument of a function.

    good: makes what is accepted. written: an array that the function fills.
    strided: an array of bytes whose strides may be any. free: axes whose length is the caller's.
    accepts: numbers that are good although they are usually not.
    """

    name: str
    kind: Kind
    good: Callable[[], Any]
    written: bool = False
    strided: bool = False
    free: tuple[int, ...] = ()
    accepts: tuple[float, ...] = ()


def array(
    name: str, shape: tuple[int, ...], dtype: Any = np.float32, *, value: float = 0.25, **more: Any
) -> Argument:
    return Argument(name=name, kind="array", good=lambda: np.full(shape, value, dtype), **more)


def index(name: str, value: int, *accepts: int) -> Argument:
    return Argument(name=name, kind="index", good=lambda: value, accepts=accepts)


def number(name: str, value: float, *accepts: float) -> Argument:
    return Argument(name=name, kind="number", good=lambda: value, accepts=accepts)


def flag(name: str) -> Argument:
    return Argument(name=name, kind="flag", good=lambda: False)


def text(name: str) -> Argument:
    return Argument(name=name, kind="text", good=lambda: COUNTS)


def made(name: str, kind: Kind, good: Callable[[], Any]) -> Argument:
    return Argument(name=name, kind=kind, good=good)


# A frame of 5 x 6 with a window of 3 x 4 at (1, 1), all of it set.
FRAME = (index("height", 5), index("width", 6))
WINDOW = (*FRAME, index("x", 1, 0), index("y", 1, 0))
COUNTS = encode_rle(np.ones((3, 4), np.bool_), size=(5, 6), origin=(1, 1))
LOGITS = array("logits", (4, 7), free=(0, 1))
BOX = made("box", "box", lambda: (0.5, 1.0, 4.5, 3.0))
BITS = array("bits", (3, 4), np.bool_, value=1, free=(0, 1))
FILLED_BITS = array("bits", (3, 4), np.bool_, value=1, free=(0, 1), written=True)
SIDE = 4
ANY_SIDE = (0, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1)


def planes() -> tuple[Any, ...]:
    """NV12 of 5 x 6 pixels."""
    return np.full((5, 6), 99, np.uint8), np.full((3, 6), 128, np.uint8)


def masks() -> tuple[Any, ...]:
    return ((np.ones((3, 4), np.bool_), 1, 1, (255, 0, 9)),)


def texts() -> tuple[str, ...]:
    return COUNTS, encode_rle(np.ones((5, 6), np.bool_))


FUNCTIONS: dict[str, tuple[Argument, ...]] = {
    "encode_rle": (array("bits", (3, 4), np.bool_, free=(0, 1), strided=True), *WINDOW),
    "decode_rle": (FILLED_BITS, text("counts"), *WINDOW),
    "rle_measure": (text("counts"), *FRAME),
    "rle_intersect": (text("a"), text("b"), *FRAME),
    "line_filter": (index("num_in", 5), index("num_out", SIDE)),
    "preprocess": (
        array("out", (SIDE, SIDE, 3), np.uint8, value=7, written=True),
        made("planes", "tuple", planes),
        made("format", "format", lambda: "NV12"),
        *FRAME,
        made("rows", "capsule", lambda: _kernels.line_filter(5, SIDE)),
        made("columns", "capsule", lambda: _kernels.line_filter(6, SIDE)),
        flag("scalar"),
    ),
    "mask_window": (LOGITS, index("height", 5, 0), index("width", 6, 0), BOX),
    "mask_to_rle": (LOGITS, index("height", 5, 0), index("width", 6, 0), BOX, flag("scalar")),
    "mask_to_bits": (FILLED_BITS, LOGITS, *WINDOW, flag("scalar")),
    "mask_to_packed": (
        array("packed", (3, 1), np.uint8, value=1, free=(0,), written=True),
        LOGITS,
        *WINDOW,
        index("columns", 4, 1, 2, 3, 5),
        flag("scalar"),
    ),
    "mask_measure": (BITS,),
    "decode_outputs": (
        array("scores", (6,), written=True),
        array("out_boxes", (6, 4), written=True),
        array("prompts", (6,), np.int64, value=7, written=True),
        array("queries", (6,), np.int64, value=7, written=True),
        array("logits", (2, 3)),
        array("presence", (2, 1)),
        array("boxes", (2, 3, 4)),
        array("thresholds", (2,)),
        index("height", 5, *ANY_SIDE),
        index("width", 6, *ANY_SIDE),
        number("overlap", 0.5, np.nan, np.inf, -np.inf, -1.0, 2.0),
    ),
    "box_iou": (array("ious", (2, 3), written=True), array("a", (2, 4)), array("b", (3, 4))),
    "mask_iou": (
        array("ious", (2, 2), written=True),
        made("a", "tuple", texts),
        made("b", "tuple", texts),
        *FRAME,
    ),
    "suppress": (
        array("kept", (3,), np.int64, value=7, written=True),
        array("ious", (3, 3)),
        number("limit", 0.5, np.nan, np.inf, -np.inf, -1.0, 2.0),
    ),
    "paint_masks": (
        made("planes", "tuple", planes),
        made("format", "format", lambda: "NV12"),
        *FRAME,
        made("masks", "tuple", masks),
        number("strength", 0.5),
        number("thickness", 1.5, 2.0),
        flag("scalar"),
    ),
}


def good_call(function: str) -> list[Any]:
    return [argument.good() for argument in FUNCTIONS[function]]

"""What a caller of the library gives, checked before the engine sees it."""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sam3_edge.errors import UsageError
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.one_frame import Request
from sam3_edge.runtime.postprocess import Suppression

ArrayFormat = Literal["BGR", "RGB", "BGRx", "RGBA"]
MaskForm = Literal["rle", "bits"]
_LARGEST_PX = 32768  # what resizing takes
_LEAST = {"threads": 1, "every": 1, "frames": 1, "retries": 0, "width": 1, "height": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is asked besides the prompts. masks: what is made now. The others: as `postprocess` has
    them. Raises UsageError."""

    crop_masks: bool
    masks: MaskForm
    suppression: Suppression | None

    def __post_init__(self) -> None:
        if self.masks not in get_args(MaskForm):
            raise UsageError(f'masks: expected "rle" or "bits", got {self.masks!r}')
        if self.suppression is None:
            return
        if not isinstance(self.suppression, Suppression):
            raise UsageError(
                f"suppression: expected sam3_edge.Suppression, got {self.suppression!r}; try "
                'Suppression(iou=0.7, of="boxes")'
            )
        if not 0 <= self.suppression.iou <= 1 or self.suppression.of not in ("boxes", "masks"):
            raise UsageError(
                'suppression: expected an iou from 0 to 1 of "boxes" or "masks", got '
                f"{self.suppression}"
            )

    def at(self, request: Request) -> Request:
        return replace(
            request,
            crop_masks=self.crop_masks,
            mask_bits=self.masks == "bits",
            suppression=self.suppression,
        )


def frame_of_array(image: NDArray[Any], format: ArrayFormat) -> Frame:  # noqa: A002
    """image: (H, W, 3) uint8, or (H, W, 4) for the formats of four bytes; referred to, not copied,
    where the bytes of a row lie side by side. Raises UsageError."""
    if format not in get_args(ArrayFormat):
        names = ", ".join(get_args(ArrayFormat))
        raise UsageError(f"expected a format of {names}, got {format!r}")
    channels = 4 if format in ("BGRx", "RGBA") else 3
    expected = f"expected an image (H, W, {channels}) of uint8 for {format}, got "
    if not isinstance(image, np.ndarray):
        raise UsageError(f"{expected}{type(image).__name__}; read a file with stream()")
    if image.dtype != np.uint8:
        raise UsageError(f"{expected}{image.dtype}; scale it to 0..255 and convert it")
    if image.ndim != 3 or image.shape[2] != channels or image.size == 0:
        raise UsageError(f"{expected}{image.shape}; convert it, or name another format")
    height, width = image.shape[:2]
    if max(height, width) > _LARGEST_PX:
        raise UsageError(
            f"expected an image of at most {_LARGEST_PX} pixels a side, got {width}x{height}; "
            "cut it into smaller ones"
        )
    plane = image.reshape(height, width * channels)
    return Frame(
        # A broadcast array has no bytes side by side.
        planes=(plane if plane.strides[1] == 1 else np.ascontiguousarray(plane),),
        format=format,
        size=(height, width),
        source="array",
        index=0,
        time_s=0.0,
        captured_ns=time.monotonic_ns(),
        utc_ns=time.time_ns(),
    )


def as_texts(prompts: str | Sequence[str]) -> tuple[str, ...]:
    """One text is one prompt, not its letters. Raises UsageError."""
    if isinstance(prompts, str):
        return (prompts,)
    if not isinstance(prompts, Iterable):
        raise UsageError(f'expected prompts as text, got {prompts!r}; try ["fish"]')
    texts = tuple(prompts)
    for text in texts:
        if not isinstance(text, str):
            raise UsageError(f'expected prompts as text, got {text!r}; try ["fish"]')
    return texts


def check_threshold(threshold: float | None) -> None:
    if threshold is not None and not _is_number(threshold):
        raise UsageError(f"threshold: expected a number from 0 to 1, got {threshold!r}")


def check_numbers(**numbers: float | None) -> None:
    """Those of `_LEAST` are whole; the others more than zero. None is no number: the default.

    Raises UsageError.
    """
    for name, number in numbers.items():
        least = _LEAST.get(name)
        if number is None:
            continue
        is_number = _is_number(number)
        is_whole = is_number and isinstance(number, Integral)
        if least is not None and not (is_whole and number >= least):
            raise UsageError(f"{name}: expected a whole number from {least}, got {number!r}")
        if least is None and not (is_number and 0 < number < math.inf):  # NaN too
            raise UsageError(f"{name}: expected a number above 0, got {number!r}")


def source_texts(source: str | Path | Sequence[str | Path]) -> list[str]:
    given = [source] if isinstance(source, str | Path) else source
    if not isinstance(given, Sequence) or not given:
        raise UsageError(f'expected a source or a list of them, got {source!r}; try "camera:0"')
    for each in given:
        if not isinstance(each, str | Path):
            raise UsageError(f'expected a source as text, got {each!r}; try "camera:0"')
    return [str(each) for each in given]


def _is_number(value: object) -> bool:
    """NumPy's are; True is none."""
    return isinstance(value, Real) and not isinstance(value, bool)

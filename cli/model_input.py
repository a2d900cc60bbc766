"""What a caller of the library gives, checked before the engine sees it."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
_LEAST = {"threads": 1, "every": 1, "frames": 1, "retries": 0}


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
    return Frame(
        planes=(image.reshape(height, width * channels),),
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
    texts = (prompts,) if isinstance(prompts, str) else tuple(prompts)
    for text in texts:
        if not isinstance(text, str):
            raise UsageError(f'expected prompts as text, got {text!r}; try ["fish"]')
    return texts


def check_numbers(**numbers: float | None) -> None:
    """Those of `_LEAST` are whole; the others more than zero. None is no number: the default.

    Raises UsageError.
    """
    for name, number in numbers.items():
        least = _LEAST.get(name)
        if number is None:
            continue
        if least is not None and (type(number) is not int or number < least):
            raise UsageError(f"{name}: expected a whole number from {least}, got {number!r}")
        if least is None and not (0 < number < math.inf):  # NaN too
            raise UsageError(f"{name}: expected a number above 0, got {number!r}")


def source_texts(source: str | Path | Sequence[str | Path]) -> list[str]:
    given = [source] if isinstance(source, str | Path) else source
    if not isinstance(given, Sequence) or not given:
        raise UsageError(f'expected a source or a list of them, got {source!r}; try "camera:0"')
    for each in given:
        if not isinstance(each, str | Path):
            raise UsageError(f'expected a source as text, got {each!r}; try "camera:0"')
    return [str(each) for each in given]

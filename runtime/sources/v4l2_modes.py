"""Which of a camera's pixel formats, sizes and rates to take."""

import errno
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sam3_edge.errors import SourceError
from sam3_edge.runtime.preprocess import PixelFormat
from sam3_edge.runtime.sources import v4l2
from sam3_edge.runtime.sources.v4l2 import Control

__all__ = ["RAW", "CameraMode", "camera_modes", "choose_mode"]

WIDTH, HEIGHT, FPS = 1280, 720, 30.0  # where nobody asks
RAW: dict[str, PixelFormat] = {"YUYV": "YUY2", "NV12": "NV12", "YU12": "I420", "GREY": "GRAY8"}
# The best first: no conversion, none that loses anything, JPEG, no colour. OpenCV reads no others
# that cameras have.
_PREFERRED = ("YUYV", "NV12", "YU12", "UYVY", "BGR3", "RGB3", "MJPG", "GREY")
_ALSO_CALLED = {"YUY2": "YUYV", "I420": "YU12", "GRAY8": "GREY", "BGR": "BGR3", "RGB": "RGB3"}
_ALSO_CALLED |= {"MJPEG": "MJPG", "JPEG": "MJPG"}
_USUAL_SIZES = ((320, 240), (640, 480), (800, 600), (1280, 720), (1920, 1080), (3840, 2160))
_USUAL_RATES = (5.0, 10.0, 15.0, 25.0, 30.0, 50.0, 60.0)
_REACHED = 0.98  # 29.97 is 30
_MOST_LISTED = 12
_MOST_ANSWERS = 256  # of drivers that never say that it was the last
_Structure = TypeVar("_Structure", v4l2.V4l2FormatDescription, v4l2.V4l2FrameSize, v4l2.V4l2FrameInterval)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraMode:
    """pixel_format: V4L2's four letters. width, height: pixels. fps: a second; None where the
    driver does not say."""

    pixel_format: str
    width: int
    height: int
    fps: float | None

    def __str__(self) -> str:
        rate = "" if self.fps is None else f" at {self.fps:.4g}"
        return f"{self.pixel_format} {self.width}x{self.height}{rate}"


def choose_mode(
    modes: Sequence[CameraMode],
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
    pixel_format: str | None = None,
) -> CameraMode:
    """What is asked for is given or refused; what is not, is the nearest to 1280 x 720 at 30.

    A raw format is taken where it is as large and fast, then JPEG; the slowest rate that is fast
    enough. Raises SourceError that lists what there is.
    """
    asked = _asked(width, height, fps, pixel_format)
    fitting = [mode for mode in modes if mode.pixel_format in _PREFERRED]
    if pixel_format is not None:
        name = pixel_format.upper()
        name = _ALSO_CALLED.get(name, name)
        fitting = [mode for mode in fitting if mode.pixel_format == name]
    fitting = [mode for mode in fitting if width in (None, mode.width)]
    fitting = [mode for mode in fitting if height in (None, mode.height)]
    if fps is not None:
        fitting = [mode for mode in fitting if _reaches(mode, fps)]
    if not fitting:
        raise SourceError(f"expected a camera with {asked}, got one with {_listed(modes)}")
    size = min({(mode.width, mode.height) for mode in fitting}, key=_distance(width, height))
    fitting = [mode for mode in fitting if (mode.width, mode.height) == size]
    return min(fitting, key=lambda mode: _rank(mode, FPS if fps is None else fps))


def camera_modes(
    control: Control, width: int | None = None, height: int | None = None, fps: float | None = None
) -> list[CameraMode]:
    """All that the driver lists. Of a driver with ranges: what is asked for where it lies within,
    the usual sizes and rates, and the most it can. Raises OSError."""
    asked = ((width or WIDTH, height or HEIGHT), *_USUAL_SIZES)
    rates = _USUAL_RATES if fps is None else (fps, *_USUAL_RATES)
    return [
        CameraMode(pixel_format=_name(code), width=size[0], height=size[1], fps=rate)
        for code in dict.fromkeys(_formats(control))
        for size in _sizes(control, code, asked)
        for rate in _rates(control, code, size, rates)
    ]


def _formats(control: Control) -> Iterator[int]:
    def question(index: int) -> v4l2.V4l2FormatDescription:
        return v4l2.V4l2FormatDescription(index=index, type=v4l2.CAPTURE)

    for answer in _answers(control, v4l2.ENUM_FMT, question):
        yield int(answer.pixelformat)


def _sizes(control: Control, code: int, wanted: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    def question(index: int) -> v4l2.V4l2FrameSize:
        return v4l2.V4l2FrameSize(index=index, pixel_format=code)

    sizes: list[tuple[int, int]] = []
    for answer in _answers(control, v4l2.ENUM_FRAMESIZES, question):
        if answer.type == v4l2.DISCRETE:
            sizes.append((answer.sizes[0], answer.sizes[1]))
            continue
        columns, rows = _steps(answer.sizes[:3]), _steps(answer.sizes[3:])
        sizes += [size for size in wanted if size[0] in columns and size[1] in rows]
        if columns and rows:
            sizes.append((columns[-1], rows[-1]))
        break  # a range is the only answer
    return list(dict.fromkeys(sizes))


def _rates(
    control: Control, code: int, size: tuple[int, int], wanted: Sequence[float]
) -> list[float | None]:
    def question(index: int) -> v4l2.V4l2FrameInterval:
        return v4l2.V4l2FrameInterval(index=index, pixel_format=code, width=size[0], height=size[1])

    rates: list[float | None] = []
    for answer in _answers(control, v4l2.ENUM_FRAMEINTERVALS, question):
        intervals = answer.intervals
        fastest = _rate(intervals[0], intervals[1])
        if answer.type == v4l2.DISCRETE:
            rates.append(fastest)
            continue
        slowest = _rate(intervals[2], intervals[3])
        if fastest is not None and slowest is not None:
            rates += [rate for rate in wanted if slowest <= rate < fastest]
        rates.append(fastest)
        break
    return list(dict.fromkeys(rates)) or [None]


def _answers(
    control: Control, request: int, question: Callable[[int], _Structure]
) -> Iterator[_Structure]:
    """One for every index, until the driver knows no more; of what it does not know, none."""
    for index in range(_MOST_ANSWERS):
        structure = question(index)
        try:
            control(request, structure)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTTY, errno.ENODATA):
                return
            raise
        yield structure


def _steps(least_most_step: Sequence[int]) -> range:
    least, most, step = least_most_step
    return range(least, most + 1, max(1, step))


def _rate(numerator: int, denominator: int) -> float | None:
    """Of an interval in seconds."""
    return denominator / numerator if numerator and denominator else None


def _reaches(mode: CameraMode, fps: float) -> bool:
    return mode.fps is None or mode.fps >= _REACHED * fps


def _rank(mode: CameraMode, fps: float) -> tuple[bool, float, int, float]:
    """Smaller is better: fast enough, else fastest; then the format, then no faster than needed."""
    order = _PREFERRED.index(mode.pixel_format)
    rate = math.inf if mode.fps is None else mode.fps
    if _reaches(mode, fps):
        return False, 0.0, order, rate
    return True, -rate, order, rate


def _distance(width: int | None, height: int | None) -> Callable[[tuple[int, int]], float]:
    """Of a size to what was asked for: equal sides, or 1280 x 720 in the proportion of one side."""
    if width is None and height is not None:
        width = round(height * WIDTH / HEIGHT)
    if height is None and width is not None:
        height = round(width * HEIGHT / WIDTH)
    columns, rows = width or WIDTH, height or HEIGHT
    return lambda size: abs(size[0] - columns) + abs(size[1] - rows)


def _asked(
    width: int | None, height: int | None, fps: float | None, pixel_format: str | None
) -> str:
    size = f"{width or 'any'}x{height or 'any'}" if width or height else "any size"
    rate = "" if fps is None else f" at {fps:g} a second"
    return f"{pixel_format or 'pictures'} of {size}{rate}"


def _listed(modes: Sequence[CameraMode]) -> str:
    """The fastest of every format and size: the sizes that it has are most often what is sought."""
    fastest: dict[tuple[str, int, int], CameraMode] = {}
    for mode in modes:
        key = (mode.pixel_format, mode.width, mode.height)
        if (mode.fps or 0) >= (fastest[key].fps or 0 if key in fastest else 0):
            fastest[key] = mode
    texts = [str(mode) for mode in fastest.values() if mode.pixel_format in _PREFERRED]
    if not texts:
        others = ", ".join(dict.fromkeys(mode.pixel_format for mode in modes))
        return f"no pixel format that can be read: {others or 'none at all'}"
    more = len(texts) - _MOST_LISTED
    return ", ".join(texts[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


def _name(code: int) -> str:
    return code.to_bytes(4, "little").decode("latin-1").strip()

"""Frame -> the square RGB picture the vision graph takes, resized as SAM 3's own pictures were.

The filter is antialiased bilinear: a triangle over the source pixels, as wide as one output pixel
on each side when shrinking, and one source pixel when enlarging. Plain bilinear and area averages
give other pictures, and a model that was trained on this one finds less in those.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sam3_edge.runtime import _kernels

PixelFormat = Literal["BGR", "RGB", "BGRx", "RGBA", "GRAY8", "NV12", "I420", "YUY2"]
FrameBuffer = bytes | bytearray | memoryview | NDArray[np.uint8]

# For every plane: picture rows to one of its rows, pixels to one of its samples, bytes a sample.
_PLANES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "BGR": ((1, 1, 3),),
    "RGB": ((1, 1, 3),),
    "BGRx": ((1, 1, 4),),
    "RGBA": ((1, 1, 4),),
    "GRAY8": ((1, 1, 1),),
    "NV12": ((1, 1, 1), (2, 2, 2)),
    "I420": ((1, 1, 1), (2, 2, 1), (2, 2, 1)),
    "YUY2": ((1, 2, 4),),
}

_line_filter = lru_cache(maxsize=64)(_kernels.line_filter)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLayout:
    """Where one buffer holds the planes of a picture, as GstVideoMeta and v4l2_pix_format say it.

    format: as GStreamer names it, bytes in memory order; YUV is BT.601 of limited range.
    height, width: pixels.
    strides: bytes from one row to the next, for every plane; at least a row's bytes.
    offsets: bytes from the buffer's start to every plane.
    Raises ValueError where these do not agree.
    """

    format: PixelFormat
    height: int
    width: int
    strides: tuple[int, ...]
    offsets: tuple[int, ...]

    def __post_init__(self) -> None:
        sizes = plane_sizes(self.format, self.height, self.width)
        if not len(sizes) == len(self.strides) == len(self.offsets):
            raise ValueError(
                f"{self.format}: expected strides and offsets of {len(sizes)} planes, "
                f"got {self.strides} and {self.offsets}"
            )
        if any(stride < row for stride, (_, row) in zip(self.strides, sizes, strict=True)):
            raise ValueError(
                f"{self.format} {self.width} px wide: expected strides of at least "
                f"{tuple(row for _, row in sizes)} bytes, got {self.strides}"
            )
        if min(self.offsets) < 0:
            raise ValueError(f"expected offsets of zero or more bytes, got {self.offsets}")

    @property
    def num_bytes(self) -> int:
        """What a buffer has to hold."""
        sizes = plane_sizes(self.format, self.height, self.width)
        planes = zip(self.offsets, self.strides, sizes, strict=True)
        return max(offset + stride * (rows - 1) + row for offset, stride, (rows, row) in planes)


def plane_sizes(format: PixelFormat, height: int, width: int) -> list[tuple[int, int]]:  # noqa: A002
    """(rows, bytes a row) of every plane; an odd side has its last chroma sample to itself."""
    if format not in _PLANES:
        raise ValueError(f"expected a format of {', '.join(_PLANES)}, got {format!r}")
    if height < 1 or width < 1:
        raise ValueError(f"expected a picture of at least 1 x 1 pixels, got {width} x {height}")
    return [
        (-(-height // rows), -(-width // pixels) * sample)
        for rows, pixels, sample in _PLANES[format]
    ]


def layout_of(
    format: PixelFormat,  # noqa: A002
    height: int,
    width: int,
    stride: int | None = None,
) -> FrameLayout:
    """Planes one behind another, as V4L2 has them. stride: its bytesperline, that of the first
    plane; without one there are no bytes between rows, except that luma has an even number."""
    sizes = plane_sizes(format, height, width)
    if stride is None:
        stride = sizes[0][1] + (sizes[0][1] % 2 if len(sizes) > 1 else 0)
    strides = [stride] * len(sizes) if len(sizes) < 3 else [stride, stride // 2, stride // 2]
    offsets = [sum(strides[k] * sizes[k][0] for k in range(plane)) for plane in range(len(sizes))]
    return FrameLayout(
        format=format, height=height, width=width, strides=tuple(strides), offsets=tuple(offsets)
    )


def preprocess(image_bgr: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """image_bgr: (H, W, 3) uint8 BGR, any size and row stride. out: (S, S, 3) uint8 RGB, filled.

    The picture is squeezed into the square, as SAM 3 does. Equal within 1 to Pillow's
    `resize((S, S), BILINEAR)` and to PyTorch's `interpolate(..., antialias=True)`.
    """
    height, width, channels = image_bgr.shape
    # A view wherever the pixels of a row lie side by side; a mirrored picture is copied.
    rows = image_bgr.reshape(height, width * channels)
    preprocess_planes((rows,), "BGR", (height, width), out)


def preprocess_frame(buffer: FrameBuffer, layout: FrameLayout, out: NDArray[np.uint8]) -> None:
    """The same from what a camera hands over, without a copy; buffer: contiguous bytes.

    Raises ValueError for a buffer that holds fewer bytes than the layout says.
    """
    planes = layout_planes(buffer, layout)
    preprocess_planes(planes, layout.format, (layout.height, layout.width), out)


def layout_planes(buffer: FrameBuffer, layout: FrameLayout) -> tuple[NDArray[np.uint8], ...]:
    """Views of the planes in `buffer`, contiguous bytes: (rows, bytes a row) each.

    Raises ValueError for a buffer that holds fewer bytes than the layout says.
    """
    pixels = np.frombuffer(buffer, dtype=np.uint8)
    if len(pixels) < layout.num_bytes:
        raise ValueError(
            f"{layout.format} of {layout.width} x {layout.height} pixels: expected "
            f"{layout.num_bytes} bytes, got {len(pixels)}"
        )
    sizes = plane_sizes(layout.format, layout.height, layout.width)
    return tuple(
        np.ndarray(size, np.uint8, pixels, offset, (stride, 1))
        for size, offset, stride in zip(sizes, layout.offsets, layout.strides, strict=True)
    )


def preprocess_planes(
    planes: tuple[NDArray[np.uint8], ...],
    format: PixelFormat,  # noqa: A002
    size: tuple[int, int],
    out: NDArray[np.uint8],
) -> None:
    """The same from planes that may lie in several buffers. planes: (rows, bytes a row) uint8, as
    `plane_sizes` has them, the bytes of a row side by side. size: (H, W).

    Raises ValueError for planes of other sizes and for an `out` that cannot be filled.
    """
    height, width = size
    side = len(out)
    rows, columns = _line_filter(height, side), _line_filter(width, side)
    _kernels.preprocess(out, planes, format, height, width, rows, columns)

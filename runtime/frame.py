"""One picture on its way from a source to the sinks."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sam3_edge.runtime.colour import planes_to_bgr
from sam3_edge.runtime.preprocess import FrameBuffer, FrameLayout, PixelFormat, layout_planes


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A decoded picture as its source has it, and where it comes from.

    planes: (rows, bytes a row) uint8 each, as `plane_sizes` has them for `format`; rows may be any
        distance apart, the bytes of one lie side by side.
    size: (H, W), pixels.
    source: what the results call it: "camera:0", "demo", a path.
    index: 0 for the source's first frame; counts the frames that were handed over.
    time_s: seconds since the source's first frame, on the source's own clock.
    captured_ns: time.monotonic_ns() when the frame left the device or decoder.
    utc_ns: wall clock at the same moment, nanoseconds since 1970.
    dropped: frames of this source lost before this one, in total.
    state: "recovered" for the first frame after the source was lost.
    """

    planes: tuple[NDArray[np.uint8], ...]
    format: PixelFormat
    size: tuple[int, int]
    source: str
    index: int
    time_s: float
    captured_ns: int
    utc_ns: int
    dropped: int = 0
    state: Literal["ok", "recovered"] = "ok"

    def bgr(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8: a view where the format is BGR, else converted with every call."""
        return planes_to_bgr(self.planes, self.format, self.size)


def bgr_frame(
    image: NDArray[np.uint8],
    *,
    source: str,
    index: int,
    time_s: float,
    captured_ns: int,
    utc_ns: int,
    dropped: int = 0,
) -> Frame:
    """image: (H, W, 3) uint8 BGR, any row stride."""
    height, width, channels = image.shape
    return Frame(
        # A view wherever the pixels of a row lie side by side; a mirrored picture is copied.
        planes=(image.reshape(height, width * channels),),
        format="BGR",
        size=(height, width),
        source=source,
        index=index,
        time_s=time_s,
        captured_ns=captured_ns,
        utc_ns=utc_ns,
        dropped=dropped,
    )


def frame_of(
    buffer: FrameBuffer,
    layout: FrameLayout,
    *,
    source: str,
    index: int,
    time_s: float,
    captured_ns: int,
    utc_ns: int,
    dropped: int = 0,
) -> Frame:
    """A frame whose planes are views of one buffer, as a camera hands it over.

    Raises ValueError for a buffer that holds fewer bytes than the layout says.
    """
    return Frame(
        planes=layout_planes(buffer, layout),
        format=layout.format,
        size=(layout.height, layout.width),
        source=source,
        index=index,
        time_s=time_s,
        captured_ns=captured_ns,
        utc_ns=utc_ns,
        dropped=dropped,
    )

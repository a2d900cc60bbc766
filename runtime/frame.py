"""One picture on its way from a source to the sinks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A decoded picture and where it comes from.

    image: (H, W, 3) uint8, BGR, 0..255, any row stride.
    source: what the results call it: "camera:0", "demo", a path.
    index: 0 for the source's first frame; counts the frames that were handed over.
    time_s: seconds since the source's first frame, on the source's own clock.
    captured_ns: time.monotonic_ns() when the frame left the device or decoder.
    utc_ns: wall clock at the same moment, nanoseconds since 1970.
    dropped: frames of this source lost before this one, in total.
    """

    image: NDArray[np.uint8]
    source: str
    index: int
    time_s: float
    captured_ns: int
    utc_ns: int
    dropped: int = 0

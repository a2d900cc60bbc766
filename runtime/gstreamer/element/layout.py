"""A buffer's bytes as the planes of a picture, without a copy."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3_edge.errors import SourceError
from sam3_edge.runtime.gstreamer.element.modules import Gst, GstVideo
from sam3_edge.runtime.gstreamer.picture import layout_of_meta
from sam3_edge.runtime.preprocess import FrameLayout, PixelFormat, layout_planes


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Valid while its buffer is mapped. planes: as `preprocess.plane_sizes` has them."""

    planes: tuple[NDArray[np.uint8], ...]
    format: PixelFormat
    size: tuple[int, int]  # (H, W)


@contextmanager
def mapped(buffer: Any, promised: FrameLayout, *, writable: bool) -> Iterator[Picture]:
    """The buffer's picture. promised: by the caps; the buffer's GstVideoMeta says where its rows
    really are. Raises SourceError for memory that is too small or cannot be reached."""
    meta = GstVideo.buffer_get_video_meta(buffer)
    layout = promised if meta is None else layout_of_meta(meta, promised)
    flags = Gst.MapFlags.READ | Gst.MapFlags.WRITE if writable else Gst.MapFlags.READ
    is_mapped, content = buffer.map(flags)
    if not is_mapped:
        raise SourceError(
            f"expected {layout.format} in memory that can be {'written' if writable else 'read'}, "
            "got some that cannot; put videoconvert before sam3edge"
        )
    try:
        yield _picture(content.data, layout, writable=writable)
    finally:
        buffer.unmap(content)


def _picture(content: memoryview | bytes, layout: FrameLayout, *, writable: bool) -> Picture:
    if writable and memoryview(content).readonly:
        raise SourceError(
            "expected the Python of GStreamer to let buffers be written, got one that does not; "
            "set draw=none, or update python3-gst-1.0"
        )
    try:
        planes = layout_planes(content, layout)
    except ValueError as error:
        raise SourceError(f"{error}; check the caps of the pipeline") from error
    return Picture(planes=planes, format=layout.format, size=(layout.height, layout.width))

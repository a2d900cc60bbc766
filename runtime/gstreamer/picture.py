"""GStreamer's buffers as planes: where a picture lies in one, and a copy of it that is ours."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3_edge.errors import SourceError
from sam3_edge.runtime.gstreamer.load import load_gst, load_gst_part
from sam3_edge.runtime.picture_memory import PICTURES
from sam3_edge.runtime.preprocess import FrameLayout, PixelFormat

FORMATS: tuple[PixelFormat, ...] = ("BGR", "RGB", "BGRx", "RGBA", "GRAY8", "NV12", "I420", "YUY2")
CAPS = f"video/x-raw,format={{{','.join(FORMATS)}}}"


class PictureReader:
    """Copies pictures out of samples, into memory that is used again. For one thread."""

    def __init__(self) -> None:
        self._gst = load_gst()
        self._video = load_gst_part("GstVideo")
        self._caps: Any = None
        self._layout: FrameLayout | None = None
        self.fps: float | None = None

    def read(self, sample: Any) -> tuple[NDArray[np.uint8], FrameLayout]:
        """(bytes,) uint8 and where the planes lie in it. Raises SourceError for what is none."""
        buffer = sample.get_buffer()
        layout = self._layout_of(buffer, sample.get_caps())
        # A pair, as older versions of GStreamer's Python have it; newer ones can be read as one.
        is_mapped, mapped = buffer.map(self._gst.MapFlags.READ)
        if not is_mapped:
            raise SourceError(
                f"expected {layout.format} in the memory of the CPU, got some that cannot be read; "
                "end the pipeline with nvvidconv or another element that copies it there"
            )
        try:
            content = np.frombuffer(mapped.data, dtype=np.uint8)
            return self._copied(content, layout), layout
        finally:
            content = np.empty(0, np.uint8)  # a view of it must be gone before it is unmapped
            buffer.unmap(mapped)

    def _copied(self, content: NDArray[np.uint8], layout: FrameLayout) -> NDArray[np.uint8]:
        if len(content) < layout.num_bytes:
            raise SourceError(
                f"expected {layout.num_bytes} bytes for {layout.format} of {layout.width} x "
                f"{layout.height} pixels, got {len(content)}; check the caps of the pipeline"
            )
        picture = PICTURES.take((layout.num_bytes,), np.uint8)
        np.copyto(picture, content[: layout.num_bytes])
        return picture

    def _layout_of(self, buffer: Any, caps: Any) -> FrameLayout:
        """By the buffer's own GstVideoMeta; by the caps, whose planes follow GStreamer's rule."""
        if self._layout is None or not caps.is_equal(self._caps):
            self._layout, self.fps = layout_of_caps(caps), fps_of_caps(caps)
            self._caps = caps
        meta = self._video.buffer_get_video_meta(buffer)
        return self._layout if meta is None else layout_of_meta(meta, self._layout)


def layout_of_caps(caps: Any) -> FrameLayout:
    """Raises SourceError for a format that is none of FORMATS."""
    info = _info(caps)
    planes = info.finfo.n_planes
    return FrameLayout(
        format=_format(info.finfo.name),
        height=info.height,
        width=info.width,
        strides=tuple(info.stride[:planes]),
        offsets=tuple(info.offset[:planes]),
    )


def layout_of_meta(meta: Any, expected: FrameLayout) -> FrameLayout:
    """What a GstVideoMeta says of a buffer whose caps promise `expected`."""
    if (meta.width, meta.height) != (expected.width, expected.height):
        raise SourceError(
            f"expected a picture of {expected.width} x {expected.height} pixels as the caps say, "
            f"got {meta.width} x {meta.height}; end the pipeline with videoconvert"
        )
    planes = meta.n_planes
    try:
        return FrameLayout(
            format=expected.format,
            height=expected.height,
            width=expected.width,
            strides=tuple(meta.stride[:planes]),
            offsets=tuple(meta.offset[:planes]),
        )
    except ValueError as error:
        raise SourceError(f"{error}; end the pipeline with videoconvert") from error


def fps_of_caps(caps: Any) -> float | None:
    """None where the rate varies or nobody knows."""
    info = _info(caps)
    return info.fps_n / info.fps_d if info.fps_n > 0 and info.fps_d > 0 else None


def _info(caps: Any) -> Any:
    info = load_gst_part("GstVideo").VideoInfo.new_from_caps(caps)
    if info is None:
        raise SourceError(
            f"expected raw video, got {caps.to_string()}; end the pipeline with a decoder, as in "
            "'... ! decodebin ! videoconvert'"
        )
    return info


def _format(name: str) -> PixelFormat:
    if name not in FORMATS:
        raise SourceError(
            f"expected a format of {', '.join(FORMATS)}, got {name}; end the pipeline with "
            "videoconvert"
        )
    return name

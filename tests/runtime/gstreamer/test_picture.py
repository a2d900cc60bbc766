"""Pictures come out as they went in, wherever they lie in a buffer."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_edge.errors import SourceError
from sam3_edge.runtime.gstreamer.load import load_gst_part
from sam3_edge.runtime.gstreamer.picture import FORMATS, PictureReader, layout_of_caps
from sam3_edge.runtime.preprocess import FrameLayout, PixelFormat, plane_sizes

HEIGHT, WIDTH = 31, 43


def sample_of(
    gst: ModuleType,
    content: NDArray[np.uint8],
    name: str,
    meta: FrameLayout | None = None,
    rate: str = "25/2",
) -> Any:
    """A sample as an element hands it over. meta: the GstVideoMeta it carries."""
    caps = f"video/x-raw,format={name},width={WIDTH},height={HEIGHT},framerate={rate}"
    buffer = gst.Buffer.new_wrapped(content.tobytes())
    if meta is not None:
        video = load_gst_part("GstVideo")
        planes, spare = len(meta.strides), [0] * (4 - len(meta.strides))
        video.buffer_add_video_meta_full(
            buffer, video.VideoFrameFlags.NONE, video.VideoFormat.from_string(name),
            meta.width, meta.height, planes, [*meta.offsets, *spare], [*meta.strides, *spare],
        )  # fmt: skip
    return gst.Sample.new(buffer, gst.Caps.from_string(caps), gst.Segment(), None)


def planes_of(content: NDArray[np.uint8], layout: FrameLayout) -> list[NDArray[np.uint8]]:
    sizes = plane_sizes(layout.format, layout.height, layout.width)
    places = zip(sizes, layout.offsets, layout.strides, strict=True)
    return [np.ndarray(size, np.uint8, content, off, (stride, 1)) for size, off, stride in places]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("padded", [False, True])
def test_planes_are_found(gst: ModuleType, name: PixelFormat, padded: bool) -> None:
    """Odd sizes; padded: by its meta every row and plane begins where no caps would have it."""
    reader = PictureReader()
    caps = gst.Caps.from_string(f"video/x-raw,format={name},width={WIDTH},height={HEIGHT}")
    layout = padded_layout(name) if padded else layout_of_caps(caps)
    content = np.random.default_rng(3).integers(0, 256, layout.num_bytes + 9).astype(np.uint8)
    got, found = reader.read(sample_of(gst, content, name, layout if padded else None))
    assert found == layout
    assert reader.fps == 12.5
    for plane, expected in zip(planes_of(got, found), planes_of(content, layout), strict=True):
        np.testing.assert_array_equal(plane, expected)


def padded_layout(name: PixelFormat) -> FrameLayout:
    strides, offsets, end = [], [], 7
    for rows, row in plane_sizes(name, HEIGHT, WIDTH):
        strides.append(row + 13)
        offsets.append(end)
        end += rows * (row + 13) + 5
    return FrameLayout(
        format=name, height=HEIGHT, width=WIDTH, strides=tuple(strides), offsets=tuple(offsets)
    )


def test_memory_is_used_again_but_never_while_somebody_looks(gst: ModuleType) -> None:
    reader, places = PictureReader(), set()
    kept, _ = reader.read(sample_of(gst, noise(0), "BGRx"))
    for seed in range(1, 6):
        got, _ = reader.read(sample_of(gst, noise(seed), "BGRx"))
        np.testing.assert_array_equal(got, noise(seed))
        places.add(got.ctypes.data)
    assert len(places) <= 2
    np.testing.assert_array_equal(kept, noise(0))


def noise(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, HEIGHT * WIDTH * 4).astype(np.uint8)


def test_a_variable_rate_is_none(gst: ModuleType) -> None:
    reader = PictureReader()
    reader.read(sample_of(gst, noise(0), "BGRx", rate="0/1"))
    assert reader.fps is None


@pytest.mark.parametrize(
    ("name", "num_bytes", "message"),
    [
        (
            "BGRx",
            HEIGHT * WIDTH * 4 - 1,
            "expected 5332 bytes for BGRx of 43 x 31 pixels, got 5331",
        ),
        ("GRAY16_LE", 9000, "expected a format of BGR, .*got GRAY16_LE; end .* with videoconvert"),
    ],
)
def test_what_is_no_picture(gst: ModuleType, name: str, num_bytes: int, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        PictureReader().read(sample_of(gst, np.zeros(num_bytes, np.uint8), name))


def test_a_meta_of_another_size(gst: ModuleType) -> None:
    meta = FrameLayout(format="GRAY8", height=8, width=8, strides=(8,), offsets=(0,))
    with pytest.raises(SourceError, match=r"expected a picture of 43 x 31 pixels .* got 8 x 8"):
        PictureReader().read(sample_of(gst, noise(0), "GRAY8", meta))


def test_memory_that_the_cpu_cannot_read(gst: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a board's decoder; there is none here."""
    monkeypatch.setattr(gst.Buffer, "map", lambda *_: (False, None))
    with pytest.raises(SourceError, match="in the memory of the CPU, got some that cannot be read"):
        PictureReader().read(sample_of(gst, noise(0), "GRAY8"))

"""What is put at the end of a pipeline."""

from types import ModuleType

import pytest

from sam3_edge.errors import SourceError
from sam3_edge.runtime.gstreamer.appsink import keep_all, keep_newest, parse_pipeline
from sam3_edge.runtime.gstreamer.picture import FORMATS
from sam3_edge.runtime.gstreamer.stream import PictureStream


@pytest.mark.parametrize(
    ("end", "format_out"),
    [(name, name) for name in FORMATS] + [("GRAY16_LE", None), ("Y444", None), ("ARGB", None)],
)
@pytest.mark.parametrize("sink", ["", " ! appsink", " ! appsink name=mine sync=true"])
def test_formats_we_take_are_not_converted(
    gst: ModuleType, end: str, format_out: str | None, sink: str
) -> None:
    caps = f"video/x-raw,format={end},width=32,height=16"
    pipeline, appsink = parse_pipeline(f"videotestsrc num-buffers=1 ! {caps}{sink}")
    stream = PictureStream(pipeline, appsink)
    stream.open(10)
    sample = stream.pull(10)
    stream.close()
    assert sample is not None
    got = sample.get_caps()[0].get_string("format")
    assert got == format_out or (format_out is None and got in FORMATS)


def test_nobody_waits_for_the_clock(gst: ModuleType) -> None:
    _, sink = parse_pipeline("videotestsrc ! appsink sync=true max-buffers=9")
    for keep, expected in ((keep_newest, (1, True, False)), (keep_all, (2, False, False))):
        keep(sink)
        assert tuple(map(sink.get_property, ("max-buffers", "drop", "sync"))) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nosuch", 'got \'nosuch\': no element "nosuch"; try it with gst-launch-1.0'),
        ("", "empty pipeline"),
        ("  ", "empty pipeline"),
        ("videotestsrc ! ! identity", "syntax error"),
        ("videotestsrc colour=1", 'no property "colour" in element "videotestsrc"'),
        ("audiotestsrc", "could not link audiotestsrc"),
        ("videotestsrc ! video/x-raw(memory:NVMM)", "can't handle caps"),
        ("videotestsrc ! fakesink", "could not link fakesink"),
        ("videotestsrc ! appsink videotestsrc ! appsink", "with one appsink, got .* with 2"),
        ("appsink", "with one appsink, got .* with 0"),
        ("( videotestsrc ! appsink )", "with one appsink, got .* with 0; leave it out"),
        ("audiotestsrc ! appsink", "expected raw video before the appsink, got audio/x-raw"),
        ("videotestsrc ! jpegenc ! appsink", "got image/jpeg.*; put a decoder there"),
        ("rtspsrc location=rtsp://me:w0rd@h/a user-pw=w0rd ! nosuch", 'rtsp://h/a user-pw=\\*\\*\\* '),
    ],
)  # fmt: skip
def test_gstreamers_reason_on_one_line(gst: ModuleType, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as refused:
        parse_pipeline(text)
    assert "\n" not in str(refused.value)
    assert "w0rd" not in str(refused.value)

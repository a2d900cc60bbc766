import socket
import threading
import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest

from sam3_edge.errors import SinkError, SourceError, UsageError
from sam3_edge.runtime.gstreamer.load import load_gst_part
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.sinks.rtsp import RtspSink, parse_rtsp_place

Make = Callable[..., FrameResult]
_SOON_S = 15.0


def free_place() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"rtsp://127.0.0.1:{probe.getsockname()[1]}/sam3"


@pytest.fixture
def sink() -> Iterator[RtspSink]:
    try:
        load_gst_part("GstRtspServer")
    except SourceError as error:
        pytest.skip(f"{error}; scripts/install-test-packages installs it")
    made = RtspSink(free_place(), 30)
    yield made
    made.close()


class Writing:
    """Gives results with black pictures, whose size is `size`, to a sink, in a thread."""

    def __init__(self, sink: RtspSink, make_result: Make, size: tuple[int, int]) -> None:
        self.size = size
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(sink, make_result))

    def _run(self, sink: RtspSink, make_result: Make) -> None:
        results = {}
        while not self._stopping.wait(0.03):
            size = self.size
            if size not in results:
                result = make_result(0, size)
                result.frame.planes[0][:] = 0
                results[size] = result
            sink.write(results[size])

    def __enter__(self) -> "Writing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()


def watch(url: str, count: int) -> list[tuple[int, ...]]:
    """The shapes of some pictures, as another program's client sees them."""
    reader = cv2.VideoCapture(url, cv2.CAP_FFMPEG)
    shapes = []
    for _ in range(count):
        has, picture = reader.read()
        assert has
        assert np.ptp(picture) > 50  # black, but for what was drawn
        shapes.append(picture.shape)
    reader.release()
    return shapes


def test_who_watches_sees_the_annotated_pictures(sink: RtspSink, make_result: Make) -> None:
    with Writing(sink, make_result, (97, 131)):
        assert watch(sink.name, 10) == [(96, 130, 3)] * 10
        assert sink.written is not None


def test_the_size_may_change_under_a_watcher(sink: RtspSink, make_result: Make) -> None:
    with Writing(sink, make_result, (96, 128)) as writing:
        reader = cv2.VideoCapture(sink.name, cv2.CAP_FFMPEG)
        assert reader.read()[0]
        writing.size = (48, 64)
        while sink._server._described is None or sink._server._described[1:] != (48, 64):
            assert reader.read()[0]
        for _ in range(10):
            assert reader.read()[0]
        assert watch(sink.name, 3) == [(48, 64, 3)] * 3  # beside the first one, by one encoder
        assert reader.read()[0]
        reader.release()


def test_it_is_encoded_while_somebody_watches(sink: RtspSink, make_result: Make) -> None:
    sink.write(make_result())
    assert sink.written is None
    with Writing(sink, make_result, (96, 128)):
        for _ in range(2):  # the second makes another encoder
            watch(sink.name, 3)
            until_s = time.monotonic() + _SOON_S
            while sink._server.is_watched:
                assert time.monotonic() < until_s
                time.sleep(0.02)
        before = sink.written
        time.sleep(0.2)
        assert sink.written == before


def test_closing_while_somebody_watches(sink: RtspSink, make_result: Make) -> None:
    with Writing(sink, make_result, (96, 128)):
        reader = cv2.VideoCapture(sink.name, cv2.CAP_FFMPEG)
        assert reader.read()[0]
    sink.close()
    sink.close()
    reader.release()
    host, port, _ = parse_rtsp_place(sink.name)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, port))


def test_a_port_that_is_taken(sink: RtspSink) -> None:
    with pytest.raises(
        SinkError, match=r"cannot serve RTSP at 127\.0\.0\.1:.* a port that is free"
    ):
        RtspSink(sink.name, 30)


@pytest.mark.parametrize(
    "text",
    ["rtsp://", "rtsp://h", "rtsp://h/", "http://h/a", "rtsp://h:0/a", "rtsp://h:99999/a", "h/a"],
)
def test_a_place_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="expected rtsp://ADDRESS"):
        RtspSink(text, 30)


def test_a_password_is_not_taken_and_not_shown() -> None:
    with pytest.raises(UsageError) as caught:
        RtspSink("rtsp://me:secret@0.0.0.0/a", 30)
    assert "secret" not in str(caught.value)


def test_the_port_that_is_usual() -> None:
    assert parse_rtsp_place("rtsp://0.0.0.0/sam3") == ("0.0.0.0", 8554, "/sam3")

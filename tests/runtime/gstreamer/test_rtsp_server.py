"""Its pictures, as a player gets them; the sink's own tests are beside it."""

from collections.abc import Iterator
from threading import Event, Thread

import numpy as np
import pytest

from sam3_edge.runtime.gstreamer.rtsp_server import RtspServer
from sam3_edge.runtime.sources.rtsp import open_rtsp
from tests.runtime.sources.rtsp_server import HOST, free_port

pytestmark = pytest.mark.usefixtures("gst")


class Showing:
    """A server that is given pictures of `size` without a pause."""

    def __init__(self) -> None:
        self.size, port = (48, 64), free_port()
        self.url = f"rtsp://{HOST}:{port}/x"
        self.server = RtspServer(HOST, port, "/x", 30.0)
        self._ended = Event()
        self._thread = Thread(target=self._show)
        self._thread.start()

    def _show(self) -> None:
        while not self._ended.wait(0.03):
            self.server.push(np.full((*self.size, 3), 200, np.uint8))

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self.server.close()


@pytest.fixture
def showing(gst: object) -> Iterator[Showing]:
    showing = Showing()
    yield showing
    showing.close()


def test_pictures_of_any_size_are_shown_also_one_after_the_other(showing: Showing) -> None:
    source = open_rtsp(showing.url)
    frames = source.frames()
    for size, shown in (
        ((48, 64), (48, 64)), ((31, 47), (30, 46)), ((1, 1), (2, 2)), ((48, 64), (48, 64))
    ):  # fmt: skip
        showing.size = size
        assert next(frame.size for frame in frames if frame.size == shown) == shown
    source.close()


def test_who_has_gone_is_forgotten(showing: Showing) -> None:
    assert not showing.server.is_watched
    source = open_rtsp(showing.url)
    next(source.frames())
    assert showing.server.is_watched
    source.close()
    gone = Event()
    for _ in range(200):
        if not showing.server.is_watched:
            break
        gone.wait(0.05)
    assert not showing.server.is_watched

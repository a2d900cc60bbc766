from collections.abc import Iterator
from types import ModuleType

import pytest

from sam3_edge.errors import SourceError
from sam3_edge.runtime.gstreamer.load import load_gst, load_gst_part
from tests.runtime.sources.rtsp_server import RtspServer, serving


@pytest.fixture(scope="session")
def gst() -> ModuleType:
    """GStreamer for this Python; skips where the distribution's packages are missing."""
    try:
        load_gst_part("GstRtspServer")
        return load_gst()
    except SourceError as error:
        pytest.skip(str(error))


@pytest.fixture
def rtsp_server(gst: ModuleType) -> Iterator[RtspServer]:
    """A real one on loopback, 320 x 240 at 30 a second in H.264, that may be killed and started."""
    with serving() as server:
        yield server

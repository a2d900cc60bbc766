from types import ModuleType

import pytest

from sam3_edge.errors import SourceError
from sam3_edge.runtime.gstreamer.load import load_gst


@pytest.fixture(scope="session")
def gst() -> ModuleType:
    """GStreamer for this Python; skips where the distribution's packages are missing."""
    try:
        return load_gst()
    except SourceError as error:
        pytest.skip(str(error))

from pathlib import Path

import pytest

from tests.cli.conftest import stand_in  # noqa: F401
from tests.runtime.gstreamer.element.runs import Pipelines, missing, open_pipelines


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Pipelines:
    """Skips where GStreamer or its Python is missing."""
    if reason := missing():
        pytest.skip(reason)
    return open_pipelines(tmp_path_factory.mktemp("gstreamer"))


@pytest.fixture
def element(stand_in: Path) -> str:  # noqa: F811
    """The element with a bundle that finds two things in every picture: 0.88 in its middle, 0.5."""
    return f"sam3edge name=e bundle={stand_in}"

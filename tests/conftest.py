"""What a test may ask for, and what happens where the machine does not have it.

A test that needs something from outside the checkout skips with the reason. Under
SAM3_EDGE_REQUIRE_ALL=1, which `.ci/run` sets, such a skip is a failure.
"""

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

from sam3_edge.engines.cuda_device import open_device
from sam3_edge.errors import EngineError, SourceError
from sam3_edge.runtime.gstreamer.load import load_gst, load_gst_part
from tests.runtime.sources.rtsp_server import RtspServer, serving

ROOT = Path(__file__).resolve().parents[1]
# The machine may be busy: how long an example takes is no result.
settings.register_profile("sam3_edge", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sam3_edge")

REQUIRE_ALL = os.environ.get("SAM3_EDGE_REQUIRE_ALL") == "1"


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The data beside the project: ../shared, or what SAM3_EDGE_SHARED names."""
    folder = Path(os.environ.get("SAM3_EDGE_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"expected the shared data in {folder}, found no such folder")
    return folder


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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests for a GPU are left out where there is none: a skip would be a failure in CI."""
    for_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if for_gpu and not has_gpu():
        config.hook.pytest_deselected(items=for_gpu)
        items[:] = [item for item in items if item not in for_gpu]


def has_gpu() -> bool:
    try:
        open_device().close()
    except EngineError:
        return False
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"SAM3_EDGE_REQUIRE_ALL=1 and skipped: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole file that skips itself, as importorskip does."""
    report = yield
    if REQUIRE_ALL and report.outcome == "skipped":
        report.outcome = "failed"
        report.longrepr = f"SAM3_EDGE_REQUIRE_ALL=1 and skipped: {report.longrepr}"
    return report

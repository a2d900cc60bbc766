"""The distribution's gi is found from a virtual environment, and nothing else of it."""

import sys
from importlib.machinery import PathFinder
from types import ModuleType

import pytest

from sam3_edge.errors import SourceError
from sam3_edge.runtime.gstreamer import load


def test_gst_and_its_parts_without_the_distributions_other_packages(gst: ModuleType) -> None:
    assert gst.is_initialized()
    assert load.has_gst()
    assert load.load_gst() is gst
    assert hasattr(load.load_gst_part("GstVideo"), "VideoInfo")
    assert not [path for path in sys.path if path in load._FOLDERS]


def test_what_is_missing_is_one_line_with_the_packages(gst: ModuleType) -> None:
    with pytest.raises(SourceError, match=r"expected GStreamer's GstNowhere .*apt install") as told:
        load.load_gst_part("GstNowhere")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("wrong", ["none", "of another Python"])
def test_no_gi(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's `gi` has a part in C for one version of Python alone."""
    for name in [name for name in sys.modules if name == "gi" or name.startswith("gi.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(load, "find_spec", lambda _: None)
    monkeypatch.setattr(PathFinder, "find_spec", lambda *_: None if wrong == "none" else BROKEN)
    with pytest.raises(
        SourceError, match=r"expected GStreamer's Python \(gi\) .*apt install python3-gi"
    ):
        load.load_gst()
    assert "gi" not in sys.modules
    assert not load.has_gst()


class ForAnotherPython:
    def create_module(self, _: object) -> None:
        return None

    def exec_module(self, _: ModuleType) -> None:
        raise ImportError("cannot import name '_gi'")


BROKEN = __import__("importlib.machinery").machinery.ModuleSpec("gi", ForAnotherPython())

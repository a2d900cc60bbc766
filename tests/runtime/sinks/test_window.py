from collections.abc import Callable

import cv2
import pytest

from sam3_edge.errors import SinkError
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.sinks import WindowClosed
from sam3_edge.runtime.sinks.window import WindowSink

Make = Callable[..., FrameResult]


def test_an_opencv_without_windows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        cv2, "getBuildInformation", lambda: "  GUI:                           NONE\n"
    )
    with pytest.raises(SinkError, match="got opencv-python-headless; use --save or --images"):
        WindowSink()


def test_no_display_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        cv2, "getBuildInformation", lambda: "  GUI:                           GTK3\n"
    )
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SinkError, match="expected a display, got none"):
        WindowSink()


@pytest.mark.parametrize(("key", "visible", "ends"), [(-1, 1, False), (27, 1, True), (-1, 0, True)])
def test_it_shows_and_ends(
    monkeypatch: pytest.MonkeyPatch, make_result: Make, key: int, visible: int, ends: bool
) -> None:
    shown = []
    monkeypatch.setattr(
        cv2, "getBuildInformation", lambda: "  GUI:                           GTK3\n"
    )
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(cv2, "imshow", lambda _, image: shown.append(image.shape))
    monkeypatch.setattr(cv2, "waitKey", lambda _: key)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: visible)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: shown.append("destroyed"))
    sink = WindowSink()
    if ends:
        with pytest.raises(WindowClosed):
            sink.write(make_result())
    else:
        sink.write(make_result())
    sink.close()
    sink.close()
    assert shown == [(48, 64, 3), "destroyed"]

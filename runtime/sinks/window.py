"""A window that shows the annotated frames as they come."""

import os
import sys

import cv2

from sam3_edge.errors import SinkError
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.sinks import WindowClosed
from sam3_edge.runtime.sinks.canvas import Canvas
from sam3_edge.runtime.source_event import SourceEvent

_TITLE = "sam3-edge (q or Esc ends)"
_END_KEYS = (27, ord("q"))


class WindowSink:
    name = "the window"
    draws = True
    in_callers_thread = True  # the one that handles the window's events

    def __init__(self) -> None:
        check_display()
        self._canvas = Canvas()
        self._open = False

    @property
    def written(self) -> str | None:
        return None

    def write(self, result: FrameResult) -> None:
        """Raises WindowClosed when the person ends it."""
        try:
            cv2.imshow(_TITLE, self._canvas.draw(result))
            self._open = True
            key = cv2.waitKey(1) & 0xFF
            visible = cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) >= 1
        except cv2.error as error:
            raise SinkError(
                f"cannot show a window: {error.err}; use --save or --images instead"
            ) from error
        if key in _END_KEYS or not visible:
            raise WindowClosed

    def tell(self, event: SourceEvent) -> None:
        pass

    def close(self) -> None:
        if self._open:
            self._open = False
            cv2.destroyAllWindows()


def check_display() -> None:
    """Raises SinkError where no window can be shown, and says why."""
    if "GUI:                           NONE" in cv2.getBuildInformation():
        raise SinkError(
            "cannot show a window: expected an OpenCV with windows, got opencv-python-headless; "
            "use --save or --images, or replace it: pip uninstall opencv-python-headless, "
            "pip install opencv-python"
        )
    has_display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not has_display:
        raise SinkError(
            "cannot show a window: expected a display, got none (DISPLAY is not set); "
            "use --save or --images"
        )

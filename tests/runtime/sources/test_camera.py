from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from sam3_edge.errors import SourceError
from sam3_edge.runtime.sources.camera import CameraSource


class Camera:
    """Two pictures, then somebody pulls the plug."""

    def __init__(self, _index: int) -> None:
        self.images: Iterator[Any] = iter([np.full((4, 6, 3), i, np.uint8) for i in range(2)])
        self.released = False

    def isOpened(self) -> bool:  # noqa: N802 -- OpenCV's name
        return True

    def get(self, _: int) -> float:
        return 25.0

    def read(self, _room: Any = None) -> tuple[bool, Any]:
        image = next(self.images, None)
        return image is not None, image

    def release(self) -> None:
        self.released = True


def test_frames_then_the_plug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    source = CameraSource(3)
    frames = source.frames()
    one, two = next(frames), next(frames)
    assert (source.fps, source.num_frames, one.source) == (25.0, None, "camera:3")
    assert (one.time_s, one.index, two.index) == (0.0, 0, 1)
    assert two.time_s > 0
    assert two.captured_ns > one.captured_ns
    with pytest.raises(SourceError, match="camera:3 stopped: expected another frame after 2"):
        next(frames)
    source.close()
    source.close()

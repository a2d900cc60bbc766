"""OpenCV's captures, into memory that is used again."""

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.runtime.picture_memory import PICTURES


class PooledReader:
    """Reads the pictures of a capture, whose owner opens and releases it."""

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self._shape: tuple[int, ...] | None = None

    def read(self) -> NDArray[np.uint8] | None:
        """The next picture, (H, W, 3) uint8 BGR; None where there is none, or none to make of it."""
        # OpenCV fills what it is given where the size is right, and allocates where it is not.
        room = None if self._shape is None else PICTURES.take(self._shape, np.uint8)
        try:
            there, image = self._capture.read(room)
        except cv2.error:  # a picture that it cannot convert
            return None
        if not there:
            return None
        self._shape = image.shape
        return image.astype(np.uint8, copy=False)

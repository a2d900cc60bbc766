"""The annotated picture of a result, in memory that one sink uses again."""

import numpy as np
from numpy.typing import NDArray

from sam3_edge.runtime.draw import draw
from sam3_edge.runtime.results import FrameResult


class Canvas:
    def __init__(self) -> None:
        self._picture: NDArray[np.uint8] | None = None

    def draw(self, result: FrameResult) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 BGR, until the next one is drawn."""
        image = result.frame.bgr()
        if result.frame.format != "BGR":  # it was made just now, for us
            return draw(image, result.detections, result.prompts, out=image)
        if self._picture is None or self._picture.shape != image.shape:
            self._picture = np.empty_like(image, order="C")
        return draw(image, result.detections, result.prompts, out=self._picture)

"""Any camera format -> BGR, for those who draw, save or show a picture. The engine needs none of it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.runtime.preprocess import PixelFormat

_PACKED = {
    "RGB": (3, cv2.COLOR_RGB2BGR),
    "BGRx": (4, cv2.COLOR_BGRA2BGR),
    "RGBA": (4, cv2.COLOR_RGBA2BGR),
    "GRAY8": (1, cv2.COLOR_GRAY2BGR),
}


def planes_to_bgr(
    planes: tuple[NDArray[np.uint8], ...],
    format: PixelFormat,  # noqa: A002
    size: tuple[int, int],
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8, a view of BGR itself. planes: as `plane_sizes` has them. size: (H, W).

    YUV is BT.601 of limited range; a pixel takes the chroma sample it lies in.
    """
    height, width = size
    if format == "BGR":
        return planes[0].reshape(height, width, 3)
    if format in _PACKED:
        channels, code = _PACKED[format]
        image = cv2.cvtColor(planes[0].reshape(height, width, channels), code)
    elif format == "YUY2":
        image = cv2.cvtColor(planes[0].reshape(height, -1, 2), cv2.COLOR_YUV2BGR_YUY2)
    else:
        chroma = planes[1] if format == "NV12" else np.dstack(planes[1:])
        image = _two_planes_to_bgr(planes[0], chroma)
    # OpenCV's chroma covers even sides: an odd one has a row or column too many.
    return image[:height, :width].astype(np.uint8, copy=False)


def _two_planes_to_bgr(
    luma: NDArray[np.uint8], chroma: NDArray[np.uint8]
) -> NDArray[np.integer | np.floating]:
    rows, columns = luma.shape
    even = np.pad(luma, ((0, rows % 2), (0, columns % 2)), "edge")
    pairs = np.ascontiguousarray(chroma).reshape(len(chroma), -1, 2)
    return cv2.cvtColorTwoPlane(even, pairs, cv2.COLOR_YUV2BGR_NV12)

"""A camera by its number or its device's path.

On Linux the driver is asked first (v4l2.py), so that the mode is known and a refusal says why; OpenCV
then reads. Raw pictures are handed over as they come. Checked against stand-ins for OpenCV and for
drivers, and not run on hardware.
"""

import errno
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from threading import Event

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.errors import SourceError
from sam3_edge.runtime.frame import Frame, frame_of
from sam3_edge.runtime.preprocess import FrameLayout, layout_of
from sam3_edge.runtime.sources.pooled_reader import PooledReader
from sam3_edge.runtime.sources.v4l2 import open_device, row_stride
from sam3_edge.runtime.sources.v4l2_check import OpenDevice, ask_camera
from sam3_edge.runtime.sources.v4l2_modes import RAW, CameraMode, choose_mode

__all__ = ["CameraSource", "open_camera"]

_BAD_PICTURES = 5  # in a row; a JPEG that lost bytes on a poor cable is no end
_SOON_S = 1.0  # a failure that takes longer is a camera that gives nothing
_OLDEST_NS = 2_000_000_000


class CameraSource:
    """mode: what the camera was set to; None where the system does not say."""

    num_frames: int | None = None
    live = True
    may_reopen = True

    def __init__(
        self,
        name: str,
        capture: cv2.VideoCapture,
        mode: CameraMode | None = None,
        path: str | None = None,
    ) -> None:
        """capture: opened and set; released by `close`. path: the device, where it has one."""
        self.name = name
        self._path = path
        self.mode = mode
        self._capture = capture
        self._reader = PooledReader(capture)
        self._layout = _raw_layout(mode)
        self._stopping = Event()
        rate = capture.get(cv2.CAP_PROP_FPS)
        self.fps: float | None = rate if 1 <= rate <= 1000 else None

    def frames(self) -> Iterator[Frame]:
        first_ns = dropped = 0
        for index in count():
            image, num_bad = self._next(index)
            if image is None:
                return
            captured_ns = self._captured_ns()
            first_ns, dropped = first_ns or captured_ns, dropped + num_bad
            yield self._frame(image, index, (captured_ns - first_ns) / 1e9, captured_ns, dropped)
            del image  # its memory is used again when nobody refers to it

    def stop(self) -> None:
        """Ends `frames` with its next picture."""
        self._stopping.set()

    def close(self) -> None:
        self._capture.release()

    def _next(self, index: int) -> tuple[NDArray[np.uint8] | None, int]:
        """A picture and how many bad ones came before it; None when stopped."""
        for num_bad in range(_BAD_PICTURES):
            if self._stopping.is_set():
                return None, num_bad
            started = time.monotonic()
            image = self._reader.read()
            if image is not None and self._is_whole(image):
                return image, num_bad
            if self._is_gone() or time.monotonic() - started > _SOON_S:
                break
        if self._stopping.is_set():
            return None, 0
        got = f"no {self._path} any more" if self._is_gone() else "none"
        raise SourceError(
            f"{self.name} stopped: expected another frame after {index}, got {got}; "
            "check its cable and power"
        )

    def _is_gone(self) -> bool:
        return self._path is not None and not Path(self._path).exists()

    def _is_whole(self, image: NDArray[np.uint8]) -> bool:
        return _is_bgr(image) or (
            self._layout is not None and image.nbytes == self._layout.num_bytes
        )

    def _captured_ns(self) -> int:
        """The driver's time stamp where it is of the monotonic clock, as those of USB cameras are."""
        now_ns = time.monotonic_ns()
        stamped_ns = int(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        return stamped_ns if 0 <= now_ns - stamped_ns < _OLDEST_NS else now_ns

    def _frame(
        self,
        image: NDArray[np.uint8],
        index: int,
        time_s: float,
        captured_ns: int,
        dropped: int,
    ) -> Frame:
        layout = self._layout
        if layout is None or _is_bgr(image):  # converted by OpenCV
            layout = layout_of("BGR", *image.shape[:2])
        return frame_of(
            image.reshape(-1),
            layout,
            source=self.name,
            index=index,
            time_s=time_s,
            captured_ns=captured_ns,
            utc_ns=time.time_ns() - (time.monotonic_ns() - captured_ns),
            dropped=dropped,
        )


def open_camera(
    index_or_path: int | str,
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
    pixel_format: str | None = None,
    *,
    device: OpenDevice = open_device,
) -> CameraSource:
    """index_or_path: 0 for the first, or a device such as /dev/v4l/by-id/...; the rest as
    `choose_mode` takes it. Other systems than Linux know numbers alone, and take what is nearest.

    Raises SourceError that says why.
    """
    if not sys.platform.startswith("linux"):
        return _open_elsewhere(index_or_path, width, height, fps)
    is_number = isinstance(index_or_path, int)
    path = f"/dev/video{index_or_path}" if is_number else str(index_or_path)
    mode = ask_camera(
        f"camera {index_or_path}",
        path,
        device,
        width=width,
        height=height,
        fps=fps,
        pixel_format=pixel_format,
    )
    if mode.fps is None:  # a driver that lists no rates may take one all the same
        mode = replace(mode, fps=fps)
    capture = cv2.VideoCapture(path, cv2.CAP_V4L2)
    try:
        name = f"camera:{index_or_path}"
        mode = _set_up(name, path, capture, mode)
        _check_given(name, mode, width, height, pixel_format)
        _check_rows(name, path, mode, device)
        return CameraSource(name, capture, mode, path)
    except BaseException:
        capture.release()
        raise


def _set_up(name: str, path: str, capture: cv2.VideoCapture, mode: CameraMode) -> CameraMode:
    """What the driver made of `mode`."""
    if not capture.isOpened():
        raise SourceError(
            f"{name}: expected a camera that opens, got none from {path}; check that no other "
            "program took it just now"
        )
    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*mode.pixel_format))
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, mode.width)
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, mode.height)
    if mode.fps is not None:  # a new format or size sets the rate anew: it comes last
        capture.set(cv2.CAP_PROP_FPS, mode.fps)
    taken = _taken(capture, mode)
    if taken.pixel_format in RAW:
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
    return taken


def _taken(capture: cv2.VideoCapture, mode: CameraMode) -> CameraMode:
    code = int(capture.get(cv2.CAP_PROP_FOURCC))
    rate = capture.get(cv2.CAP_PROP_FPS)
    return replace(
        mode,
        pixel_format=(code & 0xFFFFFFFF).to_bytes(4, "little").decode("latin-1").strip(),
        width=int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        height=int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        fps=rate if 0 < rate <= 1000 else mode.fps,
    )


def _check_given(
    name: str, mode: CameraMode, width: int | None, height: int | None, pixel_format: str | None
) -> None:
    """Some drivers list what they do not do. Their rates are nominal, and no reason to refuse."""
    try:
        if width or height or pixel_format:
            choose_mode([mode], width, height, pixel_format=pixel_format)
    except SourceError as error:
        raise SourceError(f"{name}: {error}, which is what its driver set; ask for that") from None


def _check_rows(name: str, path: str, mode: CameraMode, device: OpenDevice) -> None:
    """OpenCV takes no notice of bytes between rows: such pictures would be slanted."""
    layout = _raw_layout(mode)
    if layout is None:
        return
    try:
        with device(path) as control:
            stride = row_stride(control)
    except OSError as error:
        if error.errno == errno.EBUSY:  # a driver that lets nobody else in, not even to ask
            return
        raise SourceError(
            f"{name}: expected its row size, got: {error.strerror}; check its cable and power"
        ) from error
    if stride not in (0, layout.strides[0]):
        raise SourceError(
            f"{name}: expected rows of {layout.strides[0]} bytes for {mode}, got {stride}; ask for "
            f"another width or pixel format, or try --source 'gst:v4l2src device={path}'"
        )


def _is_bgr(image: NDArray[np.uint8]) -> bool:
    return image.ndim == 3 and image.shape[2] == 3


def _raw_layout(mode: CameraMode | None) -> FrameLayout | None:
    if mode is None or mode.pixel_format not in RAW:
        return None
    return layout_of(RAW[mode.pixel_format], mode.height, mode.width)


def _open_elsewhere(
    index_or_path: int | str, width: int | None, height: int | None, fps: float | None
) -> CameraSource:
    name = f"camera:{index_or_path}"
    capture = cv2.VideoCapture(index_or_path)
    if not capture.isOpened():
        raise SourceError(
            f"camera {index_or_path}: expected a camera, found none that opens; check that it is "
            "plugged in, that no other program uses it and that you may use it, or try "
            "--source demo"
        )
    asked = (
        (cv2.CAP_PROP_FRAME_WIDTH, width),
        (cv2.CAP_PROP_FRAME_HEIGHT, height),
        (cv2.CAP_PROP_FPS, fps),
    )
    for key, value in asked:
        if value is not None:
            capture.set(key, value)
    return CameraSource(name, capture)

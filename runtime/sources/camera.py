"""A camera by its number."""

import time
from collections.abc import Iterator
from itertools import count

import cv2

from sam3_edge.errors import SourceError
from sam3_edge.runtime.frame import Frame, bgr_frame
from sam3_edge.runtime.sources.pooled_reader import PooledReader


class CameraSource:
    num_frames: int | None = None
    live = True
    may_reopen = True

    def __init__(self, index: int) -> None:
        self.name = f"camera:{index}"
        self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            raise SourceError(
                f"camera {index}: expected a camera, found none that opens; check that it is "
                "plugged in, that no other program uses it and that your user is in the group "
                "video, or try --source demo"
            )
        self._reader = PooledReader(self._capture)
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps: float | None = rate if 1 <= rate <= 1000 else None

    def frames(self) -> Iterator[Frame]:
        first_ns = 0
        for index in count():
            image = self._reader.read()
            captured_ns = time.monotonic_ns()
            if image is None:
                raise SourceError(
                    f"{self.name} stopped: expected another frame after {index}, got none; "
                    "check its cable and power"
                )
            first_ns = first_ns or captured_ns
            yield bgr_frame(
                image,
                source=self.name,
                index=index,
                time_s=(captured_ns - first_ns) / 1e9,
                captured_ns=captured_ns,
                utc_ns=time.time_ns(),
            )

    def stop(self) -> None:
        pass

    def close(self) -> None:
        self._capture.release()

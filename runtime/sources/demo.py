"""The built-in underwater scene as a source: what a new user sees first."""

import time
from collections.abc import Iterator
from itertools import count

from sam3_edge.runtime.frame import Frame, bgr_frame
from sam3_edge.runtime.scene import FRAMES_PER_SECOND, Scene


class DemoSource:
    """Never ends, and is always the same for one seed. Drawn as fast as it is asked for."""

    live = False
    may_reopen = False
    fps: float | None = float(FRAMES_PER_SECOND)
    num_frames: int | None = None

    def __init__(self, seed: int) -> None:
        self.name = f"demo:{seed}" if seed else "demo"
        # Held-out: nothing of what is shown was trained on.
        self._scene = Scene(seed, "held_out")

    def frames(self) -> Iterator[Frame]:
        for index in count():
            image = self._scene.frame(index)
            yield bgr_frame(
                image,
                source=self.name,
                index=index,
                time_s=index / FRAMES_PER_SECOND,
                captured_ns=time.monotonic_ns(),
                utc_ns=time.time_ns(),
            )

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass

"""Sources that do what real ones do at their worst."""

from collections.abc import Callable, Iterator
from threading import Event

from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.sources import Source


def frames_of(source: Source) -> Iterator[Frame]:
    """Of one to which nothing happens."""
    for frame in source.frames():
        assert isinstance(frame, Frame)
        yield frame


class ListedSource:
    """Frames that were made before, then perhaps an error.

    asked: how many frames were asked for. gate: before every frame, such as a wait.
    """

    fps: float | None = 30.0
    num_frames: int | None = None

    def __init__(
        self,
        frames: list[Frame],
        *,
        live: bool = False,
        error: BaseException | None = None,
        gate: Callable[[int], object] = lambda _: None,
    ) -> None:
        self.name = "listed"
        self.live = self.may_reopen = live
        self.asked = self.stopped = 0
        self.closed = 0
        self._frames, self._error, self._gate = frames, error, gate

    def frames(self) -> Iterator[Frame]:
        for number, frame in enumerate(self._frames):
            self.asked += 1
            self._gate(number)
            yield frame
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        self.stopped += 1

    def close(self) -> None:
        self.closed += 1


class BlockedSource(ListedSource):
    """A camera whose driver does not come back after the listed frames."""

    def __init__(self, frames: list[Frame], *, live: bool = True) -> None:
        super().__init__(frames, live=live)
        self.release = Event()

    def frames(self) -> Iterator[Frame]:
        yield from super().frames()
        self.release.wait()

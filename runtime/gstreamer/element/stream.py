"""What an element does with the pictures that pass, from its start to its stop."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Lock
from time import monotonic_ns, perf_counter, time_ns

from sam3_edge.errors import Sam3EdgeError, UsageError
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.gstreamer.element.layout import Picture
from sam3_edge.runtime.gstreamer.element.model import key_of
from sam3_edge.runtime.gstreamer.element.properties import Settings, check_settings
from sam3_edge.runtime.gstreamer.element.shared_models import close_model, open_model
from sam3_edge.runtime.one_frame import Request, result_of
from sam3_edge.runtime.preprocess import preprocess_planes
from sam3_edge.runtime.results import FrameResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was found in one buffer. pts_ns: its time stamp, None where it has none."""

    result: FrameResult
    pts_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How much older the picture of a result is than the buffer that carries it."""

    frames: int
    ms: float


class Stream:
    """`change` and `settings` are for any thread, the others for the streaming thread."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        on_result: Callable[[Seen], None],
        warn: Callable[[str], None],
    ) -> None:
        """Loads the model and encodes the prompts. name: what the results call the source.

        on_result: called on the engine's thread, in order, before `look` hands the result on.
        warn: takes one line. Raises PromptError, UsageError, EngineError, BundleError.
        """
        check_settings(settings)
        self._name = name
        self._settings = settings
        self._on_result = on_result
        self._warn = warn
        self._said: set[str] = set()
        self._asked = settings
        self._model = open_model(key_of(settings), warn)
        try:
            self._request = self._model.request(settings, self._warn_once)
        except BaseException:
            close_model(self._model)
            raise
        # Not the engine's: prompts are encoded while pictures are looked at.
        self._prompts = ThreadPoolExecutor(1, thread_name_prefix="sam3-edge prompts")
        self._image = self._model.new_image()
        self._count = 0
        self._last: int | None = None
        self._missed = 0
        self._dropped = 0
        self._first_pts_ns: int | None = None
        self._in_flight: Future[Seen] | None = None
        self._latest: Seen | None = None
        self._lock = Lock()

    @property
    def settings(self) -> Settings:
        """Without what could not be used."""
        return self._settings

    def change(self, settings: Settings) -> None:
        """Takes effect with the next picture; another prompt with the first after it is encoded.

        A value that cannot be used is told to `warn`, and what was there before is kept.
        """
        try:
            check_settings(settings)
        except UsageError as error:
            self._warn(f"{error} (what was set before goes on)")
            return
        with self._lock:
            old, self._settings = self._settings, settings
            if _asked(old) != _asked(settings):
                self._prompts.submit(self._ask, settings)

    def look(self, picture: Picture, pts_ns: int | None) -> tuple[Seen, Lag] | None:
        """The latest result, which is that of `picture` where it was waited for; None before the
        first one. Raises EngineError, of this picture or of the one before."""
        settings, index = self._settings, self._count
        self._count += 1
        self._end_of_flight(wait=not settings.asynchronous)
        if self._last is None or index - self._last >= settings.every:
            self._try(picture, index, pts_ns, settings)
        seen = self._latest
        if seen is None or seen.result.frame.size != picture.size:
            return None
        return seen, self._lag(seen, index, pts_ns)

    def finish(self) -> None:
        """Waits until all that was begun is known and told. Raises EngineError."""
        self._end_of_flight(wait=True)

    def forget(self) -> None:
        """The time stamps jump: what was seen says nothing of what comes. Raises EngineError."""
        self._end_of_flight(wait=True)
        self._latest = None

    def close(self) -> None:
        self._prompts.shutdown(wait=True, cancel_futures=True)
        if self._in_flight is not None:
            self._in_flight.exception()  # waits; whoever stops does not want to know
        close_model(self._model)

    def _try(self, picture: Picture, index: int, pts_ns: int | None, settings: Settings) -> None:
        """The picture is due; it is lost where the one before is still with the engine."""
        if self._in_flight is not None:
            self._missed += 1
            return
        self._dropped += self._missed // settings.every
        self._last, self._missed = index, 0
        self._begin(self._frame(picture, index, pts_ns), picture, pts_ns, settings)
        self._end_of_flight(wait=not settings.asynchronous)

    def _begin(
        self, frame: Frame, picture: Picture, pts_ns: int | None, settings: Settings
    ) -> None:
        """Resize the picture, whose buffer goes on its way, and leave it to the engine."""
        started = perf_counter()
        preprocess_planes(picture.planes, picture.format, picture.size, self._image)
        preprocess_ms = (perf_counter() - started) * 1e3
        request = replace(self._request, mask_bits=settings.draw == "masks")
        self._in_flight = self._model.submit(
            lambda: self._infer(frame, pts_ns, request, preprocess_ms)
        )

    def _end_of_flight(self, *, wait: bool) -> None:
        if self._in_flight is None or not (wait or self._in_flight.done()):
            return
        in_flight, self._in_flight = self._in_flight, None
        self._latest = in_flight.result()

    def _infer(
        self, frame: Frame, pts_ns: int | None, request: Request, preprocess_ms: float
    ) -> Seen:
        """On the engine's thread."""
        output = self._model.run(self._image, request)
        result = result_of(output, frame, request, preprocess_ms)
        seen = Seen(result=result, pts_ns=pts_ns)
        self._on_result(seen)
        return seen

    def _frame(self, picture: Picture, index: int, pts_ns: int | None) -> Frame:
        """Without its pixels: they are the buffer's, which goes on its way."""
        if self._first_pts_ns is None:
            self._first_pts_ns = pts_ns
        since_ns = 0 if pts_ns is None else pts_ns - (self._first_pts_ns or 0)
        return Frame(
            planes=(),
            format=picture.format,
            size=picture.size,
            source=self._name,
            index=index,
            time_s=since_ns / 1e9,
            captured_ns=monotonic_ns(),
            utc_ns=time_ns(),
            dropped=self._dropped,
        )

    def _lag(self, seen: Seen, index: int, pts_ns: int | None) -> Lag:
        """By the time stamps; by the clock where there are none."""
        if pts_ns is None or seen.pts_ns is None:
            late_ns = monotonic_ns() - seen.result.frame.captured_ns
        else:
            late_ns = pts_ns - seen.pts_ns
        frames = index - seen.result.frame.index
        return Lag(frames=frames, ms=late_ns / 1e6 if frames else 0.0)

    def _ask(self, settings: Settings) -> None:
        """On the thread of the prompts."""
        try:
            self._request = self._model.request(settings, self._warn_once)
        except Exception as error:  # nobody asks the pool what became of it
            kind = "" if isinstance(error, Sam3EdgeError) else f"{type(error).__name__}: "
            self._take_back(settings)
            self._warn(f"{kind}{error} (the prompt and threshold before it go on)")
            return
        self._asked = settings

    def _take_back(self, settings: Settings) -> None:
        """What could not be asked, unless something else was set since."""
        with self._lock:
            if _asked(self._settings) == _asked(settings):
                self._settings = replace(
                    self._settings, prompt=self._asked.prompt, threshold=self._asked.threshold
                )

    def _warn_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._warn(text)


def _asked(settings: Settings) -> tuple[str, float]:
    return settings.prompt, settings.threshold

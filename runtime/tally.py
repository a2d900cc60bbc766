"""The numbers of a whole run, gathered frame by frame."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from sam3_edge.runtime.results import FrameResult, Timing

_TIMINGS_KEPT = 10_000  # of the latest frames: a camera may run for months


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """objects: detections over all frames, by prompt. median: stage by stage; None without frames.

    frames_per_s: from the start of the run to its last result, writing the outputs included.
    age_ms: median, from capture to detections; None without frames. dropped: frames lost.
    """

    frames: int
    objects: dict[str, int]
    frames_per_s: float
    median: Timing | None
    age_ms: float | None
    dropped: int


class Tally:
    def __init__(self, prompts: Sequence[str], clock: Callable[[], float] = perf_counter) -> None:
        """The clock, in seconds, starts now."""
        self._clock = clock
        self._start_s = self._last_s = clock()
        self._objects: Counter[str] = Counter(dict.fromkeys(prompts, 0))
        self._timings: deque[Timing] = deque(maxlen=_TIMINGS_KEPT)
        self._ages_ms: deque[float] = deque(maxlen=_TIMINGS_KEPT)
        self._frames = self._dropped = 0

    def add(self, result: FrameResult) -> None:
        self._frames += 1
        self._objects.update(result.prompts[i] for i in result.detections.prompt_index)
        self._timings.append(result.timing)
        self._ages_ms.append(result.age_ms)
        self._dropped = result.frame.dropped
        self._last_s = self._clock()

    def summary(self) -> Summary:
        elapsed = self._last_s - self._start_s
        return Summary(
            frames=self._frames,
            objects=dict(self._objects),
            frames_per_s=self._frames / elapsed if elapsed > 0 else 0.0,
            median=self._median() if self._timings else None,
            age_ms=median(self._ages_ms) if self._ages_ms else None,
            dropped=self._dropped,
        )

    def _median(self) -> Timing:
        return Timing(
            preprocess_ms=median(timing.preprocess_ms for timing in self._timings),
            vision_ms=median(timing.vision_ms for timing in self._timings),
            decoder_ms=median(timing.decoder_ms for timing in self._timings),
            postprocess_ms=median(timing.postprocess_ms for timing in self._timings),
        )

"""A pipeline that runs, and what comes out of it: samples, errors in one line, the time of capture."""

from threading import Event, Thread
from time import monotonic, monotonic_ns
from typing import Any

from sam3_edge.errors import SourceError
from sam3_edge.runtime.address import without_secrets
from sam3_edge.runtime.gstreamer.appsink import keep_all, keep_newest
from sam3_edge.runtime.gstreamer.least_delay import LeastDelay
from sam3_edge.runtime.gstreamer.load import load_gst

_LOOK_UP_NS = 100_000_000  # how often one who waits for a picture asks for errors
_REASON_NS = 500_000_000  # an element may fail first, and say why a moment later
_CLOSE_S = 3.0
_DECODERS = "gstreamer1.0-libav gstreamer1.0-plugins-bad"
_OLDEST_NS = 10_000_000_000  # a picture older than this has a time stamp of another clock


class PictureStream:
    """Owns a pipeline. `open` starts it, `pull` gives samples, `close` ends it from any thread."""

    def __init__(self, pipeline: Any, sink: Any, *, stamped_by_sender: bool = False) -> None:
        """stamped_by_sender: its time stamps begin anywhere, and run by another machine's clock."""
        self._gst = load_gst()
        self._pipeline, self._sink = pipeline, sink
        self._bus = pipeline.get_bus()
        self._least_delay = LeastDelay() if stamped_by_sender else None
        self._stopping = Event()
        self._is_closed = False
        self._failure: str | None = None
        self._num_before = self._num_pulled = self._num_dropped = 0
        self.live = False

    def open(self, patience_s: float, live: bool | None = None) -> None:
        """Play it. live: whether it is, where that is known before.

        Raises SourceError where it does not start in time, or at all.
        """
        until = monotonic() + patience_s
        state = self._set_state(self._gst.State.PAUSED, patience_s)
        if state is None:
            raise SourceError(f"a pipeline that does not start within {patience_s:g} s")
        # A source that is known to be live has nothing to show before it plays.
        while live is None and state == self._gst.StateChangeReturn.ASYNC:
            self._check()
            if monotonic() > until:
                raise SourceError(f"no picture within {patience_s:g} s")
            state = self._pipeline.get_state(_LOOK_UP_NS)[0]
        self._check()
        if state == self._gst.StateChangeReturn.FAILURE:
            self._check(_REASON_NS)
            raise SourceError("a pipeline that does not start, without a reason")
        # The latency query is no witness: before PLAYING it answers for the sink, not the source.
        self.live = live if live is not None else state == self._gst.StateChangeReturn.NO_PREROLL
        (keep_newest if self.live else keep_all)(self._sink)
        self._pipeline.set_state(self._gst.State.PLAYING)

    def forget(self) -> None:
        """Let go of what is old: the count of dropped pictures begins here."""
        while self._sink.try_pull_sample(0) is not None:
            pass
        self._num_before, self._num_pulled = self._num_arrived(), 0

    def pull(self, patience_s: float | None) -> Any | None:
        """The next sample; None at the end of the stream, and after `stop`.

        patience_s: how long none may come. Raises SourceError with the reason alone: the caller
        knows what to call the source and what to do.
        """
        until = None if patience_s is None else monotonic() + patience_s
        num_arrived = self._num_arrived()
        while not self._stopping.is_set():
            sample = self._sink.try_pull_sample(_LOOK_UP_NS)
            self._look_at_bus()
            if sample is not None:
                self._count(num_arrived)
                return sample
            self._check()
            if self._sink.is_eos():
                return None
            if until is not None and monotonic() > until:
                raise SourceError(f"no picture for {patience_s:g} s")
            num_arrived = self._num_arrived()
        return None

    @property
    def is_stopped(self) -> bool:
        return self._stopping.is_set()

    @property
    def num_dropped(self) -> int:
        """Pictures of a live one that gave way; the last may be told with the next picture."""
        return self._num_dropped if self.live else 0

    def captured_ns(self, sample: Any) -> int:
        """time.monotonic_ns() at the moment the source stamped the picture with; now where it has
        no stamp, or one that cannot be."""
        now = monotonic_ns()
        clock, stamp = self._pipeline.get_clock(), sample.get_buffer().pts
        if clock is None or stamp == self._gst.CLOCK_TIME_NONE:
            return now
        running = sample.get_segment().to_running_time(self._gst.Format.TIME, stamp)
        if running == self._gst.CLOCK_TIME_NONE:
            return now
        age = int(clock.get_time() - self._pipeline.get_base_time() - running)
        if self._least_delay is not None:
            age = self._least_delay.beyond(age, now)
        return now - age if 0 <= age <= _OLDEST_NS else now

    def stream_time_s(self, sample: Any) -> float | None:
        """Where the picture is in its stream; None where nobody says."""
        stamp = sample.get_buffer().pts
        if stamp == self._gst.CLOCK_TIME_NONE:
            return None
        time_ns = sample.get_segment().to_stream_time(self._gst.Format.TIME, stamp)
        return None if time_ns == self._gst.CLOCK_TIME_NONE else time_ns / 1e9

    def stop(self) -> None:
        """Whoever waits in `pull` comes back."""
        self._stopping.set()

    def close(self) -> None:
        """Stop it; one that hangs in its driver is left alone after 3 s. Safe to call twice."""
        self.stop()
        if self._is_closed:
            return
        self._is_closed = True
        self._set_state(self._gst.State.NULL, _CLOSE_S)

    def _set_state(self, state: Any, patience_s: float) -> Any | None:
        """What it gave; None while it hangs, in a driver or a connection, which nothing wakes."""
        given: list[Any] = []
        setting = Thread(
            target=lambda: given.append(self._pipeline.set_state(state)),
            name="sam3-edge pipeline",
            daemon=True,
        )
        setting.start()
        setting.join(patience_s)
        return given[0] if given else None

    def _num_arrived(self) -> int:
        return int(self._sink.get_property("stats").get_uint64("rendered")[1])

    def _count(self, num_arrived: int) -> None:
        """num_arrived: before this sample was asked for, so that none that waits counts as lost."""
        self._num_pulled += 1
        lost = num_arrived - self._num_before - self._num_pulled
        self._num_dropped = max(self._num_dropped, lost)

    def _look_at_bus(self, wait_ns: int = 0) -> None:
        """Also empties it, of all that nobody reads."""
        message = self._bus.timed_pop_filtered(wait_ns, self._gst.MessageType.ERROR)
        if message is not None and self._failure is None:
            self._failure = error_line(message)

    def _check(self, wait_ns: int = 0) -> None:
        self._look_at_bus(wait_ns)
        if self._failure is not None:
            raise SourceError(self._failure)


def error_line(message: Any) -> str:
    """An error of the bus: the element, what it says, and the cause it gives; without passwords.

    Where a decoder is missing, also what to install."""
    error, debug = message.parse_error()
    # The first line of `debug` is a place in GStreamer's source code.
    causes = [line.strip() for line in (debug or "").splitlines()[1:] if line.strip()]
    missing = " ".join(causes).partition("Missing decoder: ")[2]
    if missing:  # followed by the stream's caps, which fill a page
        return f"no decoder for {missing.partition(' (video/')[0]}; sudo apt install {_DECODERS}"
    cause = f" ({' '.join(causes)})" if causes else ""
    return without_secrets(f"{message.src.get_name()}: {error.message.rstrip('.')}{cause}")

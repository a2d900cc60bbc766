"""An RTSP server for one picture stream, which is encoded while somebody watches it, and not else."""

from threading import Event, Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3_edge.errors import SinkError, SourceError
from sam3_edge.runtime.gstreamer.load import load_gst, load_gst_part

# In software: the smallest boards have no encoder. Live: what is not encoded in time gives way.
_PIPELINE = (
    "( appsrc name=pictures is-live=true format=time do-timestamp=true leaky-type=downstream "
    "max-buffers=2 ! videoconvert ! video/x-raw,format=I420 ! x264enc tune=zerolatency "
    "speed-preset=ultrafast key-int-max={key_frames} bitrate=4000 ! h264parse ! "
    "rtph264pay name=pay0 pt=96 config-interval=-1 )"
)
_ELEMENTS = ("appsrc", "videoconvert", "x264enc", "h264parse", "rtph264pay")
_CLEANUP_S = 2  # how often those who have gone without a word are looked for
_KEY_FRAMES_S = 2


class RtspServer:
    """Any number of watchers share one encoder. `push` by one thread; the server has its own."""

    def __init__(self, host: str, port: int, path: str, fps: float) -> None:
        """host: the address to listen at; 0.0.0.0 for all. path: begins with /.

        Raises SinkError where it cannot listen there, or GStreamer lacks what is needed.
        """
        self._fps = max(1, round(fps))
        self._source: Any = None  # the appsrc, while somebody watches
        self._described: tuple[Any, int, int] | None = None  # whom the caps were given, and theirs
        self._gst, rtsp, self._glib = _load()
        self._server = rtsp.RTSPServer(address=host, service=str(port))
        factory = rtsp.RTSPMediaFactory()
        factory.set_launch(_PIPELINE.format(key_frames=self._fps * _KEY_FRAMES_S))
        factory.set_shared(True)
        factory.set_latency(0)
        factory.connect("media-configure", self._watched)
        self._server.get_mount_points().add_factory(path, factory)
        self._filter_result = rtsp.RTSPFilterResult
        self._context = self._glib.MainContext.new()
        self._sources = [self._listen(host, port), self._cleanup()]
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="sam3-edge RTSP server", daemon=True)
        self._thread.start()

    @property
    def is_watched(self) -> bool:
        return self._source is not None

    def push(self, picture: NDArray[np.uint8]) -> bool:
        """picture: (H, W, 3) uint8 BGR, copied. Whether somebody watches."""
        source = self._source
        if source is None:
            return False
        # Colours go by two pixels: one that is odd is cut, and what is left has two at least.
        height, width = (max(2, edge // 2 * 2) for edge in picture.shape[:2])
        if self._described != (source, height, width):
            self._described = (source, height, width)
            source.set_property("caps", self._caps(height, width))
        shown = picture[:height, :width]
        rows = np.zeros((height, -(-3 * width // 4) * 4), np.uint8)  # GStreamer's: multiples of 4
        rows[: len(shown), : 3 * shown.shape[1]] = shown.reshape(len(shown), -1)
        source.emit("push-buffer", self._gst.Buffer.new_wrapped(rows.tobytes()))
        return True

    def close(self) -> None:
        """Safe to call twice. Who watches is sent away."""
        self._source = None
        self._server.client_filter(lambda *_: self._filter_result.REMOVE)
        for source in self._sources:
            source.destroy()
        self._sources = []
        self._stopping.set()
        self._context.wakeup()
        self._thread.join()

    def _run(self) -> None:
        """No MainLoop: one that is told to quit before it runs would run for ever."""
        while not self._stopping.is_set():
            self._context.iteration(True)

    def _listen(self, host: str, port: int) -> Any:
        try:
            source = self._server.create_source(None)
        except self._glib.Error as error:
            raise SinkError(
                f"cannot serve RTSP at {host}:{port}: {error.message}; choose an address of this "
                "machine and a port that is free"
            ) from error
        source.attach(self._context)
        return source

    def _cleanup(self) -> Any:
        def clean() -> bool:
            self._server.get_session_pool().cleanup()
            return True

        source = self._glib.timeout_source_new_seconds(_CLEANUP_S)
        source.set_callback(lambda *_: clean())
        source.attach(self._context)
        return source

    def _watched(self, _: Any, media: Any) -> None:
        """By a thread of the server, as `unwatched`: an encoder was made."""
        source = media.get_element().get_by_name_recurse_up("pictures")

        def unwatched(_: Any) -> None:
            if self._source is source:
                self._source = None

        media.connect("unprepared", unwatched)
        self._source = source

    def _caps(self, height: int, width: int) -> Any:
        return self._gst.Caps.from_string(
            f"video/x-raw,format=BGR,width={width},height={height},framerate={self._fps}/1"
        )


def _load() -> tuple[Any, Any, Any]:
    """Gst, GstRtspServer and GLib. Raises SinkError."""
    try:
        gst, rtsp = load_gst(), load_gst_part("GstRtspServer")
        load_gst_part("GstApp")
        glib = load_gst_part("GLib")
    except SourceError as error:
        raise SinkError(str(error)) from error
    missing = [name for name in _ELEMENTS if gst.ElementFactory.find(name) is None]
    if missing:
        raise SinkError(
            f"expected GStreamer's {', '.join(missing)} for RTSP, found none; install it with: "
            "sudo apt install gstreamer1.0-plugins-good gstreamer1.0-plugins-bad "
            "gstreamer1.0-plugins-ugly"
        )
    return gst, rtsp, glib

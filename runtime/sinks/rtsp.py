"""The annotated video as a stream that others may watch: rtsp://0.0.0.0:8554/sam3."""

from urllib.parse import urlsplit

from sam3_edge.errors import UsageError
from sam3_edge.runtime.address import without_secrets
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.sinks.canvas import Canvas
from sam3_edge.runtime.source_event import SourceEvent

_PORT = 8554


class RtspSink:
    """Draws and encodes while somebody watches; otherwise it costs nothing. No password: who
    reaches the port sees the pictures."""

    draws = True
    in_callers_thread = False

    def __init__(self, text: str, fps: float) -> None:
        """text: rtsp://ADDRESS[:PORT]/PATH, of this machine. Listens from now on.

        Raises UsageError, and SinkError where it cannot.
        """
        from sam3_edge.runtime.gstreamer.rtsp_server import RtspServer

        host, port, path = parse_rtsp_place(text)
        self.name = f"rtsp://{f'[{host}]' if ':' in host else host}:{port}{path}"
        self._canvas = Canvas()
        self._server = RtspServer(host, port, path, fps)
        self._frames = 0

    @property
    def written(self) -> str | None:
        return f"{self.name} ({self._frames} frames watched)" if self._frames else None

    def write(self, result: FrameResult) -> None:
        if self._server.is_watched and self._server.push(self._canvas.draw(result)):
            self._frames += 1

    def tell(self, event: SourceEvent) -> None:
        pass

    def close(self) -> None:
        self._server.close()


def parse_rtsp_place(text: str) -> tuple[str, int, str]:
    """(address, port, path with its /). Raises UsageError."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _is_wrong(text) from error
    has_more = parts.username is not None or parts.query or parts.fragment
    if parts.scheme != "rtsp" or not host or port == 0 or len(parts.path) < 2 or has_more:
        raise _is_wrong(text)
    return host, port or _PORT, parts.path


def _is_wrong(text: str) -> UsageError:
    return UsageError(
        f"expected rtsp://ADDRESS[:PORT]/PATH, got {without_secrets(text)!r}; for example "
        "rtsp://0.0.0.0:8554/sam3"
    )

"""A real RTSP server on loopback, in a process of its own: it can be killed as a camera can."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sam3_edge.runtime.gstreamer.load import load_gst, load_gst_part

HOST = "127.0.0.1"
VIDEO = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=30/1"
H264 = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph264pay name=pay0 pt=96"


class RtspServer:
    """rtsp://127.0.0.1:PORT/live, until it is killed; `start` starts it again on the same port."""

    def __init__(
        self, video: str = VIDEO, encoder: str = H264, user: str = "", port: int | None = None
    ) -> None:
        """video, encoder: halves of a pipeline. user: "name:password", where it asks for one.

        port: by default any that is free.
        """
        self.port = free_port() if port is None else port
        self._arguments = [str(self.port), f"{video} ! videoconvert ! {encoder}", user]
        self._process: subprocess.Popen[str] | None = None
        self.url = f"rtsp://{HOST}:{self.port}/live"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *self._arguments], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        """As if its power were cut, but for the connections, which the system closes."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def pause(self) -> None:
        """It holds its connections and says nothing any more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)


@contextmanager
def serving(video: str = VIDEO, encoder: str = H264, user: str = "") -> Iterator[RtspServer]:
    server = RtspServer(video, encoder, user)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def serve(port: str, pipeline: str, user: str) -> None:
    """Never returns. It ends with its parent, whose end of the pipe says so."""
    load_gst()
    rtsp, loop = load_gst_part("GstRtspServer"), load_gst_part("GLib").MainLoop()
    server = rtsp.RTSPServer(address=HOST, service=port)
    factory = rtsp.RTSPMediaFactory()
    factory.set_launch(f"( {pipeline} )")
    factory.set_shared(True)
    factory.set_latency(0)
    if user:
        _ask_for(rtsp, server, factory, user)
    server.get_mount_points().add_factory("/live", factory)
    assert server.attach(None), f"port {port} is taken"
    print("ready", flush=True)
    loop.run()


def _ask_for(rtsp: Any, server: Any, factory: Any, user: str) -> None:
    name, _, password = user.partition(":")
    token = rtsp.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth = rtsp.RTSPAuth()
    auth.add_basic(rtsp.RTSPAuth.make_basic(name, password), token)
    server.set_auth(auth)
    permissions = rtsp.RTSPPermissions()
    permissions.add_permission_for_role("user", "media.factory.access", True)
    permissions.add_permission_for_role("user", "media.factory.construct", True)
    factory.set_permissions(permissions)


if __name__ == "__main__":
    serve(*sys.argv[1:4])

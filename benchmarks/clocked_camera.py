"""An RTSP camera on loopback that draws the time into its pictures: 720p, H.264.

Who reads it compares the time in a picture with the clock of the same machine, so that every
millisecond between is counted: encoder, network, decoder, hand-over, and what comes after.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from time import monotonic_ns
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.runtime.gstreamer.load import load_gst, load_gst_part
from sam3_edge.runtime.scene import Scene

HEIGHT, WIDTH = 720, 1280
SQUARE, BITS = 40, 24  # of milliseconds: they begin again after four hours


def age_ms(image: NDArray[np.uint8], now_ns: int) -> float:
    """image: (H, W, 3) uint8 BGR with a time in it. now_ns: when it was there."""
    middle = SQUARE // 2
    bits = image[middle, middle : SQUARE * BITS : SQUARE, 1] > 127
    drawn_ms = sum(1 << place for place, bit in enumerate(bits) if bit)
    return (now_ns / 1e6 - drawn_ms) % (1 << BITS)


def _draw_time(luma: NDArray[np.uint8]) -> None:
    """luma: (H, W) uint8, changed in place."""
    drawn_ms = monotonic_ns() // 1_000_000
    for place in range(BITS):
        luma[:SQUARE, place * SQUARE : (place + 1) * SQUARE] = 255 * (drawn_ms >> place & 1)


@contextmanager
def clocked_camera(fps: int, port: int = 0) -> Iterator[str]:
    """Its address, while entered; then it is killed, as if its power were cut. port: 0: any."""
    command = [sys.executable, str(Path(__file__)), str(fps), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def _serve(fps: int, port: str) -> None:
    load_gst()
    server_part, loop = load_gst_part("GstRtspServer"), load_gst_part("GLib").MainLoop()
    server = server_part.RTSPServer(address="127.0.0.1", service=port)
    factory = server_part.RTSPMediaFactory()
    factory.set_launch(_encoded(fps))
    factory.set_shared(True)
    factory.set_latency(0)
    factory.connect("media-configure", lambda _, media: _feed(media, fps))
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    print(f"rtsp://127.0.0.1:{server.get_bound_port()}/live", flush=True)
    loop.run()


def _feed(media: Any, fps: int) -> None:
    """A thread pushes pictures until nobody looks any more."""
    source, ended = media.get_element().get_by_name_recurse_up("pictures"), Event()
    media.connect("unprepared", lambda _: ended.set())
    Thread(target=_push, args=(source, ended, fps), daemon=True).start()


def _push(source: Any, ended: Event, fps: int) -> None:
    """A scene that glides by: pictures of a camera are never twice the same."""
    gst = load_gst()
    picture = cv2.resize(Scene(seed=0).frame(0), (WIDTH, HEIGHT))
    planes = cv2.cvtColor(np.tile(picture, (1, 2, 1)), cv2.COLOR_BGR2YUV_I420)
    luma = planes[:HEIGHT]
    chroma = planes[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH)
    due_ns, shift = monotonic_ns(), 0
    while not ended.is_set():
        seen: NDArray[np.uint8] = luma[:, shift : shift + WIDTH].astype(np.uint8)
        colours = chroma[:, :, shift // 2 : (shift + WIDTH) // 2].astype(np.uint8)
        colours[:, : SQUARE // 2] = 128
        _draw_time(seen)
        content = seen.tobytes() + colours.tobytes()
        source.emit("push-buffer", gst.Buffer.new_wrapped(content))
        shift = (shift + 4) % WIDTH
        due_ns = max(due_ns + 1_000_000_000 // fps, monotonic_ns())
        ended.wait((due_ns - monotonic_ns()) / 1e9)


def _encoded(fps: int) -> str:
    return (
        "( appsrc name=pictures is-live=true format=time do-timestamp=true "
        f"caps=video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate={fps}/1 ! "
        "x264enc tune=zerolatency speed-preset=ultrafast bitrate=4000 key-int-max=30 ! "
        "rtph264pay name=pay0 pt=96 )"
    )


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2])

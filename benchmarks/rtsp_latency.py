"""How old a picture of an RTSP camera is when it is handed over: 720p at 30 a second, over loopback.

    python benchmarks/rtsp_latency.py [--quick]

The server draws the time into every picture, as squares of black and white, before it encodes it
with x264 (no frames held back); who reads it compares that with the clock of the same machine. So
the figures hold encoder, network, decoder and hand-over. Beside our two readers stand those that a
script would have: OpenCV's, and rtspsrc as it is without settings.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from threading import Event, Thread
from time import monotonic_ns, sleep
from typing import Any

import click
import cv2
import numpy as np
from claim_table import Claim, machine_text, open_console, print_claims
from numpy.typing import NDArray

from sam3_edge.runtime.gstreamer.load import load_gst, load_gst_part
from sam3_edge.runtime.gstreamer.picture import PictureReader
from sam3_edge.runtime.scene import Scene
from sam3_edge.runtime.sources import rtsp
from sam3_edge.runtime.sources.ffmpeg_stream import FFmpegStreamSource
from sam3_edge.runtime.sources.gstreamer import GStreamerSource

Opened = GStreamerSource | FFmpegStreamSource
HEIGHT, WIDTH, FPS = 720, 1280, 30
SQUARE, BITS = 40, 24  # of milliseconds: they begin again after four hours
GSTREAMER_MS, SLOW_MS, FALLBACK_MS = 8, 35, 72
FRAMES, QUICK_FRAMES = 300, 8
SLOW_S, SLOW_FRAMES = 0.2, 50
ENCODED = (
    "( appsrc name=pictures is-live=true format=time do-timestamp=true "
    f"caps=video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate={FPS}/1 ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=4000 "
    "key-int-max=30 ! rtph264pay name=pay0 pt=96 )"
)


@click.command()
@click.option("--quick", is_flag=True, help="A few pictures of each: to see that it runs.")
@click.option("--serve", is_flag=True, hidden=True)
def main(quick: bool, serve: bool) -> None:
    if serve:
        _serve()
        return
    frames = QUICK_FRAMES if quick else FRAMES
    console = open_console()
    console.print(f"{machine_text()}; {load_gst().version_string()}; {frames} pictures of each")
    claims = []
    with _server() as url:
        arrived: list[float] = []
        ours = _ages(lambda: rtsp.open_rtsp(url), frames, arrived=arrived)
        claims += _claims("appsink, newest only", ours, GSTREAMER_MS)
        claims += _claims("of these, as the source tells it", arrived)
        slow = _ages(lambda: rtsp.open_rtsp(url), min(frames, SLOW_FRAMES), SLOW_S)
        claims += _claims("the same, 0.2 s for every picture", slow, SLOW_MS)
        claims += _claims("without GStreamer", _ages(lambda: _fallback(url), frames), FALLBACK_MS)
        claims += _claims("cv2.VideoCapture(url)", _opencv_ages(url, frames))
        claims += _claims("rtspsrc ! appsink as they are", _plain_ages(url, frames))
    print_claims(console, claims, quick=quick)


def _claims(name: str, ages_ms: list[float], limit: float | None = None) -> list[Claim]:
    median, late = np.percentile(ages_ms, [50, 95])
    return [
        Claim(name=f"{name}: median", figure=float(median), unit="ms", limit=limit),
        Claim(name=f"{name}: 95 of 100", figure=float(late), unit="ms"),
    ]


def _ages(
    opened: Callable[[], Opened],
    num_frames: int,
    wait_s: float = 0.0,
    arrived: list[float] | None = None,
) -> list[float]:
    """Milliseconds, of every picture after a second's worth, in which a stream finds its pace.

    arrived: filled with the ages that the source itself tells.
    """
    ages = []
    skipped = 0 if wait_s else FPS
    with closing(opened()) as source:
        for frame in islice(source.frames(), skipped + num_frames):
            now = monotonic_ns()
            ages.append(_age_ms(frame.bgr(), now))
            if arrived is not None and len(ages) > skipped:
                arrived.append((now - frame.captured_ns) / 1e6)
            sleep(wait_s)
    return ages[skipped:]


def _fallback(url: str) -> Opened:
    with_gst, rtsp.has_rtspsrc = rtsp.has_rtspsrc, lambda: False
    try:
        return rtsp.open_rtsp(url)
    finally:
        rtsp.has_rtspsrc = with_gst


def _opencv_ages(url: str, num_frames: int) -> list[float]:
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG)
    ages = []
    for _ in range(FPS + num_frames):
        there, image = capture.read()
        now = monotonic_ns()
        if not there:
            raise click.ClickException("OpenCV reads no more")
        ages.append(_age_ms(image.astype(np.uint8, copy=False), now))
    capture.release()
    return ages[FPS:]


def _plain_ages(url: str, num_frames: int) -> list[float]:
    pipeline = load_gst().parse_launch(
        f"rtspsrc location={url} ! decodebin ! videoconvert ! video/x-raw,format=BGR ! appsink name=end"
    )
    load_gst_part("GstApp")
    sink, reader = pipeline.get_by_name("end"), PictureReader()
    pipeline.set_state(load_gst().State.PLAYING)
    ages = []
    for _ in range(FPS + num_frames):
        sample = sink.emit("pull-sample")
        now = monotonic_ns()
        picture, _layout = reader.read(sample)
        ages.append(_age_ms(picture.reshape(HEIGHT, WIDTH, 3), now))
    pipeline.set_state(load_gst().State.NULL)
    return ages[FPS:]


def _age_ms(image: NDArray[np.uint8], now_ns: int) -> float:
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
def _server() -> Iterator[str]:
    command = [sys.executable, str(Path(__file__)), "--serve"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def _serve() -> None:
    load_gst()
    server_part, loop = load_gst_part("GstRtspServer"), load_gst_part("GLib").MainLoop()
    server = server_part.RTSPServer(address="127.0.0.1", service="0")
    factory = server_part.RTSPMediaFactory()
    factory.set_launch(ENCODED)
    factory.set_shared(True)
    factory.set_latency(0)
    factory.connect("media-configure", _feed)
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    print(f"rtsp://127.0.0.1:{server.get_bound_port()}/live", flush=True)
    loop.run()


def _feed(_factory: Any, media: Any) -> None:
    """A thread pushes pictures until nobody looks any more."""
    source, ended = media.get_element().get_by_name_recurse_up("pictures"), Event()
    media.connect("unprepared", lambda _: ended.set())
    Thread(target=_push, args=(source, ended), daemon=True).start()


def _push(source: Any, ended: Event) -> None:
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
        due_ns = max(due_ns + 1_000_000_000 // FPS, monotonic_ns())
        ended.wait((due_ns - monotonic_ns()) / 1e9)


if __name__ == "__main__":
    main()

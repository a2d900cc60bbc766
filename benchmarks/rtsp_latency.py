"""How old a picture of an RTSP camera is when it is handed over: 720p at 30 a second, over loopback.

    python benchmarks/rtsp_latency.py [--quick]

The server draws the time into every picture, as squares of black and white, before it encodes it
with x264 (no frames held back); who reads it compares that with the clock of the same machine. So
the figures hold encoder, network, decoder and hand-over. Beside our two readers stand those that a
script would have: OpenCV's, and rtspsrc as it is without settings.
"""

from collections.abc import Callable
from contextlib import closing
from itertools import islice
from time import monotonic_ns, sleep

import click
import cv2
import numpy as np
from claim_table import Claim, machine_text, open_console, print_claims
from clocked_camera import HEIGHT, WIDTH, age_ms, clocked_camera

from sam3_edge.runtime.gstreamer.load import load_gst, load_gst_part
from sam3_edge.runtime.gstreamer.picture import PictureReader
from sam3_edge.runtime.sources import rtsp
from sam3_edge.runtime.sources.ffmpeg_stream import FFmpegStreamSource
from sam3_edge.runtime.sources.gstreamer import GStreamerSource

Opened = GStreamerSource | FFmpegStreamSource
FPS = 30
GSTREAMER_MS, SLOW_MS, FALLBACK_MS = 8, 35, 72
FRAMES, QUICK_FRAMES = 300, 8
SLOW_S, SLOW_FRAMES = 0.2, 50


@click.command()
@click.option("--quick", is_flag=True, help="A few pictures of each: to see that it runs.")
def main(quick: bool) -> None:
    frames = QUICK_FRAMES if quick else FRAMES
    console = open_console()
    console.print(f"{machine_text()}; {load_gst().version_string()}; {frames} pictures of each")
    claims = []
    with clocked_camera(FPS) as url:
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
            ages.append(age_ms(frame.bgr(), now))
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
        ages.append(age_ms(image.astype(np.uint8, copy=False), now))
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
        ages.append(age_ms(picture.reshape(HEIGHT, WIDTH, 3), now))
    pipeline.set_state(load_gst().State.NULL)
    return ages[FPS:]


if __name__ == "__main__":
    main()

"""From light to line: what an RTSP camera's picture costs in time besides the engine's own.

    python benchmarks/rtsp_end_to_end.py [--quick]

A 720p camera on loopback draws the time into its pictures (`clocked_camera.py`). `sam3-edge run`'s
own path reads it with the default bundle and writes JSON lines. Counted is the time from the drawing
to the written line, less vision and decoder: encoder, network, decoder, hand-overs, resize, masks,
text. A camera that the engine keeps up with, one of 30 a second held to --max-fps, and the same
without, where a picture waits for the one before it in the engine.
"""

import os
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic_ns

import click
import cv2
import numpy as np
from claim_table import Claim, machine_text, open_console, print_claims
from clocked_camera import age_ms, clocked_camera
from default_model import load_default

from sam3_edge.bench.load import Loaded
from sam3_edge.errors import Sam3EdgeError
from sam3_edge.runtime.capture import Capture, Pace
from sam3_edge.runtime.pipeline import deliver, detect
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.sinks.jsonl import JsonlSink
from sam3_edge.runtime.sources import open_source

SLOW_FPS, FAST_FPS, HELD_FPS = 15, 30, 10.0
ADDED_MS = 15
FRAMES, QUICK_FRAMES, WARM_UP = 300, 8, 10


class StampedSink(JsonlSink):
    """written_ns: when each line was with the system, by the frame's index."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.written_ns: dict[int, int] = {}

    def write(self, result: FrameResult) -> None:
        super().write(result)
        self.written_ns[result.frame.index] = monotonic_ns()


@click.command()
@click.option("--quick", is_flag=True, help="A few pictures: to see that it runs.")
def main(quick: bool) -> None:
    frames = QUICK_FRAMES if quick else FRAMES
    cv2.setNumThreads(1)  # as `run` does
    console = open_console()
    console.print(f"{machine_text()}; default bundle, one prompt, {frames} pictures of each")
    claims = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        loaded = stack.enter_context(load_default(folder, "fish"))
        for camera_fps, max_fps, limit in (
            (SLOW_FPS, None, ADDED_MS),
            (FAST_FPS, HELD_FPS, ADDED_MS),
            (FAST_FPS, None, None),
        ):
            with clocked_camera(camera_fps) as url:
                added, whole = _added_ms(url, loaded, frames, max_fps)
            held = "" if max_fps is None else f", --max-fps {max_fps:g}"
            claims += _claims(f"{camera_fps} a second{held}", added, whole, limit)
    print_claims(console, claims, quick=quick)


def _added_ms(
    url: str, loaded: Loaded, frames: int, max_fps: float | None
) -> tuple[list[float], list[float]]:
    """Milliseconds: without the engine, and with it."""
    sink = StampedSink(os.devnull)
    drawn: list[tuple[int, float, int, float]] = []  # index, age of the drawing at a time, engine

    def on_result(result: FrameResult) -> None:
        now_ns = monotonic_ns()
        engine_ms = result.timing.vision_ms + result.timing.decoder_ms
        age = age_ms(result.frame.bgr(), now_ns)
        drawn.append((result.frame.index, age, now_ns, engine_ms))

    capture = Capture(open_source(url), Pace(max_fps=max_fps), limit=WARM_UP + frames)
    with closing(capture):
        results = detect(capture, loaded.backend, loaded.request)
        deliver(results, [sink], on_result, live=True)
    whole, added = [], []
    for index, age, now_ns, engine_ms in drawn[WARM_UP:]:
        if index in sink.written_ns:
            whole.append(age + (sink.written_ns[index] - now_ns) / 1e6)
            added.append(whole[-1] - engine_ms)
    return added, whole


def _claims(name: str, added: list[float], whole: list[float], limit: float | None) -> list[Claim]:
    median, late = np.percentile(added, [50, 95])
    return [
        Claim(name=f"{name}: added, median", figure=float(median), unit="ms", limit=limit),
        Claim(name=f"{name}: added, 95 of 100", figure=float(late), unit="ms"),
        Claim(name=f"{name}: with the engine, median", figure=float(np.median(whole)), unit="ms"),
    ]


if __name__ == "__main__":
    try:
        main()
    except Sam3EdgeError as error:
        raise SystemExit(f"rtsp_end_to_end: error: {error}") from error

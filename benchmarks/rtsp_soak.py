"""An RTSP camera whose power is cut every minute: does anything grow?

    python benchmarks/rtsp_soak.py [--minutes 30] [--quick]

`sam3-edge run`'s own path with the default bundle. The camera's process is killed and started again
a few seconds later, while the source keeps trying. Resident memory, open descriptors and threads
are read once a minute, with the camera up; growth counts from the end of the third minute, when
everything has been lost and found twice.
"""

import os
import socket
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import monotonic

import click
import cv2
from claim_table import Claim, machine_text, open_console, print_claims
from clocked_camera import clocked_camera
from default_model import load_default
from rich.table import Table

from sam3_edge.bench.memory import read_memory
from sam3_edge.errors import Sam3EdgeError
from sam3_edge.runtime.allocator import limit_arenas
from sam3_edge.runtime.capture import Capture, Pace
from sam3_edge.runtime.pipeline import deliver, detect
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.sinks.jsonl import JsonlSink
from sam3_edge.runtime.sources import open_source
from sam3_edge.runtime.sources.reconnecting import ReconnectingSource

CAMERA_FPS, MAX_FPS = 15, 5.0
SETTLED = 3  # rounds
GROWTH_MB = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """At the end of a round, while the camera gives pictures. files: open descriptors."""

    minutes: float
    frames: int
    recovered: int
    rss_mb: float
    files: int
    threads: int


class Watch:
    """What has come so far."""

    def __init__(self) -> None:
        self.frames = self.recovered = 0
        self.started_s = monotonic()
        self.samples: list[Sample] = []

    def add(self, result: FrameResult) -> None:
        self.frames += 1
        self.recovered += result.frame.state == "recovered"

    def sample(self) -> None:
        memory = read_memory(None)
        self.samples.append(
            Sample(
                minutes=(monotonic() - self.started_s) / 60,
                frames=self.frames,
                recovered=self.recovered,
                rss_mb=(memory.rss_bytes or 0) / 2**20,
                files=len(list(Path("/proc/self/fd").iterdir())),
                threads=len(list(Path("/proc/self/task").iterdir())),
            )
        )


@click.command()
@click.option("--minutes", type=click.IntRange(min=SETTLED + 1), default=30, show_default=True)
@click.option("--quick", is_flag=True, help="Rounds of seconds: to see that it runs.")
def main(minutes: int, quick: bool) -> None:
    up_s, down_s, rounds = (4.0, 1.0, SETTLED + 1) if quick else (55.0, 5.0, minutes)
    cv2.setNumThreads(1)  # as `run` does
    limit_arenas()
    console = open_console()
    console.print(f"{machine_text()}; default bundle, camera killed every {up_s + down_s:g} s")
    watch, stop = Watch(), Event()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        loaded = stack.enter_context(load_default(folder, "fish"))
        port = _free_port()
        with clocked_camera(CAMERA_FPS, port) as url:
            source = ReconnectingSource(open_source(url), lambda: open_source(url))
        cutter = Thread(target=_cut, args=(port, up_s, down_s, rounds, watch, stop))
        cutter.start()
        with closing(Capture(source, Pace(max_fps=MAX_FPS))) as capture:
            results = detect(capture, loaded.backend, loaded.request, None, stop.is_set)
            deliver(results, [JsonlSink(os.devnull)], watch.add, live=True)
        cutter.join()
    _print(watch.samples)
    print_claims(console, _claims(watch.samples), quick=quick)


def _cut(port: int, up_s: float, down_s: float, rounds: int, watch: Watch, stop: Event) -> None:
    for _ in range(rounds):
        with clocked_camera(CAMERA_FPS, port):
            stop.wait(up_s)
            watch.sample()
        stop.wait(down_s)
    stop.set()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _print(samples: list[Sample]) -> None:
    table = Table("minutes", box=None, header_style="bold")
    for name in ("frames", "recovered", "resident MB", "open files", "threads"):
        table.add_column(name, justify="right")
    for each in samples:
        table.add_row(
            f"{each.minutes:.1f}", str(each.frames), str(each.recovered), f"{each.rss_mb:.1f}",
            str(each.files), str(each.threads),
        )  # fmt: skip
    open_console().print(table)


def _claims(samples: list[Sample]) -> list[Claim]:
    settled, last = samples[SETTLED - 1], samples[-1]
    after = f"since minute {settled.minutes:.0f}"
    later = samples[SETTLED - 1 :]
    return [
        Claim(
            name=f"growth of resident memory {after}",
            figure=max(each.rss_mb for each in later) - settled.rss_mb,
            unit="MB",
            limit=GROWTH_MB,
        ),
        Claim(
            name=f"open files more {after}",
            figure=last.files - settled.files,
            unit="",
            limit=0,
        ),
        Claim(
            name=f"threads more {after}", figure=last.threads - settled.threads, unit="", limit=0
        ),
        Claim(
            name="rounds without a recovery (the first begins with one)",
            figure=len(samples) - last.recovered,
            unit="",
            limit=0,
        ),
    ]


if __name__ == "__main__":
    try:
        main()
    except Sam3EdgeError as error:
        raise SystemExit(f"rtsp_soak: error: {error}") from error

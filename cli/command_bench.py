"""`sam3-edge bench`: the options, and what --help says of them."""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from sam3_edge.bench.command import BenchOptions, compare_reports, run_bench
from sam3_edge.errors import UsageError

_PATH = click.Path(path_type=Path)


@click.command(short_help="Measure latency, throughput, memory and power here.")
@click.option(
    "--bundle", "bundles", type=_PATH, multiple=True, metavar="FOLDER",
    help="The model; repeat it to measure several, as its precisions.  [default: the one that "
    "comes with sam3-edge]",
)  # fmt: skip
@click.option(
    "--source", metavar="SOURCE",
    help="A video, folder, image, camera:0 or demo.  [default: synthetic frames, the same ones "
    "every time, which cost nothing to make]",
)  # fmt: skip
@click.option(
    "--prompt", "prompts", multiple=True, metavar="TEXT",
    help="What to find; repeat it.  [default: the first phrase the bundle knows]",
)  # fmt: skip
@click.option(
    "--size", "sizes", multiple=True, metavar="WxH",
    help="Of the synthetic frames; repeat it to measure several.  [default: 1280x720]",
)  # fmt: skip
@click.option(
    "--fps", type=click.FloatRange(min=0, min_open=True), metavar="N",
    help="Synthetic frames come as from a camera, and are lost if late.  [default: each as soon "
    "as it is taken]",
)  # fmt: skip
@click.option(
    "--frames", type=click.IntRange(min=1), metavar="N", help="To measure.  [default: 200]"
)
@click.option(
    "--warm-up", type=click.IntRange(min=1), metavar="N",
    help="Frames before them that do not count.  [default: 20]",
)  # fmt: skip
@click.option(
    "--threads", type=click.IntRange(min=1), multiple=True, metavar="N",
    help="Of the engine on a processor; repeat it to measure several.  [default: all]",
)  # fmt: skip
@click.option(
    "--num-prompts", metavar="LIST",
    help="Measure with so many prompts, as 1,2,4,8,16; --prompt is asked again for more.",
)  # fmt: skip
@click.option("--engine-only", is_flag=True, help="The engine alone: no frames, no outputs.")
@click.option("--jsonl", metavar="FILE", help="Where the results go.  [default: nowhere]")
@click.option("--json", "json_path", metavar="FILE", help="Write the report; - is standard output.")
@click.option("--plot", type=_PATH, metavar="FILE", help="Draw stages, histogram, prompts (.png).")
@click.option(
    "--compare", nargs=2, type=_PATH, metavar="A.json B.json",
    help="Compare two reports; nothing is measured.",
)  # fmt: skip
@click.option(
    "--text-cache", type=_PATH, metavar="FOLDER",
    help="Where encoded prompts are kept.  [default: ~/.cache/sam3-edge]",
)  # fmt: skip
@click.option(
    "--unverified", is_flag=True, help="Accept a bundle that has not passed its verification."
)
@click.option("--no-startup", is_flag=True, help="Do not start processes to time their start.")
@click.option("--quick", is_flag=True, help="30 frames after 5, one start: to see that it works.")
def bench(compare: tuple[Path, Path] | None, **options: Any) -> None:
    """Measure how fast a bundle is on this machine, from the frame to its results.

    Latency of each stage (p50, p90, p95, p99, the largest, and jitter, which is p99 - p50), frames
    a second, the age of frames, processor time a frame, memory, start-up; on a Jetson also power
    mode, clocks, heat and joules a frame. Percentiles are by nearest rank. The warm-up is in no
    figure.

    What is given several times is measured in turn: the first of each together, then every
    further one by itself with the first of the others.

    \b
    Examples:
      sam3-edge bench --json nano.json --plot nano.png
      sam3-edge bench --num-prompts 1,2,4,8,16 --threads 4 --threads 6
      sam3-edge bench --bundle reef_fp16 --bundle reef_int8 --fps 30
      sam3-edge bench --source reef.mp4 --prompt fish
      sam3-edge bench --compare before.json after.json
    """
    if compare is not None:
        given = [name for name, value in options.items() if value]
        if given:
            raise UsageError(
                f"expected --compare alone, got also --{given[0].rstrip('s').replace('_', '-')}; "
                "measure first, then compare"
            )
        compare_reports(*compare)
        return
    run_bench(BenchOptions(command=shlex.join(["sam3-edge", *sys.argv[1:]]), **options))

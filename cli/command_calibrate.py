"""`sam3-edge calibrate`: what a model's tensors reach on your photos, for INT8."""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from sam3_edge.calib import collect
from sam3_edge.calib.calibration import CALIBRATION_NAME, Calibration, Method, write_calibration
from sam3_edge.calib.collect import (
    DEFAULT_METHOD,
    DEFAULT_PERCENTILE,
    check_calibratable,
    phrases_for,
)
from sam3_edge.calib.images import ENOUGH_IMAGES, CalibrationImages, open_images
from sam3_edge.calib.sensitivity import NUM_IMAGES, layers_to_keep, measure_sensitivity
from sam3_edge.calib.sensitivity_report import LayerRow, layer_rows, write_report
from sam3_edge.engines.bundle import Bundle

_SHOWN_TARGET = 0.04


@click.command(context_settings={"show_default": True})
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--images",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of photos like those the model will see; the ones directly in it.",
)
@click.option(
    "-o",
    "--out",
    default=CALIBRATION_NAME,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write.",
)
@click.option("--count", type=click.IntRange(min=1), help="Photos to use.  [default: all]")
@click.option(
    "--method",
    type=click.Choice(["minmax", "entropy", "percentile"]),
    default=DEFAULT_METHOD,
    help="How far a range goes: to the extremes, to where least information is lost, or around a "
    "share of the values.",
)
@click.option(
    "--percentile",
    type=click.FloatRange(50.0, 100.0, min_open=True),
    default=DEFAULT_PERCENTILE,
    help="That share, in percent; for --method percentile.",
)
@click.option(
    "--prompt",
    "prompts",
    multiple=True,
    metavar="TEXT",
    help="With --decoder: what it is asked for; may be repeated.  [default: the bundle's vocabulary]",
)
@click.option(
    "--sensitivity",
    "num_sensitivity",
    type=click.IntRange(min=0),
    default=NUM_IMAGES,
    help="Photos on which each layer's error is measured; 0 leaves it out, and `sam3-edge build` "
    "then cannot tell which layers to keep.",
)
@click.option(
    "--decoder",
    is_flag=True,
    help="Quantise the decoder too: it asks for every phrase of each photo, and rarely pays.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    help="Print every layer, worst first, and write a table and plots into this folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the layers as JSON, for programs.")
def calibrate(
    bundle: Path,
    folder: Path,
    out: Path,
    count: int | None,
    method: Method,
    percentile: float,
    prompts: tuple[str, ...],
    num_sensitivity: int,
    decoder: bool,
    report: Path | None,
    as_json: bool,
) -> None:
    """Measure on photos what INT8 must hold, for the FP32 BUNDLE that `sam3-edge export` wrote.

    Runs the vision graph on every photo and notes the range of each tensor, then how much each
    layer alone would lose. The file it writes is for `sam3-edge build`. Use photos of the
    real place, 32 or more, and others than you verify on. Needs: pip install 'sam3-edge[build]'.

    \b
    Examples:
      sam3-edge calibrate bundles/reef --images photos/
      sam3-edge calibrate bundles/reef --images photos/ --report report/
      sam3-edge calibrate bundles/reef --images photos/ --method minmax --decoder
    """
    console = Console(stderr=True)
    opened = Bundle.open(bundle)
    check_calibratable(opened)
    phrases = phrases_for(opened, prompts) if decoder or prompts else ()
    images = open_images(folder, count)
    _warn_if_few(console, images)
    with _bar(console) as progress:
        calibration = collect.calibrate(
            opened, images, phrases, method=method, percentile=percentile, progress=progress
        )
        if num_sensitivity:
            errors = measure_sensitivity(
                opened,
                calibration,
                images,
                count=num_sensitivity,
                progress=progress,
            )
            calibration = dataclasses.replace(calibration, sensitivity=errors)
    write_calibration(out, calibration)
    rows = layer_rows(opened, calibration)
    _report(console, out, calibration, rows, report)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))


def _warn_if_few(console: Console, images: CalibrationImages) -> None:
    if images.too_few:
        console.print(
            f"[yellow]warning:[/] {len(images)} photos in {images.folder}; {ENOUGH_IMAGES} or more "
            "give ranges that hold for others",
            highlight=False,
        )


class _Bars:
    """One bar for each stage, in the order they come."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, int] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done)  # type: ignore[arg-type]


@contextmanager
def _bar(console: Console) -> Iterator[_Bars]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        yield _Bars(progress)


def _report(
    console: Console,
    out: Path,
    calibration: Calibration,
    rows: tuple[LayerRow, ...],
    report: Path | None,
) -> None:
    tensors = sum(map(len, calibration.ranges.values()))
    console.print(f"{out}: ranges of {tensors} tensors from {len(calibration.images)} photos")
    for scheme, graphs in calibration.sensitivity.items():
        for graph, errors in graphs.items():
            keep = layers_to_keep(errors, _SHOWN_TARGET)
            console.print(
                f"{graph}, {scheme}: keep {len(keep)} of {len(errors)} layers for a predicted "
                f"error of {_SHOWN_TARGET}",
                highlight=False,
            )
    if report is not None:
        _print_rows(console, rows)
        for path in write_report(report, rows):
            console.print(f"{path}", highlight=False)


def _print_rows(console: Console, rows: tuple[LayerRow, ...]) -> None:
    table = Table("scheme", "graph", "layer", "op", box=None, header_style="bold")
    for name in ("low", "high", "error"):
        table.add_column(name, justify="right")
    for row in rows:
        values = (f"{row.low:.4g}", f"{row.high:.4g}", f"{row.error:.2e}")
        table.add_row(row.scheme, row.graph, row.layer, row.op, *values)
    console.print(table)

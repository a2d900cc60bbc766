"""`sam3-edge train`: from a data set to weights."""

import sys
from dataclasses import dataclass
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sam3_edge.errors import UsageError
from sam3_edge.training.coco_dataset import CocoDataset
from sam3_edge.training.loop import RunSettings, StepReport
from sam3_edge.training.loop import train as train_loop
from sam3_edge.training.mixture import Source
from sam3_edge.training.model.config import PRESETS
from sam3_edge.training.model.config import preset as preset_config
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.weights import (
    WeightsMetadata,
    bundled_weights_path,
    load_weights,
)
from sam3_edge.training.scene_dataset import SceneDataset


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """What one --data says. path: None for the demo scenes."""

    kind: str
    path: Path | None
    weight: float


def parse_data(text: str) -> DataSpec:
    """`scene`, `coco=PATH`, each with `:WEIGHT` behind it. Raises UsageError."""
    body, _, tail = text.rpartition(":")
    try:
        name, weight = (body, float(tail)) if body else (text, 1.0)
    except ValueError:
        name, weight = text, 1.0
    kind, _, path = name.partition("=")
    if kind not in ("scene", "coco") or (kind == "coco") != bool(path) or not weight > 0.0:
        raise UsageError(
            "--data: expected scene[:WEIGHT] or coco=ANNOTATIONS.json[:WEIGHT] with a weight "
            f"above 0, got {text!r}"
        )
    return DataSpec(kind=kind, path=Path(path) if path else None, weight=weight)


@click.command(context_settings={"show_default": True})
@click.option("--preset", type=click.Choice(list(PRESETS)), default="nano", help="Model size.")
@click.option(
    "--image-size",
    type=int,
    help="Side of the network's square picture, a multiple of 14.  [default: the preset's]",
)
@click.option(
    "--data",
    multiple=True,
    required=True,
    metavar="SPEC",
    help="scene[:WEIGHT] or coco=ANNOTATIONS.json[:WEIGHT]; repeat to mix.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--minutes", type=click.FloatRange(min=0.0, min_open=True), help="Train so long.")
@click.option("--steps", type=click.IntRange(min=1), help="Or so many gradient steps.")
@click.option(
    "--init",
    metavar="WEIGHTS",
    help="Start from a .safetensors file, or from `bundled`, the default bundle's weights.",
)
@click.option("--resume", is_flag=True, help="Continue the run in --out.")
@click.option("--batch-size", default=16, type=click.IntRange(min=1), help="Pictures a step.")
@click.option(
    "--lr", default=6e-4, type=click.FloatRange(min=0.0, min_open=True), help="Peak learning rate."
)
@click.option(
    "--mosaic",
    default=0.3,
    type=click.FloatRange(0.0, 1.0),
    help="How often four photos are put together into one.",
)
@click.option(
    "--phrases",
    default=5,
    type=click.IntRange(min=2),
    help="Phrases asked about one photo at most.",
)
@click.option(
    "--precision", type=click.Choice(["bf16", "fp32"]), default="bf16", help="Of the arithmetic."
)
@click.option("--seed", default=0, type=click.IntRange(min=0), help="Of data and first weights.")
@click.option("--threads", default=0, type=click.IntRange(min=0), help="Processors; 0 takes all.")
@click.option(
    "--workers", default=1, type=click.IntRange(min=0), help="Processes that prepare pictures."
)
@click.option("--licence", default="unknown", help="Of the weights, for their file.")
@click.option(
    "--origin",
    multiple=True,
    metavar="TEXT",
    help="A data set's name and licence, for the weights' file; repeat.  [default: --data]",
)
def train(
    preset: str,
    image_size: int | None,
    data: tuple[str, ...],
    out: Path,
    minutes: float | None,
    steps: int | None,
    init: str | None,
    resume: bool,
    batch_size: int,
    lr: float,
    mosaic: float,
    phrases: int,
    precision: str,
    seed: int,
    threads: int,
    workers: int,
    licence: str,
    origin: tuple[str, ...],
) -> None:
    """Train a detector on data in COCO's format, on demo scenes, or on both.

    A category's name is the phrase that finds it. Boxes are enough; masks are learned where
    annotations have them. Writes weights.safetensors, log.jsonl and a checkpoint to resume from.
    Needs: pip install 'sam3-edge[train]'.

    \b
    Examples:
      sam3-edge train --data scene --minutes 5 --out runs/first
      sam3-edge train --data scene:0.3 --data coco=reef/annotations.json:0.7 \\
          --init bundled --minutes 60 --out runs/reef
    """
    if (minutes is None) == (steps is None):
        raise UsageError("expected exactly one of --minutes and --steps, got both or none")
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(seed)
    detector = Detector(preset_config(preset, image_size=image_size))
    if init is not None:
        path = bundled_weights_path() if init == "bundled" else Path(init)
        detector = load_weights(path, preset=preset, image_size=image_size)[0]
    specs = [parse_data(text) for text in data]
    settings = RunSettings(
        out=out,
        minutes=minutes,
        steps=steps,
        batch_size=batch_size,
        learning_rate=lr,
        seed=seed,
        bfloat16=precision == "bf16",
        workers=workers,
    )
    metadata = WeightsMetadata(
        preset=preset,
        image_size=detector.config.image_size,
        recipe=" ".join(["sam3-edge", *sys.argv[1:]]),
        data=origin or data,
        licence=licence,
    )
    sources = _sources(specs, detector.config.image_size, mosaic, phrases)
    console = Console()
    with _progress_bar(console) as bar:
        task = bar.add_task("training", total=1.0)

        def report(one: StepReport) -> None:
            bar.update(task, completed=one.progress, description=f"step {one.step}")
            bar.console.print(_line(one), soft_wrap=True, highlight=False)

        path = train_loop(detector, sources, settings, metadata, resume=resume, report=report)
    console.print(f"weights: {path}")


def _progress_bar(console: Console) -> Progress:
    """Below the lines, on a terminal; nothing in a file."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _sources(specs: list[DataSpec], side: int, mosaic: float, phrases: int) -> list[Source]:
    photos = [
        (spec, CocoDataset(spec.path, max_phrases=phrases))
        for spec in specs
        if spec.path is not None
    ]
    sources = [Source(data=data, weight=spec.weight, mosaic=mosaic) for spec, data in photos]
    known = {phrase for _, data in photos for phrase in data.phrases}
    absent = tuple(sorted(known - {"fish", "jellyfish", "starfish"}))
    scenes = SceneDataset("train", side, absent)
    sources += [Source(data=scenes, weight=s.weight) for s in specs if s.kind == "scene"]
    return sources


def _line(report: StepReport) -> str:
    parts = "  ".join(f"{name} {value:.3f}" for name, value in report.losses.items())
    return (
        f"{report.progress:5.1%}  step {report.step}  {report.images_per_s:.1f} images/s  "
        f"lr {report.learning_rate:.2e}  {parts}"
    )

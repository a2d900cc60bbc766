"""One checkpoint at several sizes of picture: what each finds, and how long it takes.

    python benchmarks/image_sizes.py CHECKPOINT --sizes 256,336,448 --data DATA
    python benchmarks/image_sizes.py CHECKPOINT --annotations mine=photos/valid.json

Exports CHECKPOINT (the bundled weights, unless another is given) at every size, each compared with
PyTorch, and measures vision and decoder with ONNX Runtime, the sizes taking turns in one run: the
ratios hold where milliseconds depend on the evening. AP is the bundle's box AP on each annotated set,
on the way that `run` takes: with --data on Aquarium's official validation photos and on its unseen
places, as the configuration `generalisation` describes them. Prints the table of the model card, in
Markdown.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import click
from claim_table import machine_text
from rich.console import Console

from sam3_edge.engines.bundle import MANIFEST_NAME, Bundle, file_sha256
from sam3_edge.errors import Sam3EdgeError, UsageError
from sam3_edge.eval_sets import configured_data
from sam3_edge.export.box_ap import box_ap
from sam3_edge.export.speed import FrameTime, frame_times
from sam3_edge.export.write_bundle import ExportOptions, export_checkpoint
from sam3_edge.training.config.compose import quoted
from sam3_edge.training.evaluation.coco_pictures import CocoPictures
from sam3_edge.training.evaluation.pictures import JudgedPictures
from sam3_edge.training.evaluation.validation_sets import validation_sets
from sam3_edge.training.model.weights import bundled_weights_path, load_weights

SIZES, QUICK_SIZES = "256,320,336,384,448", "112"
PROMPTS = (1, 4)
CONFIG, CONFIG_SETS = "generalisation", ("aquarium", "unseen_places")
ROUNDS, QUICK_ROUNDS = 60, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRow:
    """size: pixels. megabytes: of the bundle. times: by number of prompts. ap: by annotated set,
    None where a set has no objects.
    """

    size: int
    megabytes: float
    times: dict[int, FrameTime]
    ap: dict[str, float | None]


@click.command(context_settings={"show_default": True})
@click.argument("checkpoint", default=bundled_weights_path(), type=click.Path(path_type=Path))
@click.option("--sizes", help=f"Pixels, with commas.  [default: {SIZES}]")
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="Folder of Aquarium.")
@click.option("--annotations", multiple=True, metavar="NAME=FILE", help="COCO's JSON; may repeat.")
@click.option("--num-images", type=click.IntRange(min=1), help="Only so many photos of each set.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Keeps the bundles; those in it serve."
)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write it for programs.")
@click.option("--quick", is_flag=True, help="One small size, few rounds: to see that it runs.")
def main(
    checkpoint: Path,
    sizes: str | None,
    data: Path | None,
    annotations: tuple[str, ...],
    num_images: int | None,
    out: Path | None,
    json_path: Path | None,
    quick: bool,
) -> None:
    console = Console(stderr=True, highlight=False, markup=False)
    sides = _sides(sizes or (QUICK_SIZES if quick else SIZES), checkpoint)
    sets = _sets(data, annotations, num_images)
    with tempfile.TemporaryDirectory() as temporary:
        folder = out or Path(temporary)
        bundles = {side: _exported(checkpoint, folder, side, console.print) for side in sides}
        rows = _measured(bundles, sets, QUICK_ROUNDS if quick else ROUNDS, console.print)
    click.echo(f"{machine_text()}; {checkpoint.name}\n")
    click.echo(_table(rows, tuple(sets)))
    if json_path is not None:
        text = json.dumps([_row_to_json(row) for row in rows], indent=2)
        json_path.write_text(text + "\n", encoding="utf-8")


def _sides(text: str, checkpoint: Path) -> list[int]:
    """Raises UsageError for the first that the checkpoint cannot be exported at."""
    try:
        sides = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(
            f"--sizes: expected pixels with commas, as {SIZES}, got {text!r}"
        ) from error
    config = load_weights(checkpoint)[0].config
    return [replace(config, image_size=side).image_size for side in sides]


def _sets(
    data: Path | None, annotations: tuple[str, ...], limit: int | None
) -> dict[str, JudgedPictures]:
    sets: dict[str, JudgedPictures] = {}
    if data is not None:
        section = configured_data(
            CONFIG, [f"paths.data={quoted(str(data))}"], limit=limit, skip_faulty=False
        )
        section.val = {name: section.val[name] for name in CONFIG_SETS}
        sets.update(validation_sets(section))
    for name, path in map(_named, annotations):
        sets[name] = CocoPictures(path, limit=limit)
    return sets


def _named(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise UsageError(f"--annotations: expected NAME=FILE, got {text!r}; name the set")
    return name, Path(path)


def _exported(checkpoint: Path, folder: Path, side: int, say: Callable[[str], None]) -> Bundle:
    """The bundle of that size; one that is there already, verified and of these weights, serves."""
    path = folder / f"{checkpoint.stem}-{side}"
    if not (path / MANIFEST_NAME).is_file():
        say(f"exporting {side} px")
        export_checkpoint(checkpoint, path, ExportOptions(name=path.name), image_size=side)
    bundle = Bundle.open(path)
    if bundle.manifest.provenance.checkpoint_sha256 != file_sha256(checkpoint):
        raise UsageError(f"{path}: expected a bundle of {checkpoint}, got another; choose --out")
    return bundle


def _measured(
    bundles: dict[int, Bundle],
    sets: dict[str, JudgedPictures],
    rounds: int,
    say: Callable[[str], None],
) -> list[SizeRow]:
    say("timing")
    every = list(bundles.values())
    times = {count: frame_times(every, rounds, num_prompts=count) for count in PROMPTS}
    rows = []
    for number, (side, bundle) in enumerate(bundles.items()):
        say(f"judging {side} px")
        rows.append(
            SizeRow(
                size=side,
                megabytes=sum(file.stat().st_size for file in bundle.path.iterdir()) / 1e6,
                times={count: times[count][number] for count in PROMPTS},
                ap={name: box_ap(bundle, pictures) for name, pictures in sets.items()},
            )
        )
    return rows


def _table(rows: list[SizeRow], sets: tuple[str, ...]) -> str:
    """Times besides as a share of the first row's."""
    heads = ["picture", *(f"AP {name}" for name in sets), "MB"]
    for count in PROMPTS:
        heads += [f"vision + decoder, {count} prompt{'s' * (count > 1)}, ms", "share"]
    lines = [heads, ["---"] * len(heads)]
    for row in rows:
        aps = (row.ap[name] for name in sets)
        cells = [f"{row.size} px", *("" if ap is None else f"{ap:.3f}" for ap in aps)]
        cells.append(f"{row.megabytes:.1f}")
        for count, time in row.times.items():
            cells.append(f"{time.vision:.1f} + {time.decoder:.1f}")
            cells.append(f"{time.total / rows[0].times[count].total:.2f}")
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _row_to_json(row: SizeRow) -> dict[str, object]:
    return {
        "image_size": row.size,
        "megabytes": row.megabytes,
        "box_AP": row.ap,
        "ms": {
            count: {"vision": time.vision, "decoder": time.decoder}
            for count, time in row.times.items()
        },
    }


if __name__ == "__main__":
    try:
        main()
    except Sam3EdgeError as error:
        raise SystemExit(f"image_sizes: error: {error}") from error

"""A small YOLO, trained here on the same photos for as long, beside sam3-edge: what each gives.

    python benchmarks/yolo_baseline.py --data DATA --work FOLDER --minutes 60

DATA holds aquarium/train and aquarium/valid, as for `sam3-edge train -c nano_aquarium`. The YOLO is
YOLOX (arXiv:2107.08430) from the package pixeltable-yolox (Apache-2.0), in an environment of its
own that is made at the first call. No weights of a detector are downloaded: it begins with the
ImageNet weights of EfficientNet-Lite0 as its backbone, frozen as far as `-c nano` freezes them, or
with --backbone random from nothing. Both are judged by sam3-edge's evaluation and timed in turns.
Places that --splits holds out are not trained on. An interrupted training goes on with --resume;
a finished one in FOLDER is only judged again.
"""

import json
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from yolo_answers import Yolo, yolo_answers
from yolo_pictures import AnnotatedSet, chosen_photos, read_held_out, read_set, training_pictures
from yolo_speed import Speeds, measure_speeds
from yolo_table import Facts, Judged, figures, print_table
from yolo_training import already_trained, default_environment, prepare_environment, train

from sam3_edge.engines.backend import Backend
from sam3_edge.engines.bundle import Bundle, default_bundle_path
from sam3_edge.engines.load import load_backend, open_bundle
from sam3_edge.engines.onnxruntime_session import available_processors
from sam3_edge.errors import Sam3EdgeError, UsageError
from sam3_edge.training.evaluation.bundle_answers import bundle_answers
from sam3_edge.training.evaluation.coco_pictures import CocoPictures
from sam3_edge.training.evaluation.coco_scores import coco_scores
from sam3_edge.training.evaluation.pictures import each

FILE = click.Path(path_type=Path)
SPLITS = Path(__file__).resolve().parents[1] / "training" / "splits"
STRIDE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says; see --help."""

    data: Path
    work: Path
    minutes: float
    also: tuple[str, ...]
    splits: Path
    ours: Path | None
    ours_minutes: float | None
    size: str
    image_size: int
    backbone: str
    optimizer: str
    batch_size: int
    threads: int
    workers: int
    bf16: bool
    seed: int
    environment: Path
    resume: bool
    limit: int | None
    rounds: int
    json: Path | None
    markdown: bool


@click.command(context_settings={"show_default": True})
@click.option("--data", required=True, type=FILE, help="Folder that holds aquarium/.")
@click.option("--work", required=True, type=FILE, help="Where the training lives.")
@click.option("--minutes", required=True, type=click.FloatRange(min=0, min_open=True))
@click.option("--also", multiple=True, help="Train on DATA/NAME too, such as deepfish. Repeatable.")
@click.option("--splits", default=SPLITS, type=FILE, help="Held-out places: SET.json each.")
@click.option("--ours", type=FILE, help="Bundle or checkpoint.  [default: the default bundle]")
@click.option("--ours-minutes", type=float, help="How long that was trained, for the table.")
@click.option("--size", default="tiny", type=click.Choice(["nano", "tiny", "s"]), help="YOLOX's.")
@click.option("--image-size", default=352, type=click.IntRange(min=STRIDE), help="Pixels.")
@click.option("--backbone", default="lite0", type=click.Choice(["lite0", "random"]))
@click.option("--optimizer", default="adamw", type=click.Choice(["adamw", "sgd"]))
@click.option("--batch-size", default=8, type=click.IntRange(min=2))
@click.option("--threads", default=available_processors(), type=click.IntRange(min=1))
@click.option("--workers", default=1, type=click.IntRange(min=0), help="They prepare pictures.")
@click.option("--bf16", is_flag=True, help="Train in bfloat16, for processors that have it.")
@click.option("--seed", default=0)
@click.option("--environment", default=default_environment(), type=FILE, help="The YOLO's own.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted training.")
@click.option("--limit", type=click.IntRange(min=1), help="Judge so many photos of a split.")
@click.option("--rounds", default=60, type=click.IntRange(min=1), help="Of the timing.")
@click.option("--json", type=FILE, help="Write the figures for programs.")
@click.option("--markdown", is_flag=True, help="Print the table as Markdown.")
def main(**given: Any) -> None:
    options = Options(**given)
    if options.image_size % STRIDE:
        raise UsageError(
            f"--image-size: expected a multiple of {STRIDE}, got {options.image_size}; "
            f"try {options.image_size // STRIDE * STRIDE}"
        )
    splits = judged_files(options)
    trained(options)
    yolo = Yolo(options.work, options.threads)
    bundle = open_bundle(ours_bundle(options), verified_only=False)
    backend = load_backend(bundle, num_threads=options.threads)
    with closing(backend):
        pictures = {
            name: CocoPictures(path, limit=options.limit, name=name)
            for name, path in splits.items()
        }
        judged = [judge(one, bundle, backend, yolo) for one in pictures.values()]
        speeds = time_both(next(iter(pictures.values())), bundle, backend, yolo, options.rounds)
    facts = Facts(
        backbone=options.backbone,
        size=options.size,
        threads=options.threads,
        ours_minutes=options.ours_minutes,
        bundle=bundle,
        yolo=yolo,
        num_words=len(next(iter(pictures.values())).phrases),
        judged=judged,
        speeds=speeds,
    )
    print_table(facts, markdown=options.markdown)
    if options.json is not None:
        given = {name: str(value) for name, value in asdict(options).items()}
        options.json.write_text(json.dumps({"options": given, **figures(facts)}, indent=1) + "\n")


# ------------------------------ what is trained on, and judged on ------------------------------


def judged_files(options: Options) -> dict[str, Path]:
    """By name. The held-out places' photos are those of the training set that lie there."""
    train_file = options.data / "aquarium/train/_annotations.coco.json"
    official = options.data / "aquarium/valid/_annotations.coco.json"
    for path in (train_file, official):
        if not path.is_file():
            raise UsageError(
                f"{path}: expected COCO annotations, got no such file; --data is the folder that "
                "holds aquarium/train and aquarium/valid"
            )
    files = {"official validation": official}
    held_out = held_out_of(options, "aquarium")
    if held_out:
        unseen = options.work / "unseen_places.json"
        unseen.parent.mkdir(parents=True, exist_ok=True)
        unseen.write_text(json.dumps(chosen_photos(read_set(train_file), held_out, keep=True)))
        files["unseen places"] = unseen
    return files


def held_out_of(options: Options, name: str) -> frozenset[str]:
    """Nothing where the set has no split."""
    split = options.splits / f"{name}.json"
    return read_held_out(split) if split.is_file() else frozenset()


def trained(options: Options) -> None:
    """model.onnx stands in the work folder afterwards."""
    sets = [
        AnnotatedSet(
            annotations=options.data / name / "_annotations.coco.json",
            held_out=held_out_of(options, name.split("/")[0]),
        )
        for name in ("aquarium/train", *options.also)
    ]
    pictures = json.dumps(training_pictures(sets))
    named = ("minutes", "size", "image_size", "backbone", "optimizer", "batch_size")
    machine = ("threads", "workers", "bf16", "seed")
    settings = {name: getattr(options, name) for name in (*named, *machine)}
    if already_trained(options.work, settings, pictures, resume=options.resume):
        click.echo(f"{options.work}: trained already, only judged")
        return
    train(prepare_environment(options.environment, click.echo), options.work)


def ours_bundle(options: Options) -> Path:
    """A checkpoint is exported first. Raises UsageError."""
    ours = options.ours or default_bundle_path()
    if ours.is_dir():
        return ours
    if not ours.is_file():
        raise UsageError(f"{ours}: expected a bundle or a checkpoint, got nothing; check --ours")
    from sam3_edge.export.write_bundle import ExportOptions, export_checkpoint

    click.echo(f"exporting {ours}")
    out = options.work / "ours"
    export_checkpoint(ours, out, ExportOptions(name="ours"), progress=lambda _: None)
    return out


# ------------------------------ what is measured ------------------------------


def judge(pictures: CocoPictures, bundle: Bundle, backend: Backend, yolo: Yolo) -> Judged:
    slots = bundle.manifest.model.num_exemplars
    ours = bundle_answers(backend, slots, pictures.phrases, each(pictures), masks=False)
    return Judged(
        name=pictures.name,
        ours=coco_scores(list(ours), "bbox").mean,
        yolo=coco_scores(list(yolo_answers(yolo, each(pictures))), "bbox").mean,
    )


def time_both(
    pictures: CocoPictures, bundle: Bundle, backend: Backend, yolo: Yolo, rounds: int
) -> Speeds:
    some = [pictures.picture(i).image for i in range(min(len(pictures), 16))]
    frames = [np.ascontiguousarray(image[:, :, ::-1]) for image in some]
    slots = bundle.manifest.model.num_exemplars
    return measure_speeds(backend, slots, pictures.phrases, yolo, frames, rounds)


if __name__ == "__main__":
    try:
        main()
    except Sam3EdgeError as error:
        raise SystemExit(f"yolo_baseline: error: {error}") from error

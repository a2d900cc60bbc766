"""`sam3-edge eval`: how well a bundle or a checkpoint answers."""

import json
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from sam3_edge.engines.bundle import default_bundle_path
from sam3_edge.engines.manifest import Phrase
from sam3_edge.errors import SinkError, UsageError
from sam3_edge.eval_answers import Answers, opened_model
from sam3_edge.eval_sets import configured_data, judge_sets
from sam3_edge.training.evaluation.answers import Answer
from sam3_edge.training.evaluation.coco_pictures import CocoPictures
from sam3_edge.training.evaluation.pictures import JudgedPictures, ScenePictures
from sam3_edge.training.evaluation.report import Report, make_report, report_to_json
from sam3_edge.training.evaluation.report_tables import show_report
from sam3_edge.training.evaluation.sets_report import sets_to_json, show_sets
from sam3_edge.training.evaluation.vocabulary import (
    read_phrases,
    vocabulary_entries,
    vocabulary_to_json,
)
from sam3_edge.training.evaluation.worst_cases import worst_cases
from sam3_edge.training.evaluation.worst_cases_page import worst_cases_page

_FILE = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalOptions:
    """What the command line says; see --help."""

    config: str | None
    annotations: Path | None
    images: Path | None
    masks: Path | None
    scenes: int | None
    limit: int | None
    name: str | None
    skip_faulty: bool
    say: tuple[str, ...]
    json: Path | None
    html: Path | None
    worst: int
    vocabulary: Path | None
    merge: Path | None
    threads: int
    device: str
    preset: str | None
    image_size: int | None


@click.command(
    short_help="Measure how well a bundle or a checkpoint answers.",
    context_settings={"show_default": True},
)
@click.argument("model", required=False, type=_FILE, metavar="[BUNDLE | CHECKPOINT]")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "-c", "--config", metavar="NAME", help="All validation sets of a training configuration."
)
@click.option("--annotations", type=_FILE, help="Annotations in COCO's format.")
@click.option(
    "--images", type=_FILE, help="Folder of their pictures.  [default: beside the annotations]"
)
@click.option(
    "--masks", type=_FILE, help="Annotations of the same pictures, for their masks alone."
)
@click.option(
    "--scenes", type=click.IntRange(min=1), help="Or evaluate on so many held-out demo scenes."
)
@click.option("--limit", type=click.IntRange(min=1), help="Only so many pictures, from the first.")
@click.option("--name", help="What to call the data.  [default: the annotations' folder]")
@click.option("--skip-faulty", is_flag=True, help="Leave out annotations that are wrong.")
@click.option(
    "--say", multiple=True, metavar="PHRASE=OTHER", help="Ask for a category in other words."
)
@click.option("--json", type=_FILE, help="Write the scores for programs.")
@click.option("--html", type=_FILE, help="Write a page that shows the worst answers.")
@click.option("--worst", default=24, type=click.IntRange(min=1), help="How many it shows.")
@click.option("--vocabulary", type=_FILE, help="Write what `export --vocabulary` reads.")
@click.option("--merge", type=_FILE, help="A vocabulary measured before, to be in it too.")
@click.option("--threads", default=0, type=click.IntRange(min=0), help="Processors; 0 takes all.")
@click.option("--device", default="cpu", help="Where a CHECKPOINT computes: cpu, cuda, cuda:1.")
@click.option("--preset", help="Of a CHECKPOINT that does not say, such as SAM 3's own.")
@click.option("--image-size", type=int, help="Of a CHECKPOINT, if not what it was trained at.")
def evaluate(model: Path | None, overrides: tuple[str, ...], **options: Any) -> None:
    """Measure BUNDLE, or CHECKPOINT (.safetensors), on pictures whose truth is known.

    Each category's name is one prompt, asked about every picture. Gives COCO's AP and AR of boxes
    and, where they are known, of masks; SAM 3's cgF1, pmF1 and IL_MCC; and how well the model
    knows whether a thing is there. Without a model: the bundle that comes with sam3-edge.
    With --config one table has a row for each validation set, and false alarms.
    Needs: pip install 'sam3-edge[eval]'; for a CHECKPOINT or --config 'sam3-edge[train]'.

    \b
    Examples:
      sam3-edge eval --annotations reef/valid.json --html worst.html
      sam3-edge eval runs/reef/checkpoints/best.safetensors --annotations \\
          reef/valid.json --json reef.json --vocabulary words.json
      sam3-edge eval bundles/reef --scenes 100
      sam3-edge eval bundles/reef --config generalisation paths.data=DATA
    """
    chosen = EvalOptions(**options)
    if model is not None and "=" in str(model) and not model.exists():
        model, overrides = None, (str(model), *overrides)
    _check(chosen, overrides)
    if chosen.config is not None:
        _evaluate_sets(model, chosen.config, overrides, chosen)
        return
    before = () if chosen.merge is None else read_phrases(chosen.merge)
    pictures = _pictures(chosen)
    with _opened(model, chosen) as answers:
        found = list(answers(pictures))
    report = make_report(
        found,
        model=_called(model),
        pictures=pictures,
        annotations=None if chosen.annotations is None else str(chosen.annotations),
    )
    console = Console(soft_wrap=True)
    show_report(console, report)
    _write_all(report, found, pictures, chosen, before)


def _check(chosen: EvalOptions, overrides: tuple[str, ...]) -> None:
    """Before the work, what could only fail after it."""
    _check_outputs(chosen)
    if chosen.config is not None:
        _check_alone(chosen)
        return
    if overrides:
        raise UsageError(
            f"expected --config NAME beside key=value, got {overrides[0]!r} alone; add --config"
        )
    if (chosen.annotations is None) == (chosen.scenes is None):
        got = "neither" if chosen.scenes is None else "both"
        raise UsageError(f"expected one of --annotations and --scenes, got {got}; try --scenes 20")
    if chosen.annotations is None and (chosen.images or chosen.masks or chosen.say):
        raise UsageError(
            "expected --annotations beside --images, --masks and --say, got none; add it"
        )
    for one in chosen.say:
        if not all(part.strip() for part in one.partition("=")):
            raise UsageError(f"--say: expected PHRASE=OTHER, got {one!r}; try fish=fishes")
    if chosen.merge is not None and chosen.vocabulary is None:
        raise UsageError("expected --vocabulary beside --merge, got none; add --vocabulary FILE")


def _check_alone(chosen: EvalOptions) -> None:
    """What is for one set has no meaning for those of a configuration."""
    for name in (
        "annotations",
        "scenes",
        "images",
        "masks",
        "name",
        "html",
        "vocabulary",
        "merge",
        "say",
    ):
        if getattr(chosen, name):
            raise UsageError(
                f"expected --config without --{name}, got both; leave one out, or set the "
                "configuration's trainer.data.val"
            )


def _check_outputs(chosen: EvalOptions) -> None:
    for path in (chosen.json, chosen.html, chosen.vocabulary):
        if path is not None and (path.is_dir() or not path.parent.is_dir()):
            raise UsageError(
                f"{path}: expected a file in a folder that exists; choose another path"
            )


def _pictures(chosen: EvalOptions) -> JudgedPictures:
    if chosen.annotations is None:
        assert chosen.scenes is not None
        return ScenePictures(min(chosen.scenes, chosen.limit or chosen.scenes))
    return CocoPictures(
        chosen.annotations,
        images=chosen.images,
        masks=chosen.masks,
        limit=chosen.limit,
        name=chosen.name,
        skip_faulty=chosen.skip_faulty,
        say={one.partition("=")[0]: one.partition("=")[2] for one in chosen.say},
    )


def _opened(model: Path | None, chosen: EvalOptions) -> AbstractContextManager[Answers]:
    return opened_model(
        model or default_bundle_path(),
        threads=chosen.threads,
        device=chosen.device,
        preset=chosen.preset,
        image_size=chosen.image_size,
    )


def _called(model: Path | None) -> str:
    return "default bundle" if model is None else str(model)


def _evaluate_sets(
    model: Path | None, config: str, overrides: tuple[str, ...], chosen: EvalOptions
) -> None:
    data = configured_data(config, overrides, limit=chosen.limit, skip_faulty=chosen.skip_faulty)
    with _opened(model, chosen) as answers:
        report = judge_sets(answers, data, model=_called(model), config=config)
    show_sets(Console(soft_wrap=True), report)
    if chosen.json is not None:
        _write_json(chosen.json, sets_to_json(report))


def _write_all(
    report: Report,
    found: list[Answer],
    pictures: JudgedPictures,
    chosen: EvalOptions,
    before: tuple[Phrase, ...],
) -> None:
    if chosen.json is not None:
        _write_json(chosen.json, report_to_json(report))
    if chosen.vocabulary is not None:
        _write(chosen.vocabulary, vocabulary_to_json(vocabulary_entries(report, before)))
    if chosen.html is not None:
        cases = worst_cases(found, report, chosen.worst)
        _write(chosen.html, worst_cases_page(report, cases, pictures, len(found)))


def _write_json(path: Path, data: dict[str, object]) -> None:
    _write(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SinkError(
            f"cannot write {path}: {error.strerror}; check free space and permissions"
        ) from error
    click.echo(f"wrote {path}", err=True)

"""`sam3-edge eval`: how well a bundle or a checkpoint answers."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from sam3_edge.engines.bundle import default_bundle_path
from sam3_edge.engines.load import load_backend, open_bundle
from sam3_edge.engines.manifest import Phrase
from sam3_edge.errors import SinkError, UsageError
from sam3_edge.training.evaluation.answers import Answer
from sam3_edge.training.evaluation.bundle_answers import bundle_answers
from sam3_edge.training.evaluation.coco_pictures import CocoPictures
from sam3_edge.training.evaluation.pictures import (
    JudgedPicture,
    JudgedPictures,
    ScenePictures,
    each,
)
from sam3_edge.training.evaluation.report import Report, make_report, report_to_json
from sam3_edge.training.evaluation.report_tables import show_report
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
def evaluate(model: Path | None, **options: Any) -> None:
    """Measure BUNDLE, or CHECKPOINT (.safetensors), on pictures whose truth is known.

    Each category's name is one prompt, asked about every picture. Gives COCO's AP and AR of boxes
    and, where they are known, of masks; SAM 3's cgF1, pmF1 and IL_MCC; and how well the model
    knows whether a thing is there. Without a model: the bundle that comes with sam3-edge.
    Needs: pip install 'sam3-edge[eval]'; for a CHECKPOINT 'sam3-edge[train]'.

    \b
    Examples:
      sam3-edge eval --annotations reef/valid.json --html worst.html
      sam3-edge eval runs/reef/checkpoints/best.safetensors --annotations \\
          reef/valid.json --json reef.json --vocabulary words.json
      sam3-edge eval bundles/reef --scenes 100
    """
    chosen = EvalOptions(**options)
    _check(chosen)
    before = () if chosen.merge is None else read_phrases(chosen.merge)
    pictures = _pictures(chosen)
    found = list(_answers(model or default_bundle_path(), pictures, chosen))
    report = make_report(
        found,
        model=str(model or "default bundle"),
        pictures=pictures,
        annotations=None if chosen.annotations is None else str(chosen.annotations),
    )
    console = Console(soft_wrap=True)
    show_report(console, report)
    _write_all(report, found, pictures, chosen, before)


def _check(chosen: EvalOptions) -> None:
    """Before the work, what could only fail after it."""
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


def _answers(model: Path, pictures: JudgedPictures, chosen: EvalOptions) -> Iterator[Answer]:
    """A folder is a bundle, anything else a checkpoint."""
    if not model.exists():
        raise UsageError(
            f"{model}: expected a bundle's folder or a .safetensors file, got nothing there; "
            "check the path"
        )
    if not model.is_dir():
        yield from _checkpoint_answers(model, pictures, chosen)
        return
    if chosen.image_size is not None:
        raise UsageError(
            f"--image-size: expected a checkpoint beside it, got the bundle {model}, which has a "
            "size of its own; give the checkpoint, or `sam3-edge export --image-size`"
        )
    bundle = open_bundle(model, verified_only=False)  # to measure it is not to rely on it
    backend = load_backend(bundle, num_threads=chosen.threads or None)
    try:
        slots = bundle.manifest.model.num_exemplars
        yield from bundle_answers(backend, slots, pictures.phrases, _shown(pictures))
    finally:
        backend.close()


def _checkpoint_answers(
    model: Path, pictures: JudgedPictures, chosen: EvalOptions
) -> Iterator[Answer]:
    try:
        import torch

        from sam3_edge.training.evaluation.checkpoint_answers import checkpoint_answers
        from sam3_edge.training.model.weights import load_weights
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{model}: a checkpoint needs {error.name}, which is not installed; install with: "
            "pip install 'sam3-edge[train]', or give a bundle"
        ) from error
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    detector, _ = load_weights(model, preset=chosen.preset, image_size=chosen.image_size)
    try:
        detector.to(chosen.device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"--device: expected one this machine has, got {chosen.device!r}: "
            f"{str(error).splitlines()[0]}; try cpu"
        ) from error
    yield from checkpoint_answers(detector, pictures.phrases, _shown(pictures))


def _shown(pictures: JudgedPictures) -> Iterator[JudgedPicture]:
    """With a bar on a terminal, nothing in a file."""
    console = Console(stderr=True)
    columns = (TextColumn("evaluating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        yield from bar.track(each(pictures), total=len(pictures))


def _write_all(
    report: Report,
    found: list[Answer],
    pictures: JudgedPictures,
    chosen: EvalOptions,
    before: tuple[Phrase, ...],
) -> None:
    if chosen.json is not None:
        text = json.dumps(report_to_json(report), indent=2, ensure_ascii=False, allow_nan=False)
        _write(chosen.json, text + "\n")
    if chosen.vocabulary is not None:
        _write(chosen.vocabulary, vocabulary_to_json(vocabulary_entries(report, before)))
    if chosen.html is not None:
        cases = worst_cases(found, report, chosen.worst)
        _write(chosen.html, worst_cases_page(report, cases, pictures, len(found)))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SinkError(
            f"cannot write {path}: {error.strerror}; check free space and permissions"
        ) from error
    click.echo(f"wrote {path}", err=True)

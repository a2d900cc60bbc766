"""COCO AP of a bundle, through the runtime as `sam3-edge run` uses it: one prompt per class.

    python benchmarks/evaluate_bundle.py [BUNDLE] --coco ANNOTATIONS.json --scenes 100

Prints AP (0.50:0.95) and AP50 of boxes, and of masks where the truth has them, per phrase and in
the mean. With --vocabulary also writes the phrases with their AP and the threshold that gives the
best F1, in the form `sam3-edge export --vocabulary` reads.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from sam3_edge.engines.backend import Backend, PromptBatch
from sam3_edge.engines.bundle import Bundle, default_bundle_path
from sam3_edge.engines.load import load_backend
from sam3_edge.engines.manifest import Phrase
from sam3_edge.engines.text_prompts import text_only_prompts
from sam3_edge.errors import Sam3EdgeError
from sam3_edge.runtime.detections import Detections
from sam3_edge.runtime.postprocess import postprocess
from sam3_edge.runtime.preprocess import preprocess
from sam3_edge.runtime.scene import PHRASES, Scene
from sam3_edge.runtime.tokenizer import Tokenizer
from sam3_edge.training.average_precision import Answer, Objects, Scores, average_precision
from sam3_edge.training.coco_dataset import Photo, read_coco
from sam3_edge.training.labelled import LabelledPicture

# Seeds of held-out scenes; the pictures a bundle carries start at 9000.
FIRST_SCENE = 10_000
LEAST_SCORE = 0.01


def scene_pictures(count: int) -> Iterator[LabelledPicture]:
    """One frame each of `count` held-out scenes, 640x480, with true boxes and masks."""
    for seed in range(FIRST_SCENE, FIRST_SCENE + count):
        image, objects = Scene(seed, "held_out", 640, 480).frame_and_objects(30)
        yield LabelledPicture(
            image=np.ascontiguousarray(image[:, :, ::-1]),
            phrases=PHRASES,
            boxes=np.array([o.box for o in objects], dtype=np.float32).reshape(-1, 4),
            phrase=np.array([PHRASES.index(o.phrase) for o in objects], dtype=np.int64),
            ignore=np.array([o.ignore for o in objects], dtype=np.bool_),
            masks=tuple(o.mask for o in objects),
        )


def photo_pictures(
    phrases: tuple[str, ...], photos: tuple[Photo, ...]
) -> Iterator[LabelledPicture]:
    """Photos at their own size; only their boxes are judged."""
    for photo in photos:
        image = cv2.imread(os.fspath(photo.path), cv2.IMREAD_COLOR)
        if image is None:
            raise click.ClickException(f"{photo.path}: expected a picture, got something else")
        known = photo.annotations
        yield LabelledPicture(
            image=np.ascontiguousarray(image[:, :, ::-1], dtype=np.uint8),
            phrases=phrases,
            boxes=np.array([a.box for a in known], dtype=np.float32).reshape(-1, 4),
            phrase=np.array([a.category for a in known], dtype=np.int64),
            ignore=np.array([a.crowd for a in known], dtype=np.bool_),
            masks=None,
        )


def answers(
    backend: Backend, prompts: PromptBatch, pictures: Iterator[LabelledPicture]
) -> Iterator[Answer]:
    """Every phrase asked about every picture, as the runtime answers."""
    lowest = np.full(len(prompts), LEAST_SCORE, dtype=np.float32)
    for number, picture in enumerate(pictures, start=1):
        preprocess(np.ascontiguousarray(picture.image[:, :, ::-1]), backend.image_slot(0))
        raw = backend.submit(0, prompts).result()
        found = postprocess(raw, lowest, picture.image.shape[:2])
        for index, phrase in enumerate(picture.phrases):
            truth, answer = picture.phrase == index, found.prompt_index == index
            yield Answer(
                picture=number,
                phrase=phrase,
                truth=_truth(picture, truth),
                ignore=picture.ignore[truth],
                found=_found(found, answer, with_masks=picture.masks is not None),
                scores=found.scores[answer],
            )


def _truth(picture: LabelledPicture, chosen: NDArray[np.bool_]) -> Objects:
    masks = picture.masks
    kept = None if masks is None else [masks[i] for i in np.flatnonzero(chosen)]
    return Objects(boxes=picture.boxes[chosen], masks=kept)


def _found(found: Detections, chosen: NDArray[np.bool_], *, with_masks: bool) -> Objects:
    kept = [found.masks[i].full() for i in np.flatnonzero(chosen)] if with_masks else None
    return Objects(boxes=found.boxes[chosen], masks=kept)


def vocabulary(measured: list[tuple[str, Scores]]) -> list[Phrase]:
    """The last measurement gives the AP of a phrase that several know, the strictest its threshold:
    in a live picture a false alarm is worse than a late one.
    """
    phrases: dict[str, Phrase] = {}
    for source, scores in measured:
        for one in scores.phrases:
            threshold = 0.5 if one.threshold is None else round(one.threshold, 3)
            if one.phrase in phrases:
                threshold = max(threshold, phrases[one.phrase].threshold)
            phrases[one.phrase] = Phrase(
                text=one.phrase,
                ap=round(one.ap, 4),
                ap50=round(one.ap50, 4),
                threshold=threshold,
                source=source,
            )
    return list(phrases.values())


def show(console: Console, source: str, scores: Scores) -> None:
    table = Table("phrase", "objects", "AP", "AP50", "mask AP", "mask AP50", "threshold", box=None)
    for one in scores.phrases:
        values = (one.ap, one.ap50, one.mask_ap, one.mask_ap50, one.threshold)
        table.add_row(one.phrase, str(one.objects), *(_cell(value) for value in values))
    means = (scores.ap, scores.ap50, scores.mask_ap, scores.mask_ap50)
    table.add_row("mean", "", *(_cell(value) for value in means), "", style="bold")
    console.print(f"\n{source}")
    console.print(table)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path), required=False)
@click.option("--coco", type=click.Path(exists=True, path_type=Path), help="Annotations of photos.")
@click.option("--name", default="photos", help="What to call them.")
@click.option("--scenes", default=0, help="How many held-out demo scenes.")
@click.option("--vocabulary", "out", type=click.Path(path_type=Path), help="JSON file to write.")
def main(bundle: Path | None, coco: Path | None, name: str, scenes: int, out: Path | None) -> None:
    console = Console()
    opened = Bundle.open(bundle or default_bundle_path(), verified_only=False)
    backend = load_backend(opened)
    slots = opened.manifest.model.num_exemplars
    measured = []

    def measure(
        source: str, phrases: tuple[str, ...], pictures: Iterator[LabelledPicture], count: int
    ) -> None:
        prompts = text_only_prompts(backend.encode_text(Tokenizer().encode(phrases)), slots)
        shown = track(pictures, total=count, description=source, transient=True, console=console)
        scores = average_precision(list(answers(backend, prompts, iter(shown))))
        show(console, source, scores)
        measured.append((source, scores))

    if scenes:
        measure(f"{scenes} held-out demo scenes", PHRASES, scene_pictures(scenes), scenes)
    if coco is not None:
        phrases, photos = read_coco(coco)
        source = f"{name}, {len(photos)} pictures"
        measure(source, phrases, photo_pictures(phrases, photos), len(photos))
    backend.close()
    if out is not None:
        phrases_ = [asdict(phrase) for phrase in vocabulary(measured)]
        out.write_text(json.dumps(phrases_, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except Sam3EdgeError as error:
        raise SystemExit(f"evaluate_bundle: error: {error}") from error

"""COCO AP of a bundle, through the runtime as `sam3-edge run` uses it: one prompt per class.

    python benchmarks/evaluate_bundle.py [BUNDLE] --coco ANNOTATIONS.json --scenes 40 --vocabulary v.json

Prints AP and AP50 of boxes, and of masks where the truth has them, per phrase and in the mean. With
--vocabulary also writes the phrases with their AP and the threshold that gives the best F1, in the
form `sam3-edge export --vocabulary` reads.
"""

import contextlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.console import Console
from rich.progress import track
from rich.table import Table

from sam3_edge.engines.backend import Backend, PromptBatch
from sam3_edge.engines.bundle import Bundle, default_bundle_path
from sam3_edge.engines.load import load_backend
from sam3_edge.engines.manifest import Phrase
from sam3_edge.engines.text_prompts import text_only_prompts
from sam3_edge.runtime.detections import Detections
from sam3_edge.runtime.postprocess import postprocess
from sam3_edge.runtime.preprocess import preprocess
from sam3_edge.runtime.rle import encode_rle
from sam3_edge.runtime.scene import PHRASES, Scene
from sam3_edge.runtime.tokenizer import Tokenizer

# Seeds of held-out scenes; the bundle's own references start at 9000.
FIRST_SCENE = 10_000
LOWEST_SCORE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """image: (H, W, 3) uint8 BGR. truth: COCO annotations without id and image_id; category_id is
    1 + the phrase's place.
    """

    image: NDArray[np.uint8]
    truth: list[dict[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """0..1 each; None where the truth has no such objects."""

    ap: float | None
    ap50: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """By phrase: boxes, masks, and the threshold with the best F1 at IoU 0.5."""

    source: str
    boxes: dict[str, Score]
    masks: dict[str, Score] | None
    thresholds: dict[str, float]


def scene_pictures(count: int) -> Iterator[Picture]:
    """One frame each of `count` held-out scenes, 640x480, with true boxes and masks."""
    for seed in range(FIRST_SCENE, FIRST_SCENE + count):
        image, objects = Scene(seed, "held_out", 640, 480).frame_and_objects(30)
        truth = []
        for one in objects:
            x0, y0, x1, y1 = one.box
            truth.append(
                {
                    "category_id": 1 + PHRASES.index(one.phrase),
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": float(one.mask.sum()),
                    "iscrowd": int(one.ignore),
                    "segmentation": _rle(one.mask),
                }
            )
        yield Picture(image=image, truth=truth)


def coco_pictures(
    annotations: Path,
) -> tuple[tuple[str, ...], list[tuple[Path, list[dict[str, object]]]]]:
    """Category names, and every photo's file and annotations."""
    data = json.loads(annotations.read_text(encoding="utf-8"))
    place = {category["id"]: i for i, category in enumerate(data["categories"])}
    by_image: dict[int, list[dict[str, object]]] = {image["id"]: [] for image in data["images"]}
    for one in data["annotations"]:
        by_image[one["image_id"]].append(
            {
                "category_id": 1 + place[one["category_id"]],
                "bbox": one["bbox"],
                "area": one["area"],
                "iscrowd": one.get("iscrowd", 0),
            }
        )
    files = [
        (_photo(annotations, image["file_name"]), by_image[image["id"]]) for image in data["images"]
    ]
    return tuple(category["name"] for category in data["categories"]), files


def read_pictures(files: list[tuple[Path, list[dict[str, object]]]]) -> Iterator[Picture]:
    for path, truth in files:
        image = cv2.imread(os.fspath(path), cv2.IMREAD_COLOR)
        if image is None:
            raise click.ClickException(f"{path}: expected a picture, got none; check the path")
        yield Picture(image=image.astype(np.uint8, copy=False), truth=truth)


def evaluate(
    backend: Backend,
    batch: PromptBatch,
    phrases: tuple[str, ...],
    pictures: Iterator[Picture],
    count: int,
    source: str,
    *,
    with_masks: bool,
) -> Evaluation:
    images, truth, found = [], [], []
    lowest = np.full(len(phrases), LOWEST_SCORE, dtype=np.float32)
    for picture in track(pictures, total=count, description=source, transient=True):
        height, width = picture.image.shape[:2]
        preprocess(picture.image, backend.image_slot(0))
        raw = backend.submit(0, batch).result()
        detections = postprocess(raw, lowest, (height, width))
        image_id = len(images) + 1
        images.append({"id": image_id, "width": width, "height": height})
        truth += [
            {**t, "id": len(truth) + 1 + i, "image_id": image_id}
            for i, t in enumerate(picture.truth)
        ]
        found += _results(detections, image_id, with_masks=with_masks)
    boxes = _coco_eval(images, truth, found, phrases, "bbox")
    masks = _coco_eval(images, truth, found, phrases, "segm") if with_masks else None
    return Evaluation(
        source=source,
        boxes=_scores(boxes, phrases),
        masks=None if masks is None else _scores(masks, phrases),
        thresholds={p: best_threshold(boxes, i) for i, p in enumerate(phrases)},
    )


def best_threshold(evaluation: COCOeval, category: int) -> float:
    """The score from which on F1 at IoU 0.5 is best, over all pictures."""
    scores, right, wanted = [], [], 0
    for one in evaluation.evalImgs:
        # The first area range is "all".
        if (
            one is None
            or one["category_id"] != category + 1
            or one["aRng"] != evaluation.params.areaRng[0]
        ):
            continue
        counted = ~one["dtIgnore"][0].astype(bool)
        scores.append(np.array(one["dtScores"])[counted])
        right.append(one["dtMatches"][0][counted] > 0)
        wanted += int((one["gtIgnore"] == 0).sum())
    if not scores or not wanted or not sum(len(s) for s in scores):
        return 0.5
    score = np.concatenate(scores)
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(np.concatenate(right)[order])
    f1 = 2.0 * hits / (np.arange(len(order)) + 1 + wanted)
    return round(float(np.clip(score[order][int(f1.argmax())], 0.05, 0.95)), 3)


def _results(detections: Detections, image_id: int, *, with_masks: bool) -> list[dict[str, object]]:
    results = []
    for i, (x0, y0, x1, y1) in enumerate(detections.boxes.tolist()):
        one: dict[str, object] = {
            "image_id": image_id,
            "category_id": 1 + int(detections.prompt_index[i]),
            "score": float(detections.scores[i]),
            "bbox": [x0, y0, x1 - x0, y1 - y0],
        }
        if with_masks:
            mask = detections.masks[i]
            counts = encode_rle(mask.bits, size=mask.size, origin=mask.origin)
            one["segmentation"] = {"size": list(mask.size), "counts": counts}
        results.append(one)
    return results


def _coco_eval(
    images: list[dict[str, int]],
    truth: list[dict[str, object]],
    found: list[dict[str, object]],
    phrases: tuple[str, ...],
    kind: str,
) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {
            "images": images,
            "annotations": truth,
            "categories": [{"id": 1 + i, "name": name} for i, name in enumerate(phrases)],
        }
        known.createIndex()
        # loadRes adds to what it is given, and would take a mask's box for the box.
        given = [dict(one) for one in found]
        if kind == "bbox":
            for one in given:
                one.pop("segmentation", None)
        evaluation = COCOeval(known, known.loadRes(given), kind)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _scores(evaluation: COCOeval, phrases: tuple[str, ...]) -> dict[str, Score]:
    """Per phrase over all areas with up to 100 detections a picture."""
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    scores = {}
    for i, phrase in enumerate(phrases):
        one = precision[:, :, i]
        known = bool((one > -1).all())
        scores[phrase] = Score(
            ap=float(one.mean()) if known else None, ap50=float(one[0].mean()) if known else None
        )
    return scores


def mean_score(scores: dict[str, Score]) -> Score:
    known = [(s.ap, s.ap50) for s in scores.values() if s.ap is not None and s.ap50 is not None]
    ap, ap50 = np.mean(known, axis=0)
    return Score(ap=float(ap), ap50=float(ap50))


def _rle(mask: NDArray[np.bool_]) -> dict[str, object]:
    return {"size": list(mask.shape), "counts": encode_rle(mask)}


def _photo(annotations: Path, name: str) -> Path:
    beside = annotations.parent / name
    return beside if beside.is_file() else annotations.parent / "images" / name


def _show(console: Console, evaluation: Evaluation) -> None:
    table = Table("phrase", "box AP", "box AP50", "mask AP", "mask AP50", "threshold", box=None)
    for phrase in (*evaluation.boxes, "mean"):
        rows = [evaluation.boxes, evaluation.masks]
        chosen = [
            None if r is None else mean_score(r) if phrase == "mean" else r[phrase] for r in rows
        ]
        cells = [x for s in chosen for x in ((None, None) if s is None else (s.ap, s.ap50))]
        threshold = evaluation.thresholds.get(phrase)
        table.add_row(phrase, *("-" if c is None else f"{c:.3f}" for c in (*cells, threshold)))
    console.print(f"\n{evaluation.source}")
    console.print(table)


def vocabulary(photos: Evaluation | None, scenes: Evaluation | None) -> list[Phrase]:
    """Photos speak for a phrase where both know it: they are what a user has."""
    phrases = {}
    for evaluation in (scenes, photos):
        if evaluation is None:
            continue
        for text, score in evaluation.boxes.items():
            phrases[text] = Phrase(
                text=text,
                ap=None if score.ap is None else round(score.ap, 4),
                ap50=None if score.ap50 is None else round(score.ap50, 4),
                threshold=evaluation.thresholds[text],
                source=evaluation.source,
            )
    return list(phrases.values())


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path), required=False)
@click.option("--coco", type=click.Path(exists=True, path_type=Path), help="Annotations of photos.")
@click.option("--name", default="photos", help="What to call them.")
@click.option("--scenes", default=0, help="How many held-out demo scenes.")
@click.option("--vocabulary", "out", type=click.Path(path_type=Path), help="JSON file to write.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(
    bundle: Path | None, coco: Path | None, name: str, scenes: int, out: Path | None, as_json: bool
) -> None:
    console = Console(stderr=as_json)
    opened = Bundle.open(bundle or default_bundle_path(), verified_only=False)
    backend = load_backend(opened)
    slots = opened.manifest.model.num_exemplars

    def prompts(phrases: tuple[str, ...]) -> PromptBatch:
        return text_only_prompts(backend.encode_text(Tokenizer().encode(phrases)), slots)

    on_scenes = on_photos = None
    if scenes:
        on_scenes = evaluate(
            backend, prompts(PHRASES), PHRASES, scene_pictures(scenes), scenes,
            f"{scenes} held-out demo scenes", with_masks=True,
        )  # fmt: skip
        _show(console, on_scenes)
    if coco is not None:
        phrases, files = coco_pictures(coco)
        on_photos = evaluate(
            backend, prompts(phrases), phrases, read_pictures(files), len(files),
            f"{name}, {len(files)} pictures", with_masks=False,
        )  # fmt: skip
        _show(console, on_photos)
    backend.close()
    if as_json:
        print(json.dumps([asdict(e) for e in (on_scenes, on_photos) if e is not None]))
    if out is not None:
        phrases_ = vocabulary(on_photos, on_scenes)
        out.write_text(json.dumps([asdict(p) for p in phrases_], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

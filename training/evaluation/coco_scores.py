"""COCO's average precision and recall of answers, and the score threshold that suits each phrase.

pycocotools judges, with its own parameters: IoU 0.50:0.95, 101 recall points, at most 1, 10 and
100 detections of a phrase in a picture, objects small below 32^2 pixels, large from 96^2.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sam3_edge.training.evaluation.answers import Answer
from sam3_edge.training.evaluation.regions import (
    Kind,
    ignored,
    judged,
    region_areas,
    to_regions,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoScores:
    """0..1; None where there is no object to find (of that size).

    ap: over IoU 0.50:0.95. ap50, ap75: at one IoU. aps, apm, apl: of small, medium and large
    objects. ar1, ar10, ar100: recall over IoU 0.50:0.95 of so many detections a picture.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    aps: float | None
    apm: float | None
    apl: float | None
    ar1: float | None
    ar10: float | None
    ar100: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PhraseScores:
    """objects: how many there were to find.

    threshold: the score above which F1 at IoU 0.50 is best; None where nothing right was found.
    """

    phrase: str
    objects: int
    scores: CocoScores
    threshold: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KindScores:
    """Of boxes or of masks. mean: over the phrases with an object. phrases: every one asked."""

    mean: CocoScores
    phrases: tuple[PhraseScores, ...]


def coco_scores(answers: Sequence[Answer], kind: Kind) -> KindScores:
    """Answers without truth of this kind do not count."""
    known = judged(answers, kind)
    phrases = list(dict.fromkeys(answer.phrase for answer in answers))
    category = {phrase: i + 1 for i, phrase in enumerate(phrases)}
    truth = [e for a in known for e in _truth_entries(a, category[a.phrase], kind)]
    found = [e for a in known for e in _found_entries(a, category[a.phrase], kind)]
    pictures = sorted({answer.picture for answer in known})
    judge = _judge(truth, found, pictures, phrases, kind)
    every = range(len(phrases))
    objects = np.zeros(len(phrases), dtype=np.int64)
    for entry in truth:
        objects[entry["category_id"] - 1] += not entry["iscrowd"]
    return KindScores(
        mean=_scores(judge, list(every)),
        phrases=tuple(
            PhraseScores(
                phrase=phrases[k],
                objects=int(objects[k]),
                scores=_scores(judge, [k]),
                threshold=_best_threshold(judge, k),
            )
            for k in every
        ),
    )


def _judge(
    truth: list[dict[str, Any]],
    found: list[dict[str, Any]],
    pictures: list[int],
    phrases: list[str],
    kind: Kind,
) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints what it does
        judge = COCOeval(
            _index(truth, pictures, phrases), _index(found, pictures, phrases), iouType=kind
        )
        judge.evaluate()
        judge.accumulate()
    return judge


def _scores(judge: Any, categories: list[int]) -> CocoScores:
    """Axes of `precision`: IoU, recall, category, area, most detections; `recall` has no second."""
    precision = judge.eval["precision"][:, :, categories]
    recall = judge.eval["recall"][:, categories]
    return CocoScores(
        ap=_mean(precision[:, :, :, 0, 2]),
        ap50=_mean(precision[0, :, :, 0, 2]),
        ap75=_mean(precision[5, :, :, 0, 2]),
        aps=_mean(precision[:, :, :, 1, 2]),
        apm=_mean(precision[:, :, :, 2, 2]),
        apl=_mean(precision[:, :, :, 3, 2]),
        ar1=_mean(recall[:, :, 0, 0]),
        ar10=_mean(recall[:, :, 0, 1]),
        ar100=_mean(recall[:, :, 0, 2]),
    )


def _mean(values: NDArray[np.float64]) -> float | None:
    """pycocotools writes -1 where there was nothing to find."""
    known = values[values > -1.0]
    return float(known.mean()) if known.size else None


def _best_threshold(judge: Any, category: int) -> float | None:
    precision = judge.eval["precision"][0, :, category, 0, 2]
    scores = judge.eval["scores"][0, :, category, 0, 2]
    recall = np.linspace(0.0, 1.0, len(precision))
    f1 = 2.0 * precision * recall / np.maximum(precision + recall, 1e-9)
    best = int(f1.argmax())
    return float(scores[best]) if f1[best] > 0.0 else None


def _truth_entries(answer: Answer, category: int, kind: Kind) -> list[dict[str, Any]]:
    regions = to_regions(answer.truth, answer.size, kind)
    areas = region_areas(answer.truth, regions, kind)
    return [
        _entry(answer, category, kind, region, area) | {"iscrowd": int(ignore)}
        for region, area, ignore in zip(regions, areas, ignored(answer, kind), strict=True)
    ]


def _found_entries(answer: Answer, category: int, kind: Kind) -> list[dict[str, Any]]:
    regions = to_regions(answer.found, answer.size, kind)
    areas = region_areas(answer.found, regions, kind)
    return [
        _entry(answer, category, kind, region, area) | {"score": float(score), "iscrowd": 0}
        for region, area, score in zip(regions, areas, answer.scores, strict=True)
    ]


def _entry(answer: Answer, category: int, kind: Kind, region: Any, area: float) -> dict[str, Any]:
    key = "bbox" if kind == "bbox" else "segmentation"
    return {
        "image_id": answer.picture,
        "category_id": category,
        key: region,
        "area": float(area),
    }


def _index(entries: list[dict[str, Any]], pictures: list[int], phrases: list[str]) -> Any:
    index = COCO()
    index.dataset = {
        # pycocotools asks for a size and, as masks are run lengths already, does not use it.
        "images": [{"id": picture, "height": 0, "width": 0} for picture in pictures],
        "categories": [{"id": i + 1, "name": phrase} for i, phrase in enumerate(phrases)],
        "annotations": [{**entry, "id": i + 1} for i, entry in enumerate(entries)],
    }
    index.createIndex()
    return index

"""COCO's average precision of answers to prompts, and the threshold that suits each phrase."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

MAX_DETECTIONS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """boxes: (M, 4) xyxy pixels. masks: M masks (H, W) bool, or None where only boxes are known."""

    boxes: NDArray[np.float32]
    masks: Sequence[NDArray[np.bool_]] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One phrase asked about one picture. At most the 100 best of `found` count.

    picture: its number. scores: (M,) of `found`. ignore: (T,) bool, objects of `truth` that are
    neither right nor wrong to find.
    """

    picture: int
    phrase: str
    truth: Objects
    ignore: NDArray[np.bool_]
    found: Objects
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhraseScore:
    """objects: how many there were to find. ap: over IoU 0.50:0.95. ap50: at IoU 0.50.

    threshold: the score above which F1 at IoU 0.50 is best; None where nothing right was found.
    mask_ap, mask_ap50: None where no masks are known.
    """

    phrase: str
    objects: int
    ap: float
    ap50: float
    threshold: float | None
    mask_ap: float | None
    mask_ap50: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """phrases: those with at least one object. The others are means over them."""

    phrases: tuple[PhraseScore, ...]
    ap: float
    ap50: float
    mask_ap: float | None
    mask_ap50: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Of one phrase: objects to find, AP, AP50, and the threshold of the best F1 at IoU 0.50."""

    objects: int
    ap: float
    ap50: float
    threshold: float | None


def average_precision(answers: Sequence[Answer]) -> Scores:
    """Raises ValueError where there is nothing to find: AP is then undefined."""
    boxes = _curves(answers, "bbox")
    if not boxes:
        raise ValueError("expected at least one object to find, got none")
    masked = [a for a in answers if a.truth.masks is not None and a.found.masks is not None]
    masks = _curves(masked, "segm")
    phrases = tuple(_phrase_score(text, curve, masks.get(text)) for text, curve in boxes.items())
    return Scores(
        phrases=phrases,
        ap=float(np.mean([p.ap for p in phrases])),
        ap50=float(np.mean([p.ap50 for p in phrases])),
        mask_ap=_mean([p.mask_ap for p in phrases]),
        mask_ap50=_mean([p.mask_ap50 for p in phrases]),
    )


def _phrase_score(text: str, boxes: Curve, masks: Curve | None) -> PhraseScore:
    return PhraseScore(
        phrase=text,
        objects=boxes.objects,
        ap=boxes.ap,
        ap50=boxes.ap50,
        threshold=boxes.threshold,
        mask_ap=None if masks is None else masks.ap,
        mask_ap50=None if masks is None else masks.ap50,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _curves(answers: Sequence[Answer], kind: str) -> dict[str, Curve]:
    """By phrase, for phrases with an object. kind: "bbox" or "segm"."""
    phrases = list(dict.fromkeys(answer.phrase for answer in answers))
    category = {phrase: i + 1 for i, phrase in enumerate(phrases)}
    truth = [e for a in answers for e in _truth_entries(a, category[a.phrase])]
    found = [e for a in answers for e in _found_entries(a, category[a.phrase])]
    pictures = sorted({answer.picture for answer in answers})
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints what it does
        judge = COCOeval(
            _index(truth, pictures, phrases), _index(found, pictures, phrases), iouType=kind
        )
        judge.params.maxDets = [MAX_DETECTIONS]
        judge.params.areaRng, judge.params.areaRngLbl = [[0.0, 1e10]], ["all"]
        judge.evaluate()
        judge.accumulate()
    curves = {}
    for k, phrase in enumerate(phrases):
        objects = sum(e["category_id"] == k + 1 and not e["iscrowd"] for e in truth)
        if objects:
            precision = judge.eval["precision"][:, :, k, 0, 0]
            curves[phrase] = Curve(
                objects=objects,
                ap=float(precision.mean()),
                ap50=float(precision[0].mean()),
                threshold=_best_threshold(precision[0], judge.eval["scores"][0, :, k, 0, 0]),
            )
    return curves


def _best_threshold(precision: NDArray[np.float64], scores: NDArray[np.float64]) -> float | None:
    """precision, scores: (101,) at recall 0, 0.01 ... 1."""
    recall = np.linspace(0.0, 1.0, len(precision))
    f1 = 2.0 * precision * recall / np.maximum(precision + recall, 1e-9)
    best = int(f1.argmax())
    return float(scores[best]) if f1[best] > 0.0 else None


def _truth_entries(answer: Answer, category: int) -> list[dict[str, Any]]:
    entries = _entries(answer.truth, answer.picture, category)
    return [
        {**entry, "iscrowd": int(ignore)}
        for entry, ignore in zip(entries, answer.ignore, strict=True)
    ]


def _found_entries(answer: Answer, category: int) -> list[dict[str, Any]]:
    entries = _entries(answer.found, answer.picture, category)
    return [
        {**entry, "score": float(score), "iscrowd": 0}
        for entry, score in zip(entries, answer.scores, strict=True)
    ]


def _entries(objects: Objects, picture: int, category: int) -> list[dict[str, Any]]:
    entries = []
    for i, (x0, y0, x1, y1) in enumerate(objects.boxes.tolist()):
        entry: dict[str, Any] = {"image_id": picture, "category_id": category}
        entry |= {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
        if objects.masks is not None:
            bits = np.asfortranarray(objects.masks[i], dtype=np.uint8)
            entry["segmentation"] = coco_mask.encode(bits)
        entries.append(entry)
    return entries


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

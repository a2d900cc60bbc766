"""Answers made by hand, and a small data set in COCO's format."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sam3_edge.runtime.rle import encode_rle
from sam3_edge.training.evaluation.answers import Answer, Objects

SIZE = (80, 100)
Box = Sequence[float]
Ask = Callable[..., Answer]


def filled(box: Box) -> str:
    """The mask that fills a box."""
    x0, y0, x1, y1 = (int(v) for v in box)
    bits = np.zeros(SIZE, np.bool_)
    bits[y0:y1, x0:x1] = True
    return encode_rle(bits)


def ask(
    truth: Sequence[Box],
    found: Sequence[Box],
    scores: Sequence[float],
    *,
    picture: int = 0,
    phrase: str = "fish",
    ignore: Sequence[bool] | None = None,
    masks: bool = True,
    presence: float = 0.9,
) -> Answer:
    def objects(boxes: Sequence[Box]) -> Objects:
        return Objects(
            boxes=np.array(boxes, np.float64).reshape(-1, 4),
            masks=tuple(map(filled, boxes)) if masks else None,
        )

    return Answer(
        picture=picture,
        path=f"picture {picture}",
        size=SIZE,
        phrase=phrase,
        truth=objects(truth),
        ignore=np.array(ignore or [False] * len(truth), np.bool_),
        found=objects(found),
        scores=np.array(scores, np.float64),
        presence=presence,
    )


@pytest.fixture(name="ask")
def ask_fixture() -> Ask:
    """ask(truth, found, scores, ...): one answer; masks fill their boxes."""
    return ask


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Three pictures of 60x40: a crab with a polygon and one with an RLE and a crowd; a shrimp
    without a mask; nothing.
    """
    for number in (1, 2, 3):
        picture = np.full((40, 60, 3), 40 * number, np.uint8)
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(coco_data()))
    return path


def coco_data() -> dict[str, Any]:
    runs = [40 * 10, 40 * 10, 40 * 40]  # columns 10 to 19
    triangle = [30.0, 5.0, 50.0, 5.0, 30.0, 25.0]
    return {
        "images": [
            {"id": n, "file_name": f"{n}.png", "width": 60, "height": 40} for n in (1, 2, 3)
        ],
        "categories": [{"id": 7, "name": "crab"}, {"id": 9, "name": "shrimp"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [30, 5, 20, 20],
             "segmentation": [triangle], "area": 200.0, "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 7, "bbox": [10, 0, 10, 40],
             "segmentation": {"size": [40, 60], "counts": runs}, "area": 400, "iscrowd": 1},
            {"id": 3, "image_id": 2, "category_id": 9, "bbox": [1.5, 2.5, 20, 10]},
        ],
    }  # fmt: skip

"""The boxes or masks of an answer as pycocotools compares them, and their overlap."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from sam3_edge.training.evaluation.answers import Answer, Objects

Kind = Literal["bbox", "segm"]


def to_regions(objects: Objects, size: tuple[int, int], kind: Kind) -> list[Any]:
    """M boxes [x, y, width, height], or M run lengths in a picture of `size` (H, W).

    An object whose mask is not known is stood for by its box.
    """
    boxes = [[x0, y0, x1 - x0, y1 - y0] for x0, y0, x1, y1 in objects.boxes.tolist()]
    if kind == "bbox":
        return boxes
    assert objects.masks is not None
    return [
        _box_mask(box, size) if counts is None else {"size": list(size), "counts": counts}
        for box, counts in zip(boxes, objects.masks, strict=True)
    ]


def region_areas(objects: Objects, regions: list[Any], kind: Kind) -> NDArray[np.float64]:
    """(M,) pixels: what the data set says, else the area of the region itself."""
    given = objects.areas if kind == "bbox" else objects.mask_areas
    if given is not None:
        return given
    if kind == "bbox":
        return np.array([width * height for _, _, width, height in regions], dtype=np.float64)
    return np.asarray(coco_mask.area(regions) if regions else [], dtype=np.float64)


def ignored(answer: Answer, kind: Kind) -> NDArray[np.bool_]:
    """(T,) bool: for masks also the objects whose mask is not known."""
    masks = answer.truth.masks
    if kind == "bbox" or masks is None:
        return answer.ignore
    return answer.ignore | np.array([mask is None for mask in masks], dtype=np.bool_)


def overlaps(found: list[Any], truth: list[Any], crowd: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(M, T) IoU; with a crowd the share of the found region that lies in it, as COCO does."""
    if not found or not truth:
        return np.zeros((len(found), len(truth)))
    shares: NDArray[np.float64] = coco_mask.iou(found, truth, crowd.astype(np.uint8).tolist())
    return shares


def judged(answers: Sequence[Answer], kind: Kind) -> list[Answer]:
    """Those of which the truth of this kind is known."""
    return [a for a in answers if kind == "bbox" or a.truth.masks is not None]


def _box_mask(box: list[float], size: tuple[int, int]) -> Any:
    return coco_mask.frPyObjects(np.array([box]), *size)[0]

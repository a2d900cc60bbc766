"""Masks guessed from boxes, by GrabCut (Rother et al., SIGGRAPH 2004), made once for a data set.

They are drawn on the photos as training keeps them. A guess that fills nearly all or nearly nothing
of its box is worse than none and is left out.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.errors import DatasetError
from sam3_edge.runtime.rle import encode_rle
from sam3_edge.training.data.coco_annotations import KEPT_SIDE, Photo, kept_image, read_coco
from sam3_edge.training.data.labelled import Mask

FORMAT = 1
# What share of its box a mask may cover.
LEAST_COVERED, MOST_COVERED = 0.15, 0.95
# How much of the surroundings is looked at, share of the box on each side.
MARGIN = 0.25
# Boxes are cut out at most so large, pixels: the time goes with the area, the outline does not.
CUT_SIDE = 160
# Smaller boxes have too few pixels for two colour models, pixels a side.
LEAST_BOX = 8
ROUNDS = 3


def pseudo_masks_path(annotations: Path, folder: Path) -> Path:
    """Where the masks of these annotations are kept; another content is another file."""
    return folder / f"{annotations.stem}-{_sha256(annotations)[:16]}.json"


def make_pseudo_masks(
    annotations: Path,
    folder: Path,
    *,
    images: Path | None = None,
    skip_faulty: bool = False,
    report: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the masks of all objects that have none; returns the file, made now or before.

    report: is told after each photo how many of how many are done. Raises DatasetError.
    """
    path = pseudo_masks_path(annotations, folder)
    if path.exists():
        return path
    _, photos = read_coco(annotations, images=images, skip_faulty=skip_faulty)
    masks: dict[str, dict[str, object]] = {}
    for number, photo in enumerate(photos, start=1):
        masks |= _masks_of(photo)
        if report is not None:
            report(number, len(photos))
    made = {
        "format": FORMAT,
        "annotations": annotations.name,
        "sha256": _sha256(annotations),
        "kept_side": KEPT_SIDE,
        "masks": masks,
    }
    _write(path, json.dumps(made))
    return path


def read_pseudo_masks(path: Path, annotations: Path) -> dict[int, str]:
    """Run lengths by annotation id. Raises DatasetError for masks of other annotations."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        identity = (data["format"], data["kept_side"], data["sha256"])
        masks = {int(id_): str(rle["counts"]) for id_, rle in data["masks"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{path}: expected masks guessed from boxes, got {type(error).__name__}: {error}; "
            "make them anew"
        ) from error
    if identity != (FORMAT, KEPT_SIDE, _sha256(annotations)):
        raise DatasetError(
            f"{path}: expected masks of {annotations} as it is now, got those of other "
            "annotations or of another version; make them anew"
        )
    return masks


def guessed_mask(image: NDArray[np.uint8], box: NDArray[np.float32]) -> Mask | None:
    """image (H, W, 3) RGB, box xyxy pixels -> (H, W), empty outside the box; None for no good one."""
    height, width = image.shape[:2]
    side = box[2:] - box[:2]
    if side.min() < LEAST_BOX:
        return None
    low = np.floor(box[:2] - MARGIN * side).clip(0).astype(int)
    high = np.minimum(np.ceil(box[2:] + MARGIN * side).astype(int), [width, height])
    around = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
    scale = min(CUT_SIDE / max(around.shape[:2]), 1.0)
    small = around
    if scale < 1.0:
        resized = cv2.resize(around, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        small = resized.astype(np.uint8, copy=False)
    inside = np.zeros(small.shape[:2], dtype=np.bool_)
    (x0, y0), (x1, y1) = (np.round((corner - low) * scale).astype(int) for corner in
                          (box[:2], box[2:]))  # fmt: skip
    inside[y0:y1, x0:x1] = True
    if inside.all():
        return None  # Nothing around the box to tell what is not the object.
    found = _largest_part(_grab(small, inside))
    if not LEAST_COVERED <= found.sum() / inside.sum() <= MOST_COVERED:
        return None
    mask = np.zeros((height, width), dtype=np.bool_)
    large = cv2.resize(
        found.astype(np.float32), around.shape[1::-1], interpolation=cv2.INTER_LINEAR
    )
    mask[low[1] : high[1], low[0] : high[0]] = large >= 0.5
    return mask


def _grab(image: NDArray[np.uint8], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What GrabCut takes for the object; it knows only that all of it is inside."""
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    models = np.zeros((2, 1, 65), dtype=np.float64)
    cv2.setRNGSeed(0)  # The first clusters are drawn at random.
    cv2.grabCut(image, labels, (0, 0, 1, 1), models[0], models[1], ROUNDS, cv2.GC_INIT_WITH_MASK)
    found: NDArray[np.bool_] = (labels == cv2.GC_PR_FGD) | (labels == cv2.GC_FGD)
    return found


def _largest_part(found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8))
    sizes = statistics[1:, cv2.CC_STAT_AREA]
    if not len(sizes):
        return found
    largest: NDArray[np.bool_] = parts == 1 + int(sizes.argmax())
    return largest


def _masks_of(photo: Photo) -> dict[str, dict[str, object]]:
    wanted = [a for a in photo.annotations if a.segmentation is None and not a.crowd]
    if not wanted:
        return {}
    image, scale = kept_image(photo)
    masks: dict[str, dict[str, object]] = {}
    for one in wanted:
        mask = guessed_mask(image, np.array(one.box, dtype=np.float32) * np.float32(scale))
        if mask is not None:
            masks[str(one.id)] = {"size": list(mask.shape), "counts": encode_rle(mask)}
    return masks


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DatasetError(
            f"{path}: expected COCO annotations, got: {error.strerror}; check the path"
        ) from error


def _write(path: Path, text: str) -> None:
    """Whole or not at all: several runs may make it at once."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except OSError as error:
        raise DatasetError(
            f"{path}: expected a folder that can be written, got: {error.strerror}; choose another"
        ) from error

"""What COCO's annotations say beyond boxes: areas, and masks that may come from another file."""

import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment

from sam3_edge.errors import DatasetError
from sam3_edge.runtime.rle import decode_rle
from sam3_edge.training.data.coco_annotations import Photo, read_coco

# From this IoU on, two files speak of the same box: at most they round differently.
SAME_BOX = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskEntry:
    """One annotation with a mask. box: x, y, width, height, pixels. segmentation: COCO's polygons
    or run lengths. area: pixels, None where not given.
    """

    category: str
    box: tuple[float, ...]
    segmentation: Any
    area: float | None


def read_photos(
    annotations: Path, images: Path | None, *, skip_faulty: bool
) -> tuple[tuple[str, ...], tuple[Photo, ...]]:
    """As `read_coco`, with the photos in `images` where that is given. Raises DatasetError."""
    if images is None:
        return read_coco(annotations, skip_faulty=skip_faulty)
    data = _read(annotations)
    listed = [entry for entry in _list(data, "images") if isinstance(entry, dict)]
    for entry in listed:
        if isinstance(entry.get("file_name"), str):
            entry["file_name"] = str(images.resolve() / entry["file_name"])
    with tempfile.TemporaryDirectory() as folder:
        moved = Path(folder) / annotations.name
        moved.write_text(json.dumps(data), encoding="utf-8")
        try:
            return read_coco(moved, skip_faulty=skip_faulty)
        except DatasetError as error:
            said = str(error).replace(str(moved), str(annotations))
            raise DatasetError(f"{said} (pictures are looked for in {images})") from error


def read_areas(annotations: Path) -> dict[int, float]:
    """`area` in pixels by annotation id, where it is given. Raises DatasetError."""
    areas = {}
    for entry in _list(_read(annotations), "annotations"):
        area = entry.get("area") if isinstance(entry, dict) else None
        if isinstance(area, int | float) and np.isfinite(area):
            areas[entry["id"]] = float(area)
    return areas


def read_masks(path: Path) -> dict[str, list[MaskEntry]]:
    """By the last part of the picture's file name. Raises DatasetError."""
    data = _read(path)
    try:
        names = {c["id"]: str(c["name"]) for c in data["categories"]}
        grouped: defaultdict[object, list[MaskEntry]] = defaultdict(list)
        for entry in data["annotations"]:
            if entry.get("segmentation"):
                grouped[entry["image_id"]].append(_mask_entry(entry, names[entry["category_id"]]))
        return {Path(image["file_name"]).name: grouped[image["id"]] for image in data["images"]}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _not_coco(path, error) from error


def masks_of(
    photo: Photo, phrases: Sequence[str], others: Sequence[MaskEntry]
) -> tuple[MaskEntry | None, ...]:
    """For each annotation of the photo the mask that is the same object's; None for none.

    phrases: which the annotations' categories index. Boxes decide, and of equal ones the name.
    """
    chosen: list[MaskEntry | None] = [None] * len(photo.annotations)
    if not others or not chosen:
        return tuple(chosen)
    mine = [[x0, y0, x1 - x0, y1 - y0] for x0, y0, x1, y1 in (a.box for a in photo.annotations)]
    iou = coco_mask.iou(mine, [list(other.box) for other in others], [0] * len(others))
    same = [[phrases[a.category] == o.category for o in others] for a in photo.annotations]
    rows, columns = linear_sum_assignment(iou + 0.05 * np.array(same), maximize=True)
    for row, column in zip(rows, columns, strict=True):
        if iou[row, column] >= SAME_BOX:
            chosen[row] = others[column]
    return tuple(chosen)


def encode_segmentation(segmentation: Any, photo: Photo) -> str:
    """COCO's polygons or run lengths -> compressed run lengths of the photo, as pycocotools does.

    Raises DatasetError for what does not fill the photo.
    """
    size = (photo.height, photo.width)
    try:
        if isinstance(segmentation, list):
            rings = [[float(v) for v in ring] for ring in segmentation]
            if any(len(ring) < 6 or len(ring) % 2 or not np.isfinite(ring).all() for ring in rings):
                raise ValueError("a ring of fewer than three points")
            return _counts(coco_mask.merge(coco_mask.frPyObjects(rings, *size)))
        if list(segmentation["size"]) != list(size):
            raise ValueError(f"a mask of size {segmentation['size']}")
        counts = segmentation["counts"]
        if isinstance(counts, str):
            decode_rle(size, counts)  # pycocotools reads past the end of wrong ones
            return counts
        if not all(isinstance(run, int) and run >= 0 for run in counts):
            raise ValueError("runs that are not whole numbers")
        if sum(counts) != photo.height * photo.width:
            raise ValueError(f"runs of {sum(counts)} pixels in all")
        return _counts(coco_mask.frPyObjects({"size": list(size), "counts": counts}, *size))
    except (ValueError, TypeError, KeyError) as error:
        raise DatasetError(
            f"{photo.path}: expected polygons, or an RLE of {photo.width}x{photo.height} pixels, "
            f"as segmentation, got: {error}; correct or remove it"
        ) from error


def _counts(rle: dict[str, Any]) -> str:
    counts: bytes = rle["counts"]
    return counts.decode("ascii")


def _mask_entry(entry: dict[str, Any], category: str) -> MaskEntry:
    box, area = tuple(float(v) for v in entry["bbox"]), entry.get("area")
    if len(box) != 4 or not np.isfinite(box).all():
        raise ValueError(f"bbox {entry['bbox']}")
    return MaskEntry(
        category=category,
        box=box,
        segmentation=entry["segmentation"],
        area=None if area is None else float(area),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise TypeError(f"a {type(data).__name__}")
        return data
    except (OSError, ValueError, TypeError) as error:
        raise _not_coco(path, error) from error


def _list(data: dict[str, Any], key: str) -> list[Any]:
    """What is no list is `read_coco`'s to refuse."""
    given = data.get(key)
    return given if isinstance(given, list) else []


def _not_coco(path: Path, error: Exception) -> DatasetError:
    return DatasetError(
        f"{path}: expected COCO annotations (images, annotations, categories), got "
        f"{type(error).__name__}: {error}; check the file"
    )

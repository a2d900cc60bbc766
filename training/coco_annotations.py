"""Annotations in COCO's format, checked whole before the first step."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam3_edge.errors import DatasetError

# Boxes may stand out of the picture by rounding, pixels.
SLACK = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """box: xyxy pixels. segmentation: COCO's polygons or RLE, or None. crowd: a region, not one."""

    category: int
    box: tuple[float, float, float, float]
    segmentation: Any
    crowd: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """path: of a file that exists. annotations: their category indexes the list of names."""

    path: Path
    width: int
    height: int
    annotations: tuple[Annotation, ...]


def read_coco(path: Path) -> tuple[tuple[str, ...], tuple[Photo, ...]]:
    """Category names, and photos, which lie beside the file or in its images/.

    Raises DatasetError naming the first thing that is wrong.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        images, entries, categories = (
            [dict(entry) for entry in data[key]] for key in ("images", "annotations", "categories")
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: expected COCO annotations (images, annotations, categories), got "
            f"{type(error).__name__}: {error}; check the file"
        ) from error
    place = {id_: i for i, id_ in enumerate(_unique_ids(path, "category", categories))}
    listed = set(_unique_ids(path, "image", images))
    _unique_ids(path, "annotation", entries)
    grouped = defaultdict(list)
    for entry in entries:
        owner = _field(f"{path}: annotation {entry['id']}", entry, "image_id", int)
        if owner not in listed:
            raise DatasetError(
                f"{path}: annotation {entry['id']}: expected the image_id of a listed image, got "
                f"{owner}; remove the annotation or list the image"
            )
        grouped[owner].append(entry)
    photos = tuple(_photo(path, image, grouped[image["id"]], place) for image in images)
    return tuple(_field(f"{path}: category {c['id']}", c, "name", str) for c in categories), photos


def _unique_ids(path: Path, what: str, entries: Sequence[dict[str, Any]]) -> list[int]:
    ids = [_field(f"{path}: {what} number {i}", e, "id", int) for i, e in enumerate(entries)]
    if len(set(ids)) < len(ids):
        twice, count = Counter(ids).most_common(1)[0]
        raise DatasetError(
            f"{path}: expected each {what} id once, got {twice} {count} times; number them anew"
        )
    return ids


def _field(where: str, entry: dict[str, Any], key: str, kind: type) -> Any:
    value = entry.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        what = {int: "a whole number", str: "a text", list: "a list"}[kind]
        got = f"{value!r}" if key in entry else "nothing"
        raise DatasetError(f"{where}: expected {what} as {key}, got {got}; correct the entry")
    return value


def _photo(
    path: Path, image: dict[str, Any], entries: Sequence[dict[str, Any]], place: dict[int, int]
) -> Photo:
    where = f"{path}: image {image['id']}"
    name = _field(where, image, "file_name", str)
    width, height = (_field(where, image, key, int) for key in ("width", "height"))
    if width < 1 or height < 1:
        raise DatasetError(f"{where}: expected a size in pixels, got {width}x{height}; correct it")
    candidates = (folder / name for folder in (path.parent, path.parent / "images"))
    file = next((candidate for candidate in candidates if candidate.is_file()), None)
    if file is None:
        raise DatasetError(
            f"{where}: expected the picture {name} beside the annotations or in images/, got no "
            "such file; add or unlist it"
        )
    return Photo(
        path=file,
        width=width,
        height=height,
        annotations=tuple(_annotation(path, entry, place, width, height) for entry in entries),
    )


def _annotation(
    path: Path, entry: dict[str, Any], place: dict[int, int], width: int, height: int
) -> Annotation:
    where = f"{path}: annotation {entry['id']}"
    category = _field(where, entry, "category_id", int)
    if category not in place:
        raise DatasetError(
            f"{where}: expected a listed category, got category_id {category}; "
            "add the category or remove the annotation"
        )
    return Annotation(
        category=place[category],
        box=_box(where, _field(where, entry, "bbox", list), width, height),
        segmentation=_segmentation(where, entry.get("segmentation"), width, height),
        crowd=bool(entry.get("iscrowd", 0)),
    )


def _box(
    where: str, box: list[object], width: int, height: int
) -> tuple[float, float, float, float]:
    """COCO's x, y, width, height -> corners, cut at the picture's edges."""
    numbers = [float(v) for v in box if isinstance(v, int | float) and math.isfinite(v)]
    if len(box) != 4 or len(numbers) != 4:
        raise DatasetError(
            f"{where}: expected four finite numbers as bbox, got {box!r}; correct the entry"
        )
    x, y, w, h = numbers
    if w <= 0.0 or h <= 0.0:
        raise DatasetError(
            f"{where}: expected a box with an area, got width {w:g} and height {h:g}; remove it"
        )
    cut = (max(x, 0.0), max(y, 0.0), min(x + w, float(width)), min(y + h, float(height)))
    outside = x < -SLACK or y < -SLACK or x + w > width + SLACK or y + h > height + SLACK
    if outside or cut[0] >= cut[2] or cut[1] >= cut[3]:
        raise DatasetError(
            f"{where}: expected a box inside {width}x{height} pixels, got x {x:g}..{x + w:g}, "
            f"y {y:g}..{y + h:g}; correct or remove it"
        )
    return cut


def _segmentation(where: str, given: Any, width: int, height: int) -> Any:
    """Polygons, or an RLE of the photo's size; None for none."""
    if not given:
        return None
    if isinstance(given, dict):
        good = given.get("size") == [height, width] and isinstance(given.get("counts"), str | list)
    else:
        good = isinstance(given, list) and all(_is_ring(ring) for ring in given)
    if not good:
        raise DatasetError(
            f"{where}: expected polygons of at least three points, or an RLE of {width}x{height} "
            "pixels, as segmentation, got something else; correct it, or remove it to use the box"
        )
    return given


def _is_ring(ring: object) -> bool:
    return (
        isinstance(ring, list)
        and len(ring) >= 6
        and len(ring) % 2 == 0
        and all(isinstance(v, int | float) and math.isfinite(v) for v in ring)
    )

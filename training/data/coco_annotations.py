"""Annotations in COCO's format, checked whole before the first step."""

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.errors import DatasetError
from sam3_edge.runtime.tokenizer import normalise
from sam3_edge.training.data.data_faults import (
    Entry,
    FaultError,
    FaultLog,
    FaultReport,
    checked_box,
    checked_category,
    checked_field,
    checked_name,
    checked_owner,
    checked_segmentation,
)

# Photos are kept decoded, shrunk so that the longer side is at most this, pixels.
KEPT_SIDE = 640


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """box: xyxy pixels. segmentation: COCO's polygons or RLE, or None. crowd: a region, not one."""

    id: int
    category: int
    box: tuple[float, float, float, float]
    segmentation: Any
    crowd: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """path: of a file that exists. annotations: their category indexes the list of names."""

    id: int = 0
    path: Path
    width: int
    height: int
    annotations: tuple[Annotation, ...]


def read_coco(
    path: Path, *, images: Path | None = None, skip_faulty: bool = False
) -> tuple[tuple[str, ...], tuple[Photo, ...]]:
    """Category names, and photos, which lie in `images`; None: beside the file or in its images/.

    Categories whose names a prompt cannot tell apart are one phrase. Raises DatasetError that
    counts the faults and quotes the first; skip_faulty leaves out annotations and photos with one,
    and raises only where nothing is left.
    """
    log = FaultLog()
    phrases, photos = _read(path, images, log)
    error = log.error(path)
    if error is not None and not skip_faulty:
        raise error
    objects = sum(len(photo.annotations) for photo in photos)
    if not phrases or not photos or (error is not None and not objects):
        raise DatasetError(
            f"{path}: expected categories, photos and annotations without faults, got "
            f"{len(phrases)}, {len(photos)} and {objects}; correct the file"
        ) from error
    return phrases, photos


def find_faults(path: Path, *, images: Path | None = None, decode: bool = False) -> FaultReport:
    """All that is wrong. decode: open every picture as well, which takes as long as an epoch.

    Raises DatasetError for a file that is no JSON object.
    """
    log = FaultLog()
    _, photos = _read(path, images, log)
    if decode:
        photos = tuple(p for p in photos if log.attempt(load_photo, p) is not None)
    return FaultReport(
        path=path,
        images=len(photos),
        annotations=sum(len(photo.annotations) for photo in photos),
        counts=log.counts(),
    )


def load_photo(photo: Photo) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 BGR. Raises FaultError."""
    image = cv2.imread(os.fspath(photo.path), cv2.IMREAD_COLOR)
    if image is None or image.shape[:2] != (photo.height, photo.width):
        got = "no picture" if image is None else f"{image.shape[1]}x{image.shape[0]}"
        raise FaultError(
            f"{photo.path}: expected a picture of {photo.width}x{photo.height}, got {got}; "
            "correct the annotation or the file",
            "picture that does not decode" if image is None else "picture of another size",
        )
    return image.astype(np.uint8, copy=False)


def kept_image(photo: Photo) -> tuple[NDArray[np.uint8], float]:
    """(H, W, 3) uint8 RGB, shrunk to at most KEPT_SIDE, and by how much. Raises FaultError."""
    image = load_photo(photo)
    scale = min(KEPT_SIDE / max(image.shape[:2]), 1.0)
    if scale < 1.0:
        shrunk = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        image = shrunk.astype(np.uint8, copy=False)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False), scale


def _read(
    path: Path, folder: Path | None, log: FaultLog
) -> tuple[tuple[str, ...], tuple[Photo, ...]]:
    """All that has no fault. An annotation with one is left out whole, as is all of a photo."""
    data = _load(path)
    images, entries, categories = (
        _entries(data, key, log) for key in ("images", "annotations", "categories")
    )
    places, phrases = _phrases(_unique("category", categories, log), entries, log)
    named = _unique("image", images, log)
    folders = (path.parent, path.parent / "images") if folder is None else (folder,)
    photos: dict[int, Photo] = {}
    for id_, image in named.items():
        photo = log.attempt(_photo, folders, id_, image)
        if photo is not None:
            photos[id_] = photo
    objects: defaultdict[int, list[Annotation]] = defaultdict(list)
    for id_, entry in _unique("annotation", entries, log).items():
        owner = log.attempt(checked_owner, f"annotation {id_}", entry, named)
        if owner is None or owner not in photos:
            continue
        one = _annotation(id_, entry, places, photos[owner], log)
        if one is not None:
            objects[owner].append(one)
    return phrases, tuple(
        replace(photo, annotations=tuple(objects[id_]))
        for id_, photo in photos.items()
        if log.attempt(_check_file, photo)
    )


def _load(path: Path) -> Entry:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise TypeError(f"a {type(data).__name__}")
        return data
    except (OSError, ValueError, TypeError) as error:
        raise DatasetError(
            f"{path}: expected COCO annotations (images, annotations, categories), got "
            f"{type(error).__name__}: {error}; check the file"
        ) from error


def _entries(data: Entry, key: str, log: FaultLog) -> list[Entry]:
    given = log.attempt(checked_field, "the file", data, key, list) or []
    good = [entry for entry in given if isinstance(entry, dict)]
    for entry in given:
        if not isinstance(entry, dict):
            message = f"{key}: expected objects, got {entry!r}; correct the entry"
            log.note(FaultError(message, "entry that is no object"))
    return good


def _unique(what: str, entries: Sequence[Entry], log: FaultLog) -> dict[int, Entry]:
    """By id, the first of each."""
    found: dict[int, Entry] = {}
    for number, entry in enumerate(entries):
        id_ = log.attempt(checked_field, f"{what} number {number}", entry, "id", int)
        if id_ is None:
            continue
        if id_ in found:
            message = f"{what} number {number}: expected each {what} id once, got {id_} again"
            log.note(FaultError(f"{message}; number them anew", f"{what} id given twice"))
            continue
        found[id_] = entry
    return found


def _phrases(
    categories: dict[int, Entry], entries: Sequence[Entry], log: FaultLog
) -> tuple[dict[int, int], tuple[str, ...]]:
    """Where in the phrases each category is, and the phrases.

    A root category that exporters write above the others ("supercategory": "none") is no phrase:
    nothing is annotated as it, though pictures are full of it.
    """
    parents = {str(category.get("supercategory")) for category in categories.values()}
    used = {str(entry.get("category_id")) for entry in entries}
    places: dict[int, int] = {}
    phrases: dict[str, str] = {}
    for id_, category in categories.items():
        name = log.attempt(checked_name, f"category {id_}", category)
        root = category.get("supercategory") == "none" and name in parents and str(id_) not in used
        if name is not None and not root:
            phrases.setdefault(normalise(name), name)
            places[id_] = list(phrases).index(normalise(name))
    return places, tuple(phrases.values())


def _photo(folders: Sequence[Path], id_: int, image: Entry) -> Photo:
    where = f"image {id_}"
    name = checked_field(where, image, "file_name", str)
    width, height = (checked_field(where, image, key, int) for key in ("width", "height"))
    if width < 1 or height < 1:
        raise FaultError(
            f"{where}: expected a size in pixels, got {width}x{height}; correct it",
            "image without a size",
        )
    candidates = [folder / name for folder in folders]
    file = next((candidate for candidate in candidates if candidate.is_file()), candidates[0])
    return Photo(id=id_, path=file, width=width, height=height, annotations=())


def _check_file(photo: Photo) -> bool:
    if not photo.path.is_file():
        raise FaultError(
            f"image {photo.id}: expected the picture {photo.path.name} beside the annotations or in "
            "images/, got no such file; add or unlist it",
            "missing image file",
        )
    return True


def _annotation(
    id_: int, entry: Entry, places: dict[int, int], photo: Photo, log: FaultLog
) -> Annotation | None:
    """Each part is checked, so that one fault does not hide another."""
    where = f"annotation {id_}"
    category = log.attempt(checked_category, where, entry, places)
    box = log.attempt(checked_box, where, entry, photo.width, photo.height)
    segmentation = log.attempt(checked_segmentation, where, entry, photo.width, photo.height)
    if category is None or box is None or segmentation is None:
        return None
    return Annotation(
        id=id_,
        category=category,
        box=box,
        segmentation=segmentation or None,
        crowd=bool(entry.get("iscrowd", 0)),
    )

"""Annotations in COCO's format, checked before the first step: a phrase is a category's name."""

import json
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.errors import DatasetError
from sam3_edge.runtime.rle import decode_rle
from sam3_edge.training.labelled import LabelledPicture

# Photos are kept decoded, shrunk so that the longer side is at most this, pixels.
KEPT_SIDE = 640
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
    path: Path
    width: int
    height: int
    annotations: tuple[Annotation, ...]


class CocoDataset:
    """Photos with boxes and, where annotated, masks.

    max_phrases: at most so many phrases are asked about one photo, present ones first; None asks
    all. The annotations must be exhaustive: a category without a box is taken for absent.
    Raises DatasetError naming the first thing that is wrong.
    """

    def __init__(self, annotations: Path, *, max_phrases: int | None = None) -> None:
        self.phrases, self.photos = read_coco(annotations)
        self.max_phrases = max_phrases
        self._kept: dict[int, tuple[NDArray[np.uint8], float]] = {}

    @property
    def length(self) -> int:
        return len(self.photos)

    def picture(
        self, index: int, rng: np.random.Generator, phrases: tuple[str, ...] | None = None
    ) -> LabelledPicture:
        photo = self.photos[index]
        image, scale = self._image(index)
        if phrases is None:
            asked = self._asked(photo, rng)
        else:
            asked = [self.phrases.index(phrase) for phrase in phrases]
        place = {category: i for i, category in enumerate(asked)}
        objects = [a for a in photo.annotations if a.category in place]
        masks = None
        if objects and all(a.segmentation for a in objects):
            masks = tuple(
                rasterise(a.segmentation, photo, image.shape[1], image.shape[0]) for a in objects
            )
        return LabelledPicture(
            image=image,
            phrases=tuple(self.phrases[c] for c in asked),
            boxes=np.array([a.box for a in objects], dtype=np.float32).reshape(-1, 4) * scale,
            phrase=np.array([place[a.category] for a in objects], dtype=np.int64),
            ignore=np.array([a.crowd for a in objects], dtype=np.bool_),
            masks=masks,
        )

    def _asked(self, photo: Photo, rng: np.random.Generator) -> list[int]:
        everything = list(range(len(self.phrases)))
        if self.max_phrases is None or len(everything) <= self.max_phrases:
            return everything
        shown = sorted({a.category for a in photo.annotations})
        present = rng.permutation(shown)[: self.max_phrases - 1].tolist()
        others = [c for c in everything if c not in shown]
        absent = rng.permutation(others)[: self.max_phrases - len(present)].tolist()
        return [*present, *absent]

    def _image(self, index: int) -> tuple[NDArray[np.uint8], float]:
        """(H, W, 3) uint8 RGB, shrunk, and by how much."""
        if index not in self._kept:
            photo = self.photos[index]
            image = cv2.imread(os.fspath(photo.path), cv2.IMREAD_COLOR)
            if image is None or image.shape[:2] != (photo.height, photo.width):
                got = "no picture" if image is None else f"{image.shape[1]}x{image.shape[0]}"
                raise DatasetError(
                    f"{photo.path}: expected a picture of {photo.width}x{photo.height}, got {got}; "
                    "correct the annotation or the file"
                )
            scale = min(KEPT_SIDE / max(image.shape[:2]), 1.0)
            if scale < 1.0:
                image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            self._kept[index] = (np.ascontiguousarray(image[:, :, ::-1], dtype=np.uint8), scale)
        return self._kept[index]


def read_coco(path: Path) -> tuple[tuple[str, ...], tuple[Photo, ...]]:
    """Category names, and photos whose annotations index them. Raises DatasetError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        categories, images = data["categories"], data["images"]
        grouped = defaultdict(list)
        for annotation in data["annotations"]:
            grouped[annotation["image_id"]].append(annotation)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: expected COCO annotations (images, annotations, categories), got "
            f"{type(error).__name__}: {error}; check the file"
        ) from error
    place = {category["id"]: i for i, category in enumerate(categories)}
    orphans = grouped.keys() - {image["id"] for image in images}
    if orphans:
        raise DatasetError(
            f"{path}: expected annotations of listed images, got image_id {min(orphans)}; "
            "remove the annotation or list the image"
        )
    photos = tuple(_photo(path, image, grouped[image["id"]], place) for image in images)
    return tuple(str(category["name"]) for category in categories), photos


def _photo(
    path: Path, image: dict[str, Any], annotations: list[dict[str, Any]], place: dict[int, int]
) -> Photo:
    candidates = [folder / image["file_name"] for folder in (path.parent, path.parent / "images")]
    file = next((candidate for candidate in candidates if candidate.is_file()), None)
    if file is None:
        raise DatasetError(
            f"{path}: expected the picture {image['file_name']} beside it or in images/, got no "
            "such file; add or unlist it"
        )
    width, height = int(image["width"]), int(image["height"])
    return Photo(
        path=file,
        width=width,
        height=height,
        annotations=tuple(_annotation(path, a, place, width, height) for a in annotations),
    )


def _annotation(
    path: Path, entry: dict[str, Any], place: dict[int, int], width: int, height: int
) -> Annotation:
    where = f"{path}: annotation {entry.get('id')}"
    if entry["category_id"] not in place:
        raise DatasetError(
            f"{where}: expected a listed category, got category_id {entry['category_id']}; "
            "add the category or remove the annotation"
        )
    x, y, w, h = (float(value) for value in entry["bbox"])
    if w <= 0.0 or h <= 0.0:
        raise DatasetError(
            f"{where}: expected a box with an area, got width {w:g} and height {h:g}; remove it"
        )
    if x < -SLACK or y < -SLACK or x + w > width + SLACK or y + h > height + SLACK:
        raise DatasetError(
            f"{where}: expected a box inside {width}x{height} pixels, got x {x:g}..{x + w:g}, "
            f"y {y:g}..{y + h:g}; correct or remove it"
        )
    return Annotation(
        category=place[entry["category_id"]],
        box=(max(x, 0.0), max(y, 0.0), min(x + w, float(width)), min(y + h, float(height))),
        segmentation=entry.get("segmentation") or None,
        crowd=bool(entry.get("iscrowd", 0)),
    )


def rasterise(segmentation: Any, photo: Photo, width: int, height: int) -> NDArray[np.bool_]:
    """COCO's polygons or RLE of a photo -> (height, width) bool, at the size it is kept in."""
    if isinstance(segmentation, dict):
        counts, size = segmentation["counts"], tuple(segmentation["size"])
        whole = _decode_counts(counts, size)
        shrunk = cv2.resize(whole.astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA)
        return shrunk.astype(np.bool_)
    scale = np.array([width / photo.width, height / photo.height])
    rings = [
        np.round(np.array(ring).reshape(-1, 2) * scale * 16).astype(np.int32)
        for ring in segmentation
    ]
    canvas = np.zeros((height, width), dtype=np.uint8)
    cv2.fillPoly(canvas, rings, 1, shift=4)
    return canvas.astype(np.bool_)


def _decode_counts(counts: str | list[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    if isinstance(counts, str):
        return decode_rle(size, counts)
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(size[1], size[0]).T

"""Photos with annotations in COCO's format, at their own size."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from sam3_edge.errors import DatasetError
from sam3_edge.runtime.tokenizer import normalise
from sam3_edge.training.data.coco_annotations import Photo, load_photo
from sam3_edge.training.data.groups import part_of
from sam3_edge.training.evaluation.coco_entries import (
    encode_segmentation,
    masks_of,
    read_areas,
    read_masks,
    read_photos,
)
from sam3_edge.training.evaluation.pictures import JudgedPicture


@dataclass(frozen=True, slots=True, kw_only=True)
class _Truth:
    """masks, areas, mask_areas: see JudgedPicture."""

    masks: tuple[str | None, ...]
    areas: NDArray[np.float64]
    mask_areas: NDArray[np.float64]


class CocoPictures:
    """One phrase per category name, asked about every photo.

    images: folder of the photos; None for the annotations' own, or images/ in it.
    masks: COCO annotations of the same photos, found by file name and box, whose masks are judged
        instead of the annotations' own.
    groups, part: only the photos of places that are seen, or unseen (see `part_of`).
    limit: how many of these, from the first.
    ask: phrases asked in place of the categories' names; one that is such a name keeps its objects,
        any other is absent from every photo. say: phrase -> what is asked instead of it.
    skip_faulty: leave out what `read_coco` would refuse.
    An object without a mask is not judged by mask; where no object has one, only boxes are.
    Raises DatasetError naming what is wrong.
    """

    def __init__(
        self,
        annotations: Path,
        *,
        images: Path | None = None,
        masks: Path | None = None,
        groups: str | None = None,
        part: str = "all",
        ask: Sequence[str] = (),
        limit: int | None = None,
        name: str | None = None,
        skip_faulty: bool = False,
        say: Mapping[str, str] | None = None,
    ) -> None:
        phrases, photos = read_photos(annotations, images, skip_faulty=skip_faulty)
        photos = part_of(photos, groups, part)[:limit]
        if ask:
            phrases, photos = _asked(phrases, photos, ask)
        self.phrases = _said(phrases, say or {}, annotations)
        areas = read_areas(annotations)
        truths = [_own(photo, areas) for photo in photos]
        if masks is not None:
            truths = _from_other(photos, truths, phrases, masks)
        known = any(mask for truth in truths for mask in truth.masks)
        self._photos, self._truths, self._with_masks = photos, truths, known
        self.name = f"{name or annotations.resolve().parent.name}, {len(photos)} pictures"

    def __len__(self) -> int:
        return len(self._photos)

    def picture(self, index: int) -> JudgedPicture:
        photo, truth = self._photos[index], self._truths[index]
        known = photo.annotations
        return JudgedPicture(
            image=np.ascontiguousarray(load_photo(photo)[:, :, ::-1]),
            path=os.fspath(photo.path),
            phrases=self.phrases,
            boxes=np.array([a.box for a in known], dtype=np.float64).reshape(-1, 4),
            phrase=np.array([a.category for a in known], dtype=np.int64),
            ignore=np.array([a.crowd for a in known], dtype=np.bool_),
            masks=truth.masks if self._with_masks else None,
            areas=truth.areas,
            mask_areas=truth.mask_areas,
        )


def _said(categories: tuple[str, ...], say: Mapping[str, str], path: Path) -> tuple[str, ...]:
    unknown = sorted(set(say) - set(categories))
    phrases = tuple(say.get(category, category) for category in categories)
    if unknown or len(set(phrases)) < len(phrases):
        raise DatasetError(
            f"{path}: expected to say its categories ({', '.join(categories[:20])}), each in other "
            f"words, got {', '.join(f'{one}={two}' for one, two in say.items())}; correct that"
        )
    return phrases


def _asked(
    phrases: tuple[str, ...], photos: tuple[Photo, ...], ask: Sequence[str]
) -> tuple[tuple[str, ...], tuple[Photo, ...]]:
    """The phrases asked, and the photos with the objects of these alone."""
    places = {normalise(phrase): place for place, phrase in enumerate(ask)}
    if len(places) < len(ask) or not all(places):
        raise DatasetError(
            f"ask: expected different phrases with words in them, got {', '.join(ask)!r}; correct "
            "the list"
        )
    moved = [places.get(normalise(phrase)) for phrase in phrases]
    kept = (
        tuple(
            replace(one, category=place)
            for one in photo.annotations
            if (place := moved[one.category]) is not None
        )
        for photo in photos
    )
    pairs = zip(photos, kept, strict=True)
    return tuple(ask), tuple(replace(photo, annotations=objects) for photo, objects in pairs)


def _own(photo: Photo, areas: dict[int, float]) -> _Truth:
    known = photo.annotations
    masks = tuple(
        encode_segmentation(a.segmentation, photo) if a.segmentation else None for a in known
    )
    given = [areas.get(a.id) for a in known]
    boxes = [(a.box[2] - a.box[0]) * (a.box[3] - a.box[1]) for a in known]
    return _Truth(
        masks=masks, areas=_areas(given, boxes), mask_areas=_mask_areas(given, masks, boxes, photo)
    )


def _from_other(
    photos: tuple[Photo, ...], own: list[_Truth], phrases: tuple[str, ...], path: Path
) -> list[_Truth]:
    entries = read_masks(path)
    truths = []
    for photo, truth in zip(photos, own, strict=True):
        chosen = masks_of(photo, phrases, entries.get(photo.path.name, []))
        given = [None if one is None else one.area for one in chosen]
        masks = tuple(
            None if one is None else encode_segmentation(one.segmentation, photo) for one in chosen
        )
        sizes = _mask_areas(given, masks, truth.areas.tolist(), photo)
        truths.append(_Truth(masks=masks, areas=truth.areas, mask_areas=sizes))
    if not any(mask for truth in truths for mask in truth.masks):
        raise DatasetError(
            f"{path}: expected masks of the annotated pictures, found by file name and box, got "
            f"none for {len(photos)} pictures; give annotations of the same pictures"
        )
    return truths


def _areas(given: list[float | None], otherwise: list[float]) -> NDArray[np.float64]:
    pairs = zip(given, otherwise, strict=True)
    return np.array([other if area is None else area for area, other in pairs], dtype=np.float64)


def _mask_areas(
    given: list[float | None], masks: tuple[str | None, ...], boxes: list[float], photo: Photo
) -> NDArray[np.float64]:
    """What is given, else the mask's, else the box's."""
    size = [photo.height, photo.width]
    counted = [
        box if mask is None else float(coco_mask.area({"size": size, "counts": mask}))
        for mask, box in zip(masks, boxes, strict=True)
    ]
    return _areas(given, counted)

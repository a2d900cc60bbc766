"""Photos with annotations in COCO's format as training data: a phrase is a category's name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.errors import DatasetError
from sam3_edge.runtime.rle import decode_rle
from sam3_edge.runtime.tokenizer import normalise
from sam3_edge.training.data.coco_annotations import (
    KEPT_SIDE,
    Annotation,
    Photo,
    kept_image,
    read_coco,
)
from sam3_edge.training.data.data_faults import FaultError, decode_counts
from sam3_edge.training.data.groups import part_of
from sam3_edge.training.data.labelled import LabelledPicture, Mask, known_masks
from sam3_edge.training.data.negatives import Negatives, PhraseChooser
from sam3_edge.training.data.pseudo_masks import read_pseudo_masks
from sam3_edge.training.data.subsets import few_shot, limit_ids

__all__ = ["KEPT_SIDE", "CocoDataset", "Photo", "rasterise", "read_coco"]

# How many bytes of decoded photos a process keeps; those that come later are decoded every time.
KEPT_BYTES = 2**30


class CocoDataset:
    """Photos with boxes and, where annotated, masks.

    images: the folder of the photos; None: beside the annotations or in images/.
    max_phrases: at most so many phrases are asked about one photo, present ones first. negatives:
    which absent ones. With neither, all phrases are asked. The annotations must be exhaustive: a
    category without a box is taken for absent.
    groups, part: only the photos of places that are seen, or unseen (see `part_of`).
    limit: the first so many of these, or those with these ids; shots: at least so many photos for
    each category, drawn by `subset_seed` from what `limit` leaves.
    pseudo_masks: a file made by `make_pseudo_masks`, for the objects without a mask.
    Raises DatasetError.
    """

    def __init__(
        self,
        annotations: Path,
        *,
        images: Path | None = None,
        max_phrases: int | None = None,
        negatives: Negatives | None = None,
        skip_faulty: bool = False,
        groups: str | None = None,
        part: str = "all",
        limit: int | Sequence[int] | None = None,
        shots: int | None = None,
        subset_seed: int = 0,
        pseudo_masks: Path | None = None,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self.phrases, self.photos = read_coco(annotations, images=images, skip_faulty=skip_faulty)
        self.photos = part_of(self.photos, groups, part)
        if limit is not None:
            self.photos = limit_ids(self.photos, limit)
        if shots is not None:
            self.photos = few_shot(self.photos, shots, subset_seed)
        self.max_phrases = max_phrases
        self._number = {normalise(phrase): i for i, phrase in enumerate(self.phrases)}
        self._chooser = None
        if max_phrases is not None or negatives is not None:
            shown = ({a.category for a in photo.annotations} for photo in self.photos)
            self._chooser = PhraseChooser(self.phrases, shown, negatives or Negatives())
        self._pseudo = {} if pseudo_masks is None else read_pseudo_masks(pseudo_masks, annotations)
        self._kept: dict[int, tuple[NDArray[np.uint8], float]] = {}
        self._room = kept_bytes

    @property
    def length(self) -> int:
        return len(self.photos)

    def picture(
        self, index: int, rng: np.random.Generator, phrases: tuple[str, ...] | None = None
    ) -> LabelledPicture:
        """phrases: those that are no category's name are absent."""
        photo = self.photos[index]
        image, scale = self._image(index)
        if phrases is None:
            phrases = tuple(self.phrases[category] for category in self._asked(photo, rng))
        numbers = [self._number.get(normalise(phrase)) for phrase in phrases]
        place = {category: i for i, category in enumerate(numbers) if category is not None}
        objects = [a for a in photo.annotations if a.category in place]
        height, width = image.shape[:2]
        return LabelledPicture(
            image=image,
            phrases=phrases,
            boxes=np.array([a.box for a in objects], dtype=np.float32).reshape(-1, 4) * scale,
            phrase=np.array([place[a.category] for a in objects], dtype=np.int64),
            ignore=np.array([a.crowd for a in objects], dtype=np.bool_),
            masks=known_masks([self._mask(a, photo, width, height) for a in objects]),
        )

    def _asked(self, photo: Photo, rng: np.random.Generator) -> list[int]:
        if self._chooser is None:
            return list(range(len(self.phrases)))
        shown = sorted({a.category for a in photo.annotations})
        return self._chooser.choose(shown, rng, self.max_phrases)

    def _mask(self, one: Annotation, photo: Photo, width: int, height: int) -> Mask | None:
        if one.segmentation is not None:
            return rasterise(one.segmentation, photo, width, height)
        counts = self._pseudo.get(one.id)
        return None if counts is None else decode_rle((height, width), counts)

    def _image(self, index: int) -> tuple[NDArray[np.uint8], float]:
        """(H, W, 3) uint8 RGB, shrunk, and by how much."""
        if index in self._kept:
            return self._kept[index]
        image, scale = kept_image(self.photos[index])
        if image.nbytes <= self._room:
            self._room -= image.nbytes
            self._kept[index] = image, scale
        return image, scale


def rasterise(segmentation: Any, photo: Photo, width: int, height: int) -> NDArray[np.bool_]:
    """COCO's polygons or RLE of a photo -> (height, width) bool, at the size it is kept in.

    Raises DatasetError for run lengths that do not fill the photo.
    """
    if isinstance(segmentation, dict):
        try:
            whole = decode_counts(segmentation["counts"], photo.width, photo.height)
        except FaultError as error:
            raise DatasetError(f"{photo.path}: {error}") from error
        if whole.shape == (height, width):
            return whole
        shrunk = cv2.resize(whole.astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA)
        return shrunk.astype(np.bool_)
    scale = np.array([width / photo.width, height / photo.height])
    canvas = np.zeros((height, width), dtype=np.uint8)
    for ring in segmentation:  # one by one: together, where two overlap would count as a hole
        points = np.round(np.array(ring).reshape(-1, 2) * scale * 16).astype(np.int32)
        cv2.fillPoly(canvas, [points], 1, shift=4)
    return canvas.view(np.bool_)

"""Photos with annotations in COCO's format as training data: a phrase is a category's name."""

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sam3_edge.errors import DatasetError
from sam3_edge.runtime.rle import decode_rle
from sam3_edge.training.coco_annotations import Photo, read_coco
from sam3_edge.training.labelled import LabelledPicture

__all__ = ["CocoDataset", "Photo", "rasterise", "read_coco"]

# Photos are kept decoded, shrunk so that the longer side is at most this, pixels.
KEPT_SIDE = 640


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
        if all(a.segmentation for a in objects):
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


def rasterise(segmentation: Any, photo: Photo, width: int, height: int) -> NDArray[np.bool_]:
    """COCO's polygons or RLE of a photo -> (height, width) bool, at the size it is kept in.

    Raises DatasetError for run lengths that do not fill the photo.
    """
    if isinstance(segmentation, dict):
        whole = _decode(segmentation["counts"], photo)
        shrunk = cv2.resize(whole.astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA)
        return shrunk.astype(np.bool_)
    scale = np.array([width / photo.width, height / photo.height])
    canvas = np.zeros((height, width), dtype=np.uint8)
    for ring in segmentation:  # one by one: together, where two overlap would count as a hole
        points = np.round(np.array(ring).reshape(-1, 2) * scale * 16).astype(np.int32)
        cv2.fillPoly(canvas, [points], 1, shift=4)
    return canvas.astype(np.bool_)


def _decode(counts: str | list[int], photo: Photo) -> NDArray[np.bool_]:
    """Compressed or plain run lengths -> (H, W) of the photo."""
    try:
        if isinstance(counts, str):
            return decode_rle((photo.height, photo.width), counts)
        if sum(counts) != photo.width * photo.height:
            raise ValueError(f"runs of {sum(counts)} pixels in all")
        bits = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        return bits.reshape(photo.width, photo.height).T
    except (ValueError, TypeError) as error:
        raise DatasetError(
            f"{photo.path}: expected an RLE that fills {photo.width}x{photo.height} pixels, got: "
            f"{error}; correct or remove the segmentation"
        ) from error

"""Pictures whose truth is known, at their own size: what a model is evaluated on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sam3_edge.runtime.rle import encode_rle
from sam3_edge.runtime.scene import PHRASES, Scene

# Seeds of held-out scenes; the pictures a bundle carries start at 9000.
FIRST_SCENE = 10_000
FRAME = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPicture:
    """image: (H, W, 3) uint8 RGB. path: where it comes from, for people.

    phrases: what is asked. boxes: (M, 4) float64 xyxy pixels. phrase: (M,) int64 index into
    phrases. ignore: (M,) bool, objects that are neither right nor wrong to find. masks: of the
    whole picture as COCO's compressed run lengths, None for one that is not known; None where only
    boxes are judged. areas, mask_areas: (M,) float64 pixels, see Objects.
    """

    image: NDArray[np.uint8]
    path: str
    phrases: tuple[str, ...]
    boxes: NDArray[np.float64]
    phrase: NDArray[np.int64]
    ignore: NDArray[np.bool_]
    masks: tuple[str | None, ...] | None
    areas: NDArray[np.float64] | None
    mask_areas: NDArray[np.float64] | None


class JudgedPictures(Protocol):
    """A data set that ends. Every phrase is asked about every picture."""

    @property
    def phrases(self) -> tuple[str, ...]: ...

    @property
    def name(self) -> str:
        """For people: in reports, and as `source` in a bundle's vocabulary."""

    def __len__(self) -> int: ...

    def picture(self, index: int) -> JudgedPicture:
        """Read or made afresh at every call, always the same. Raises DatasetError."""


class ScenePictures:
    """One frame each of held-out demo scenes, with true boxes and masks."""

    phrases = PHRASES

    def __init__(self, count: int, *, width: int = 640, height: int = 480) -> None:
        self._count, self._size = count, (width, height)
        self.name = f"{count} held-out demo scenes"

    def __len__(self) -> int:
        return self._count

    def picture(self, index: int) -> JudgedPicture:
        seed = FIRST_SCENE + index
        image, objects = Scene(seed, "held_out", *self._size).frame_and_objects(FRAME)
        return JudgedPicture(
            image=np.ascontiguousarray(image[:, :, ::-1]),
            path=f"demo:{seed}",
            phrases=PHRASES,
            boxes=np.array([o.box for o in objects], dtype=np.float64).reshape(-1, 4),
            phrase=np.array([PHRASES.index(o.phrase) for o in objects], dtype=np.int64),
            ignore=np.array([o.ignore for o in objects], dtype=np.bool_),
            masks=tuple(encode_rle(o.mask) for o in objects),
            areas=None,
            mask_areas=None,
        )


def each(pictures: JudgedPictures) -> Iterator[JudgedPicture]:
    return map(pictures.picture, range(len(pictures)))


def batches(pictures: Iterable[JudgedPicture], size: int) -> Iterator[list[JudgedPicture]]:
    chunk: list[JudgedPicture] = []
    for picture in pictures:
        chunk.append(picture)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk

"""The pictures a verification looks at, and what it asks of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sam3_edge.calib.calibration import check_disjoint, read_calibration
from sam3_edge.calib.images import CalibrationImages, open_images
from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.references import References
from sam3_edge.errors import SourceError, UsageError
from sam3_edge.runtime.preprocess import preprocess

if TYPE_CHECKING:  # needs pycocotools, which a board may not have
    from sam3_edge.training.evaluation.pictures import JudgedPicture, JudgedPictures

NUM_IMAGES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """images: (R, S, S, 3) uint8 RGB. phrases: all of them are asked of each.

    pictures: what the images are, for people. image_sha256: of their files; empty for pictures
    that are no files. annotated: the same pictures with what is true of them; None if unknown.
    """

    images: NDArray[np.uint8]
    phrases: tuple[str, ...]
    pictures: str
    image_sha256: tuple[str, ...] = ()
    annotated: "JudgedPictures | None" = None

    def __len__(self) -> int:
        return len(self.images)


def own_pictures(references: References) -> Evidence:
    """The pictures a bundle carries."""
    return Evidence(
        images=references.images,
        phrases=references.phrases,
        pictures="the bundle's own reference pictures",
    )


def photos_as_evidence(
    folder: Path, bundle: Bundle, phrases: Sequence[str], count: int = NUM_IMAGES
) -> Evidence:
    """Up to `count` pictures, evenly spread over the folder. Raises CalibrationError."""
    photos = open_images(folder, count)
    return _as_evidence(photos, bundle, phrases, f"photos in {folder.name or folder}")


def held_out_as_evidence(
    photos: CalibrationImages, bundle: Bundle, phrases: Sequence[str]
) -> Evidence:
    """Photos of a calibration folder that the calibration does not see."""
    folder = photos.folder
    return _as_evidence(photos, bundle, phrases, f"photos held out of {folder.name or folder}")


def annotated_as_evidence(
    annotations: Path,
    folder: Path | None,
    bundle: Bundle,
    phrases: Sequence[str],
    count: int = NUM_IMAGES,
) -> Evidence:
    """Up to `count` annotated photos, evenly spread. folder: where they are, if not beside the
    annotations. Raises DatasetError, and UsageError where the evaluation is not installed.
    """
    try:
        from sam3_edge.training.evaluation.coco_pictures import CocoPictures
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--annotations needs {error.name}, which is not installed; install with: "
            "pip install 'sam3-edge[eval]'"
        ) from error
    judged = _Spread(CocoPictures(annotations, images=folder), count)
    size = bundle.manifest.model.image_size
    images = np.empty((len(judged), size, size, 3), dtype=np.uint8)
    sha256s = []
    for index, image in enumerate(images):
        picture = judged.picture(index)
        preprocess(np.ascontiguousarray(picture.image[:, :, ::-1]), image)
        sha256s.append(_file_sha256(Path(picture.path)))
    return Evidence(
        images=images,
        phrases=_phrases(phrases, bundle),
        pictures=judged.name,
        image_sha256=tuple(sha256s),
        annotated=judged,
    )


def check_unseen(bundle: Bundle, evidence: Evidence) -> None:
    """Raises CalibrationError for a picture the bundle's calibration was made from."""
    if bundle.calibration_path is not None and evidence.image_sha256:
        check_disjoint(read_calibration(bundle.calibration_path), evidence.image_sha256)


def _as_evidence(
    photos: CalibrationImages, bundle: Bundle, phrases: Sequence[str], pictures: str
) -> Evidence:
    return Evidence(
        images=np.stack(list(photos.pictures(bundle.manifest.model.image_size))),
        phrases=_phrases(phrases, bundle),
        pictures=pictures,
        image_sha256=photos.sha256,
    )


class _Spread:
    """Up to `count` of the pictures, evenly spread."""

    def __init__(self, pictures: "JudgedPictures", count: int) -> None:
        total, few = len(pictures), min(count, len(pictures))
        self._pictures, self.phrases = pictures, pictures.phrases
        self._chosen = [index * total // few for index in range(few)]
        self.name = f"{few} of {pictures.name}"

    def __len__(self) -> int:
        return len(self._chosen)

    def picture(self, index: int) -> "JudgedPicture":
        return self._pictures.picture(self._chosen[index])


def _phrases(given: Sequence[str], bundle: Bundle) -> tuple[str, ...]:
    """What is asked: the given phrases, else every one the model was trained on."""
    phrases = tuple(given) or tuple(phrase.text for phrase in bundle.manifest.vocabulary)
    if not phrases:
        raise UsageError(
            f"{bundle.path} does not say which phrases it was trained on: expected some to ask, "
            'got none; add --phrases "fish, crab"'
        )
    return phrases


def _file_sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}; check its permissions") from error

"""Which photos a build calibrates on, and which it is judged by: never the same ones."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sam3_edge.calib.calibration import Calibration, check_calibration, read_calibration
from sam3_edge.calib.collect import calibrate
from sam3_edge.calib.images import ENOUGH_IMAGES, CalibrationImages, open_images
from sam3_edge.calib.sensitivity import measure_sensitivity
from sam3_edge.errors import CalibrationError
from sam3_edge.export.evidence import (
    Evidence,
    annotated_as_evidence,
    held_out_as_evidence,
    photos_as_evidence,
)
from sam3_edge.export.write_step import Recipe

Say = Callable[[str], None]
_SCENES_ONLY = (
    "INT8 is judged by the rendered scenes in the bundle alone, which are easier than photos: "
    "give some with --images"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Photos:
    """The command line. calib: a folder, or what `sam3-edge calibrate` wrote; None without INT8.

    images, annotations: to judge by; without them INT8 holds some of the folder back.
    phrases: what is asked; empty takes the bundle's vocabulary.
    """

    calib: Path | None
    num_calib: int
    images: Path | None
    annotations: Path | None
    num_images: int
    phrases: tuple[str, ...]


def choose_photos(
    recipe: Recipe, photos: Photos, warn: Say
) -> tuple[CalibrationImages | None, Evidence | None]:
    """What to calibrate on, None for a calibration file or without INT8; what to judge by.

    Raises CalibrationError for a broken photo, and for one that would serve as both.
    """
    evidence = _given_evidence(recipe, photos)
    if photos.calib is None or photos.calib.is_file():
        if photos.calib is not None and evidence is None:
            warn(_SCENES_ONLY)
        return None, evidence
    images = open_images(photos.calib)
    if evidence is not None:
        _check_apart(images, evidence)
    elif len(images) >= 2 * ENOUGH_IMAGES and (photos.phrases or recipe.source.manifest.vocabulary):
        held = images.spread(photos.num_images)
        evidence = held_out_as_evidence(held, recipe.source, photos.phrases)
        images = images.without(held)
    else:
        warn(_SCENES_ONLY)
    images = images.spread(photos.num_calib)
    if images.too_few:
        warn(
            f"{len(images)} photos to calibrate on in {images.folder}: {ENOUGH_IMAGES} or more "
            "give ranges that hold for others"
        )
    return images, evidence


def calibration_of(
    recipe: Recipe, photos: Photos, images: CalibrationImages | None, stage: Say, detail: Say
) -> Calibration | None:
    """Measured on `images`, or read from the file that was given; None without INT8."""
    if photos.calib is None:
        return None
    if images is None:
        calibration = read_calibration(photos.calib)
        check_calibration(calibration, recipe.source)
        return calibration

    def progress(what: str, done: int, total: int) -> None:
        detail(f"{what}: {done} of {total}")

    stage(f"calibrating on {len(images)} photos")
    calibration = calibrate(recipe.source, images, progress=progress)
    stage("measuring what each layer loses")
    sensitivity = measure_sensitivity(
        recipe.source, calibration, images, schemes=[recipe.scheme], progress=progress
    )
    return replace(calibration, sensitivity=sensitivity)


def _given_evidence(recipe: Recipe, photos: Photos) -> Evidence | None:
    bundle, folder, count = recipe.source, photos.images, photos.num_images
    if photos.annotations is not None:
        return annotated_as_evidence(photos.annotations, folder, bundle, photos.phrases, count)
    return None if folder is None else photos_as_evidence(folder, bundle, photos.phrases, count)


def _check_apart(images: CalibrationImages, evidence: Evidence) -> None:
    seen = set(evidence.image_sha256)
    for name, sha256 in zip(images.names, images.sha256, strict=True):
        if sha256 in seen:
            raise CalibrationError(
                f"{images.folder}: expected pictures that are not judged by, got {name} in both; "
                "give others"
            )

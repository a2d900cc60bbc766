"""Finding a data set's training and validation annotations, or holding a share of one out."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam3_edge.errors import DatasetError
from sam3_edge.training.config.files import write_whole

FILE = "_annotations.coco.json"
# One picture of so many is held out.
ONE_OF = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """Annotations in COCO's format. valid: None where there are none besides `train`."""

    train: Path
    valid: Path | None


def find_splits(data: Path) -> Splits:
    """data: annotations, or a folder in Roboflow's layout: train/, and valid/, val/ or test/ with
    one file of annotations each, or that file itself. Raises DatasetError.
    """
    if data.is_file():
        return Splits(train=data, valid=None)
    train = _annotations(data / "train") or _annotations(data)
    if train is None:
        raise DatasetError(
            f"{data}: expected a file of annotations in COCO's format or a folder with "
            f"train/{FILE}, got neither; give the file"
        )
    found = (_annotations(data / name) for name in ("valid", "val", "test"))
    return Splits(train=train, valid=next((path for path in found if path is not None), None))


def hold_out(annotations: Path, folder: Path) -> Splits:
    """Two files in `folder` that share the pictures of `annotations`: one of ten is for validation,
    chosen by its name, so that it stays the same one as pictures are added.

    Copies that Roboflow made of one picture stay together. Raises DatasetError.
    """
    try:
        whole = json.loads(annotations.read_text(encoding="utf-8"))
        images = [(image["id"], str(image["file_name"])) for image in whole["images"]]
        owners = [one["image_id"] for one in whole["annotations"]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DatasetError(
            f"{annotations}: expected annotations in COCO's format, got {type(error).__name__}: "
            f"{error}; correct the file"
        ) from error
    held = _held([name for _, name in images])
    valid = {id_ for id_, name in images if _origin(name) in held}
    if not valid or len(valid) == len(images):
        raise DatasetError(
            f"{annotations}: expected pictures to train on and to validate on, got {len(images)}; "
            "add pictures"
        )
    folder.mkdir(parents=True, exist_ok=True)
    splits = Splits(train=folder / "train.json", valid=folder / "valid.json")
    for path, is_valid in ((splits.train, False), (folder / "valid.json", True)):
        kept = [owner in valid for owner in owners]
        write_whole(path, json.dumps(_part(whole, annotations.parent, valid, kept, is_valid)))
    return splits


def _part(
    whole: dict[str, Any], pictures: Path, valid: set[int], kept: list[bool], is_valid: bool
) -> dict[str, Any]:
    """The pictures that are (not) held out, under whole paths, and their annotations."""
    images = [one for one in whole["images"] if (one["id"] in valid) == is_valid]
    return {
        **whole,
        "images": [{**one, "file_name": _whole_path(pictures, one["file_name"])} for one in images],
        "annotations": [
            one for one, held in zip(whole["annotations"], kept, strict=True) if held == is_valid
        ],
    }


def _whole_path(folder: Path, name: str) -> str:
    """Beside the annotations or in images/, as they are read."""
    candidates = [(place / name).resolve() for place in (folder, folder / "images")]
    return str(next((path for path in candidates if path.is_file()), candidates[0]))


def _held(names: list[str]) -> set[str]:
    """One origin of ten, and at least one: those whose digests come first."""
    origins = sorted({_origin(name) for name in names}, key=_digest)
    low = [origin for origin in origins if _digest(origin) < 2**32 // ONE_OF]
    return set(low or origins[:1])


def _origin(name: str) -> str:
    return name.partition(".rf.")[0]


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _annotations(folder: Path) -> Path | None:
    """The one file of annotations in a folder."""
    if (folder / FILE).is_file():
        return folder / FILE
    found = sorted(folder.glob("*.json"))
    return found[0] if len(found) == 1 else None

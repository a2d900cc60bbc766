"""Annotations for the YOLO baseline: which photos it learns from, and which it is judged on.

COCO's JSON in, COCO's JSON out. A set's split is a JSON of `groups`, the photos of each place by
name, and `held_out`, the places not trained on.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam3_edge.errors import DatasetError
from sam3_edge.runtime.tokenizer import normalise

Coco = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedSet:
    """A file and the photos beside it, or in its images/. held_out: names not to train on."""

    annotations: Path
    held_out: frozenset[str] = frozenset()


def photo_name(file_name: str) -> str:
    """What splits call a photo: without folders and Roboflow's .rf.HASH ending."""
    return Path(file_name).name.partition(".rf.")[0]


def read_held_out(path: Path) -> frozenset[str]:
    """Names of the photos of held-out places. Raises DatasetError."""
    try:
        split = json.loads(path.read_text(encoding="utf-8"))
        groups: dict[str, list[str]] = split["groups"]
        return frozenset(str(name) for place in split["held_out"] for name in groups[place])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: expected a split (groups of photo names, and held_out, some of the groups), "
            f"got {type(error).__name__}: {error}; check the file"
        ) from error


def read_set(path: Path) -> Coco:
    """COCO's JSON with absolute file names. Raises DatasetError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        images = [{**image, "file_name": _found(path, image)} for image in data["images"]]
        return {
            "images": images,
            "annotations": list(data["annotations"]),
            "categories": [{"id": c["id"], "name": str(c["name"])} for c in data["categories"]],
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: expected COCO annotations (images, annotations, categories), got "
            f"{type(error).__name__}: {error}; check --data"
        ) from error


def chosen_photos(data: Coco, names: Iterable[str], *, keep: bool) -> Coco:
    """Only the named photos, or all others, with their annotations; every category stays."""
    named = {photo_name(name) for name in names}
    images = [i for i in data["images"] if (photo_name(i["file_name"]) in named) is keep]
    kept = {image["id"] for image in images}
    annotations = [a for a in data["annotations"] if a["image_id"] in kept]
    return {**data, "images": images, "annotations": annotations}


def merged(sets: Iterable[Coco]) -> Coco:
    """One set of all: categories of one name are one, ids are new, crowds and empty boxes left out.

    Categories no annotation of any set has are kept only of the first, whose classes are judged.
    """
    ids: dict[str, int] = {}
    images: list[Any] = []
    annotations: list[Any] = []
    for number, data in enumerate(sets):
        names = {c["id"]: normalise(c["name"]) for c in data["categories"]}
        used = {a["category_id"] for a in data["annotations"]}
        for category, name in names.items():
            if number == 0 or category in used:
                ids.setdefault(name, len(ids) + 1)
        photos = {image["id"]: len(images) + i + 1 for i, image in enumerate(data["images"])}
        images += [{**image, "id": photos[image["id"]]} for image in data["images"]]
        for entry in data["annotations"]:
            if entry.get("iscrowd") or min(entry["bbox"][2:]) <= 0:
                continue
            category = ids[names[entry["category_id"]]]
            annotations.append(_box(entry, len(annotations) + 1, photos, category))
    categories = [{"id": number, "name": name} for name, number in ids.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def training_pictures(sets: Iterable[AnnotatedSet]) -> Coco:
    """Raises DatasetError where a set leaves nothing."""
    parts = []
    for one in sets:
        data = chosen_photos(read_set(one.annotations), one.held_out, keep=False)
        if not data["images"]:
            raise DatasetError(
                f"{one.annotations}: expected photos beside the held-out ones, got none; "
                "check the split"
            )
        parts.append(data)
    return merged(parts)


def _box(entry: Mapping[str, Any], number: int, photos: dict[Any, int], category: int) -> Coco:
    box = [float(v) for v in entry["bbox"]]
    return {
        "id": number,
        "image_id": photos[entry["image_id"]],
        "category_id": category,
        "bbox": box,
        "area": box[2] * box[3],
        "iscrowd": 0,
    }


def _found(annotations: Path, image: Mapping[str, Any]) -> str:
    name = image["file_name"]
    for folder in (annotations.parent, annotations.parent / "images"):
        if (folder / name).is_file():
            return str((folder / name).resolve())
    raise DatasetError(
        f"{annotations}: expected {name} beside it or in images/, got no such file; check --data"
    )

"""Pictures grouped by the place they show, so that a model is judged on places it has not seen.

Photos of one tank, or frames of one camera, are nearly the same picture: a split by picture measures
memory. A grouping names the places of a data set and which of them are held out; it comes with
sam3-edge (training/splits/NAME.json) or is a file of the user's in the same form:

    {"schema": 1, "about": "how it was made", "held_out": ["reef"],
     "groups": {"reef": ["a.jpg", "b.jpg"], "harbour": ["c.jpg"]}}
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sam3_edge.errors import DatasetError
from sam3_edge.training.data.coco_annotations import Photo

SPLITS = Path(__file__).resolve().parents[1] / "splits"
SCHEMA = 1
PARTS = ("all", "seen", "unseen")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """path: of the file. groups: by picture, the name of its place. held_out: names of places.

    A picture is called by the last part of its path, without Roboflow's `.rf.HASH` and what
    follows, which are others in every export.
    """

    path: Path
    groups: dict[str, str]
    held_out: frozenset[str]


def shipped_groupings() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in SPLITS.glob("*.json")))


def grouping_path(name: str) -> Path:
    """Of a grouping that comes with sam3-edge, or the path given. Raises DatasetError."""
    shipped = shipped_groupings()
    path = SPLITS / f"{name}.json" if name in shipped else Path(name)
    if not path.is_file():
        raise DatasetError(
            f"groups: expected one of {', '.join(shipped)}, or a file that groups pictures, got "
            f"{name!r}; check the name or path"
        )
    return path


def read_grouping(name: str) -> Grouping:
    """Raises DatasetError: no such file, another form, a picture in two groups."""
    path = grouping_path(name)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            raise ValueError(f"schema {data['schema']!r}")
        places = [
            (_called(picture), place)
            for place, pictures in data["groups"].items()
            for picture in pictures
        ]
        held_out = frozenset(data["held_out"])
        groups = dict(places)
        unknown = sorted(held_out - set(data["groups"]))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{path}: expected groups of pictures (schema {SCHEMA}, groups, held_out), got "
            f"{type(error).__name__}: {error}; correct the file"
        ) from error
    if unknown:
        raise DatasetError(
            f"{path}: expected held_out to name groups, got {unknown[0]!r}; correct the file"
        )
    if len(groups) != len(places):
        times = Counter(picture for picture, _ in places)
        raise DatasetError(
            f"{path}: expected each picture in one group, got {times.most_common(1)[0][0]!r} "
            "again; correct the file"
        )
    return Grouping(path=path, groups=groups, held_out=held_out)


def part_of(photos: Sequence[Photo], groups: str | None, part: str) -> tuple[Photo, ...]:
    """Those of a part (see PARTS) in their order: `unseen` lie in places that are held out.

    groups: as in `read_grouping`; None only for `all`. Raises DatasetError for photos that the
    grouping does not know, for another part, and for nothing left.
    """
    if part not in PARTS or (groups is None and part != "all"):
        got = repr(part) if part not in PARTS else f"{part!r} without groups"
        raise DatasetError(
            f"part: expected {', '.join(PARTS)}, with groups for all but the first, got {got}; "
            "set groups to a grouping's name or file"
        )
    if groups is None:
        return tuple(photos)
    grouping = read_grouping(groups)
    places = [grouping.groups.get(_called(photo.path.name)) for photo in photos]
    unknown = [photo.path.name for photo, place in zip(photos, places, strict=True) if not place]
    if unknown:
        raise DatasetError(
            f"{grouping.path}: expected a group for every picture, got none for {len(unknown)} of "
            f"{len(photos)}, the first {unknown[0]}; add them, or choose another grouping"
        )
    wanted = {"all": (False, True), "seen": (False,), "unseen": (True,)}[part]
    chosen = tuple(
        photo
        for photo, place in zip(photos, places, strict=True)
        if (place in grouping.held_out) in wanted
    )
    if not chosen:
        raise DatasetError(
            f"{grouping.path}: expected pictures of the part {part!r}, got none of {len(photos)}; "
            "choose another part"
        )
    return chosen


def _called(name: str) -> str:
    return Path(name).name.partition(".rf.")[0]

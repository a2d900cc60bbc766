"""What is wrong with a data set: every fault, by kind, with its first examples.

A check raises a `FaultError`. Reading collects them in a `FaultLog` and goes on without what is faulty,
so that refusing a data set, leaving parts of it out and listing its faults are one pass.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from sam3_edge.errors import DatasetError
from sam3_edge.runtime.rle import decode_rle

# How many of each kind are kept word for word.
EXAMPLES = 3
# Boxes may stand out of the picture by rounding, pixels.
SLACK = 1.0
# No coordinate is as large; unlike isfinite, a comparison takes whole numbers of any length.
FINITE = 1e9

Entry: TypeAlias = dict[str, Any]
"""One object of the JSON file, before it has been checked."""

P = ParamSpec("P")
T = TypeVar("T")


class FaultError(DatasetError):
    """One thing that is wrong. kind: what the report counts it as, in few words."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message, kind)
        self.kind = kind

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultCount:
    """examples: the first three, each one line: expected, got, what to do."""

    kind: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultReport:
    """path: of the annotations. counts: by kind, in the order in which they were met.

    images, annotations: how many there are without a fault, and can be trained on.
    """

    path: Path
    images: int
    annotations: int
    counts: tuple[FaultCount, ...]

    @property
    def total(self) -> int:
        return sum(one.count for one in self.counts)

    def lines(self) -> list[str]:
        """For printing: what is usable, then every kind with its count and examples below it."""
        usable = f"{self.images} images and {self.annotations} annotations can be used"
        if not self.counts:
            return [f"{self.path}: no faults; {usable}"]
        width = max(len(one.kind) for one in self.counts)
        digits = max(len(str(one.count)) for one in self.counts)
        table = [f"{self.path}: {self.total} faults; {usable}"]
        for one in self.counts:
            table.append(f"  {one.kind:<{width}}  {one.count:>{digits}}")
            table += [f"    {example}" for example in one.examples]
        return table


class FaultLog:
    """Counts faults while a data set is read."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}

    def attempt(self, check: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What `check` returns, or None where it raised a FaultError, which is noted."""
        try:
            return check(*args, **kwargs)
        except FaultError as fault:
            self.note(fault)
            return None

    def note(self, fault: FaultError) -> None:
        self._count[fault.kind] = self._count.get(fault.kind, 0) + 1
        kept = self._examples.setdefault(fault.kind, [])
        if len(kept) < EXAMPLES:
            kept.append(str(fault))

    def counts(self) -> tuple[FaultCount, ...]:
        return tuple(
            FaultCount(kind=kind, count=count, examples=tuple(self._examples[kind]))
            for kind, count in self._count.items()
        )

    def error(self, path: Path) -> DatasetError | None:
        """All faults as one line, or None where there is none."""
        counts = self.counts()
        if not counts:
            return None
        listed = ", ".join(f"{one.count} x {one.kind}" for one in counts)
        return DatasetError(
            f"{path}: expected annotations without faults, got {listed}; first: "
            f"{counts[0].examples[0]}; run `sam3-edge train --check-data` for the list, or set "
            "trainer.data.skip_faulty=true"
        )


def checked_field(where: str, entry: Entry, key: str, kind: type) -> Any:
    value = entry.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        what = {int: "a whole number", str: "a text", list: "a list"}[kind]
        got = f"{value!r}" if key in entry else "nothing"
        raise FaultError(
            f"{where}: expected {what} as {key}, got {got}; correct the entry",
            f"{key} {'of another type' if key in entry else 'missing'}",
        )
    return value


def checked_name(where: str, category: Entry) -> str:
    name: str = checked_field(where, category, "name", str)
    if not name.strip():
        raise FaultError(
            f"{where}: expected a phrase as name, got {name!r}; name it", "category without a name"
        )
    return name


def decode_counts(counts: str | list[int], width: int, height: int) -> NDArray[np.bool_]:
    """COCO's run lengths, compressed or plain -> (height, width). Raises FaultError."""
    try:
        if isinstance(counts, str):
            return decode_rle((height, width), counts)
        if sum(counts) != width * height:
            raise ValueError(f"runs of {sum(counts)} pixels in all")
        bits = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        return bits.reshape(width, height).T
    except (ValueError, TypeError) as error:
        raise FaultError(
            f"expected an RLE that fills {width}x{height} pixels, got: {error}; "
            "correct or remove the segmentation",
            "RLE that does not fill its picture",
        ) from error


def checked_owner(where: str, entry: Entry, images: Collection[int]) -> int:
    owner: int = checked_field(where, entry, "image_id", int)
    if owner not in images:
        raise FaultError(
            f"{where}: expected the image_id of a listed image, got {owner}; "
            "remove the annotation or list the image",
            "unknown image_id",
        )
    return owner


def checked_category(where: str, entry: Entry, places: Mapping[int, int]) -> int:
    category = checked_field(where, entry, "category_id", int)
    if category not in places:
        raise FaultError(
            f"{where}: expected a listed category, got category_id {category}; "
            "add the category or remove the annotation",
            "unknown category_id",
        )
    return places[category]


def checked_box(
    where: str, entry: Entry, width: int, height: int
) -> tuple[float, float, float, float]:
    """COCO's x, y, width, height -> corners, cut at the picture's edges."""
    box = checked_field(where, entry, "bbox", list)
    numbers = [float(v) for v in box if isinstance(v, int | float) and abs(v) < FINITE]
    if len(box) != 4 or len(numbers) != 4:
        raise FaultError(
            f"{where}: expected four finite numbers as bbox, got {box!r}; correct the entry",
            "box that is not four finite numbers",
        )
    x, y, w, h = numbers
    if w <= 0.0 or h <= 0.0:
        raise FaultError(
            f"{where}: expected a box with an area, got width {w:g} and height {h:g}; remove it",
            "box without an area" if min(w, h) == 0.0 else "box with a negative side",
        )
    cut = (max(x, 0.0), max(y, 0.0), min(x + w, float(width)), min(y + h, float(height)))
    outside = x < -SLACK or y < -SLACK or x + w > width + SLACK or y + h > height + SLACK
    if outside or cut[0] >= cut[2] or cut[1] >= cut[3]:
        raise FaultError(
            f"{where}: expected a box inside {width}x{height} pixels, got x {x:g}..{x + w:g}, "
            f"y {y:g}..{y + h:g}; correct or remove it",
            "box outside its picture",
        )
    return cut


def checked_segmentation(where: str, entry: Entry, width: int, height: int) -> Any:
    """Polygons, or an RLE that fills the photo; [] for none."""
    given = entry.get("segmentation") or []
    if isinstance(given, dict):
        counts, size = given.get("counts"), given.get("size")
        if size != [height, width] or not isinstance(counts, str | list):
            raise FaultError(
                f"{where}: expected an RLE of {width}x{height} pixels as segmentation, got size "
                f"{size!r}; correct it, or remove it to use the box",
                "RLE of another size",
            )
        try:
            decode_counts(counts, width, height)
        except FaultError as fault:
            raise FaultError(f"{where}: {fault}", fault.kind) from fault
    elif not isinstance(given, list) or not all(_is_ring(ring) for ring in given):
        raise FaultError(
            f"{where}: expected polygons of at least three points, or an RLE, as segmentation, got "
            "something else; correct it, or remove it to use the box",
            "broken polygon",
        )
    return given


def _is_ring(ring: object) -> bool:
    return (
        isinstance(ring, list)
        and len(ring) >= 6
        and len(ring) % 2 == 0
        and all(isinstance(v, int | float) and abs(v) < FINITE for v in ring)
    )

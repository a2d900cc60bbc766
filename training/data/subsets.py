"""Parts of a data set: the first so many pictures, named ones, or a few for each category."""

from collections.abc import Sequence

import numpy as np

from sam3_edge.errors import DatasetError
from sam3_edge.training.data.coco_annotations import Photo


def limit_ids(photos: Sequence[Photo], limit: int | Sequence[int]) -> tuple[Photo, ...]:
    """The `limit` photos with the lowest ids, or those with the ids of a list; in their order.

    Raises DatasetError for an id that no photo has, and for nothing left.
    """
    listed = sorted(photo.id for photo in photos)
    wanted = set(listed[:limit] if isinstance(limit, int) else limit)
    unknown = sorted(wanted - set(listed))
    if unknown or not wanted or (isinstance(limit, int) and limit < 1):
        got = f"{unknown[:3]}, which no photo has" if unknown else f"{limit}"
        raise DatasetError(
            f"limit_ids: expected ids of photos or a number above 0, got {got}; "
            "give ids of the annotations' images"
        )
    return tuple(photo for photo in photos if photo.id in wanted)


def few_shot(photos: Sequence[Photo], shots: int, seed: int) -> tuple[Photo, ...]:
    """Photos such that every category is shown by at least `shots` of them, or by all it has.

    Categories are served by the rarest first, each with photos drawn by (seed, its number); one
    that is already chosen for another category counts. In the order of `photos`.
    Raises DatasetError for shots below 1.
    """
    if shots < 1:
        raise DatasetError(f"shots: expected at least 1, got {shots}; set a number above 0")
    showing: dict[int, list[int]] = {}
    for index, photo in enumerate(photos):
        for category in sorted({a.category for a in photo.annotations if not a.crowd}):
            showing.setdefault(category, []).append(index)
    chosen: set[int] = set()
    for category in sorted(showing, key=lambda one: (len(showing[one]), one)):
        order = np.random.default_rng((seed, category)).permutation(showing[category]).tolist()
        missing = shots - sum(index in chosen for index in order)
        chosen.update([index for index in order if index not in chosen][: max(missing, 0)])
    return tuple(photos[index] for index in sorted(chosen))

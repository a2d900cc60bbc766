"""Objects of one data set in the pictures of another, so that no background gives a phrase away.

A shark over a road is still a shark, and a car under water is still none.
"""

from collections.abc import Callable, Set
from dataclasses import replace

import numpy as np

from sam3_edge.runtime.tokenizer import normalise
from sam3_edge.training.data.augmentation import Augmentation
from sam3_edge.training.data.copy_paste import with_objects
from sam3_edge.training.data.cutouts import usable_objects
from sam3_edge.training.data.labelled import LabelledPicture

# Smaller ones are not to be known without their surroundings, pixels a side.
LEAST_SIDE = 16
# None is made larger, share of the picture's side: it would hide what the picture is about.
MOST_SIDE = 0.6


def unrelated(_one: str, _other: str) -> bool:
    return False


def paste_foreign(
    picture: LabelledPicture,
    donor: LabelledPicture,
    rng: np.random.Generator,
    augmentation: Augmentation,
    *,
    withheld: Set[str] = frozenset(),
    related: Callable[[str, str], bool] = unrelated,
    max_phrases: int | None = None,
) -> LabelledPicture:
    """The picture with some objects of the donor, asked for them too; itself where none can be used.

    withheld: normalised phrases that are not added to the picture's, as what it shows of them is not
    known. related: whether of two normalised phrases one is a kind of the other: no puffin comes where
    "bird" is asked. max_phrases: an added phrase that would be one too many takes the place of an
    absent one.
    """
    usable = usable_objects(donor, augmentation.foreign_oval, LEAST_SIDE)
    asked = {normalise(phrase) for phrase in picture.phrases}
    fitting = {
        index
        for index, name in enumerate(map(normalise, donor.phrases))
        if (name in asked or name not in withheld)
        and not any(related(name, other) for other in asked - {name})
    }
    usable = usable[np.isin(donor.phrase[usable], list(fitting))]
    if len(usable) == 0:
        return picture
    count = int(rng.integers(1, augmentation.pasted_objects + 1))
    chosen = rng.permutation(usable)[:count]
    wanted = tuple(dict.fromkeys(donor.phrases[donor.phrase[i]] for i in chosen))
    phrases = merged_phrases(picture, wanted, rng, max_phrases)
    target, source = _asked(picture, phrases), _asked(donor, phrases)
    chosen = chosen[source.phrase[chosen] >= 0]
    made = with_objects(target, source, chosen, rng, augmentation, oval=True, most_side=MOST_SIDE)
    return picture if made is target else made


def merged_phrases(
    picture: LabelledPicture,
    wanted: tuple[str, ...],
    rng: np.random.Generator,
    max_phrases: int | None,
) -> tuple[str, ...]:
    """The picture's phrases, then those wanted that are not among them, at most `max_phrases`.

    One that the picture shows, or is asked although it only has objects to ignore, always stays, and
    so does one absent phrase: else all that is asked would be there.
    """
    asked = {normalise(phrase) for phrase in picture.phrases}
    added = [phrase for phrase in wanted if normalise(phrase) not in asked]
    named = {normalise(phrase) for phrase in wanted} | {
        normalise(picture.phrases[i]) for i in picture.phrase
    }
    absent = [phrase for phrase in picture.phrases if normalise(phrase) not in named]
    excess = 0 if max_phrases is None else len(picture.phrases) + len(added) - max_phrases
    given_up = min(max(excess, 0), max(len(absent) - 1, 0))
    dropped = {str(phrase) for phrase in rng.permutation(np.array(absent, dtype=str))[:given_up]}
    added = added[: max(len(added) - max(excess - given_up, 0), 0)]
    return (*(phrase for phrase in picture.phrases if phrase not in dropped), *added)


def _asked(picture: LabelledPicture, phrases: tuple[str, ...]) -> LabelledPicture:
    """The same objects, numbered by other phrases; -1 for what is not among them."""
    places = {normalise(phrase): i for i, phrase in enumerate(phrases)}
    numbers = [places.get(normalise(phrase), -1) for phrase in picture.phrases]
    return replace(
        picture, phrases=phrases, phrase=np.array(numbers, dtype=np.int64)[picture.phrase]
    )

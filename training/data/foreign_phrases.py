"""Pictures that are also asked phrases of the run's other data sets, which they do not show.

A set of one category is asked nothing that it does not show, and every sea picture shows something
of the sea: a model can then tell presence from the colour of the water. Phrases of the other sets
part the two, as long as they are known to be absent:

- A set's annotations say nothing about some phrases (photos of litter show people): its `unknown`.
- Broader and narrower words are neither present nor absent: what is marked "bird" may be a penguin,
  and what is marked "penguin" is a bird.

Phrases that few pictures show would be learned as "never there"; they are asked in proportion to the
square root of how many pictures show them (as CenterNet2, arXiv:2103.07461, samples the negatives of
its federated loss). Near ones, as in `negatives`, are asked up to 25 times as often.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from sam3_edge.engines.inflection import ways_to_say
from sam3_edge.engines.words import known_words
from sam3_edge.runtime.tokenizer import normalise
from sam3_edge.training.data.coco_dataset import CocoDataset
from sam3_edge.training.data.labelled import LabelledPicture
from sam3_edge.training.data.negatives import Negatives, PhraseChooser


def is_unknown(phrase: str, patterns: Sequence[str]) -> bool:
    """Whether the last pattern that `phrase` matches is one without a "!" before it.

    As lines of a .gitignore: ["*", "!*fish"] leaves what ends with "fish". Case does not matter.
    """
    unknown = False
    for pattern in patterns:
        if fnmatchcase(normalise(phrase), normalise(pattern.removeprefix("!"))):
            unknown = not pattern.startswith("!")
    return unknown


def related(one: str, other: str) -> bool:
    """Whether one is a kind of the other, or the same in other words: marks of one do not make the
    other absent.
    """
    first, second = normalise(one), normalise(other)
    if second in ways_to_say(first) or first in ways_to_say(second):
        return True
    words = known_words()
    return words.is_kind_of(first, second) or words.is_kind_of(second, first)


def times_shown(data: CocoDataset) -> Counter[str]:
    """Phrase, as `normalise` writes it -> how many pictures show it; 0 for one that none shows."""
    shown = Counter({normalise(phrase): 0 for phrase in data.phrases})
    for photo in data.photos:
        shown.update({normalise(data.phrases[one.category]) for one in photo.annotations})
    return shown


class ForeignPhrases:
    """`data`, whose pictures are asked at most `most` phrases, foreign ones among them.

    shown: phrases of the whole run -> how many of its pictures show them. share: of the absent
    phrases, how many are foreign; where the set has too few of its own, more. unknown: patterns as
    in `is_unknown`, of phrases that are never asked unless they are the set's own.
    """

    def __init__(
        self,
        data: CocoDataset,
        *,
        shown: Mapping[str, int],
        share: float,
        unknown: Sequence[str],
        most: int,
    ) -> None:
        self.data, self.share, self.most = data, share, most
        own = [normalise(phrase) for phrase in data.phrases]
        self.foreign = tuple(
            sorted(p for p in shown if shown[p] and p not in own and not is_unknown(p, unknown))
        )
        self._weights = np.sqrt([shown[phrase] for phrase in self.foreign])
        self._related = {
            phrase: frozenset(other for other in self.foreign if related(phrase, other))
            for phrase in data.phrases
        }
        confusions = Negatives(confusions=known_words().confusions())
        self._chooser = PhraseChooser((*own, *self.foreign), (), confusions)

    @property
    def length(self) -> int:
        return self.data.length

    def picture(
        self, index: int, rng: np.random.Generator, phrases: tuple[str, ...] | None = None
    ) -> LabelledPicture:
        if phrases is None:
            picture = self.data.picture(index, rng)
            return _asked(picture, self._choose(index, picture.phrases, rng), {})
        # What may be one of the phrases, by a broader or narrower word, is found to be ignored.
        blurred = {own: kin & set(phrases) for own, kin in self._related.items()}
        blurred = {own: kin for own, kin in blurred.items() if kin}
        more = tuple(own for own in blurred if own not in phrases)
        return _asked(self.data.picture(index, rng, (*phrases, *more)), phrases, blurred)

    def _choose(
        self, index: int, asked: tuple[str, ...], rng: np.random.Generator
    ) -> tuple[str, ...]:
        """`asked`, with some of its absent phrases exchanged for foreign ones."""
        marks = self.data.photos[index].annotations
        shown = sorted({one.category for one in marks})
        names = {self.data.phrases[category] for category in shown}
        present = [phrase for phrase in asked if phrase in names]
        absent = [phrase for phrase in asked if phrase not in names]
        places = max(self.most - len(present), 0)
        wanted = int(self.share * places + rng.random())
        absent = [absent[i] for i in rng.permutation(len(absent))[: places - wanted]]
        barred = frozenset().union(*(self._related[one] for one in (*names, *absent)))
        near = self._chooser.nearness(shown or range(len(self.data.phrases)))
        chosen = self._draw(near, barred, places - len(absent), rng)
        return (*present, *absent, *chosen)

    def _draw(
        self,
        near: Mapping[int, float],
        barred: frozenset[str],
        count: int,
        rng: np.random.Generator,
    ) -> list[str]:
        """Foreign phrases, by how many pictures show them and how near they are."""
        first = len(self.data.phrases)
        nearness = np.array([near.get(first + i, 0.0) for i in range(len(self.foreign))])
        weights = self._weights * (1.0 + nearness) ** 2
        weights *= [phrase not in barred for phrase in self.foreign]
        return [self.foreign[i] for i in _weighted(weights, count, rng)]


def _weighted(weights: NDArray[np.float64], count: int, rng: np.random.Generator) -> list[int]:
    """Up to `count` places of weights above 0, drawn by them, without repeats."""
    possible = np.flatnonzero(weights > 0)
    waits = rng.exponential(size=len(possible)) / weights[possible]
    drawn: list[int] = possible[np.argsort(waits)[:count]].tolist()
    return drawn


def _asked(
    picture: LabelledPicture, asked: tuple[str, ...], blurred: Mapping[str, frozenset[str]]
) -> LabelledPicture:
    """The picture with `asked` for its phrases. blurred: a phrase of the picture -> those of `asked`
    for which its objects are neither right nor wrong.
    """
    place = {phrase: i for i, phrase in enumerate(asked)}
    found: list[tuple[int, int, bool]] = []
    for row, number in enumerate(picture.phrase.tolist()):
        phrase = picture.phrases[number]
        if phrase in place:
            found.append((row, place[phrase], bool(picture.ignore[row])))
        found.extend((row, place[one], True) for one in sorted(blurred.get(phrase, ())))
    rows = [row for row, _, _ in found]
    return replace(
        picture,
        phrases=asked,
        boxes=picture.boxes[rows].reshape(-1, 4),
        phrase=np.array([number for _, number, _ in found], dtype=np.int64),
        ignore=np.array([ignore for _, _, ignore in found], dtype=np.bool_),
        masks=None if picture.masks is None else tuple(picture.masks[row] for row in rows),
    )

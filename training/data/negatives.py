"""Which phrases are asked about a picture: those it shows, and absent ones that could be mistaken.

Absent phrases that look or read like a present one teach more than "no aeroplane in the sea". Near
are phrases that share a word or the end of their head noun ("jellyfish", "starfish", "fish"), those
that a table of confusions names, and those found beside the present ones in other pictures.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

# How near an absent phrase is to a present one; the largest that applies counts.
CONFUSED, SAME_HEAD, SAME_ENDING, SHARED_WORD = 4.0, 3.0, 2.0, 1.0
# Letters at the end of two head nouns that make them near: -fish, -ball, -boat.
ENDING = 4
# What an of-phrase or a with-phrase adds after its head noun.
AFTER_HEAD = frozenset({"of", "with", "in", "on", "for", "at", "without"})
# Too frequent to say anything.
SMALL_WORDS = AFTER_HEAD | {"a", "an", "the", "and", "or", "to"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Negatives:
    """count: absent phrases asked about one picture, where there are as many.

    hard_share: of them, chosen among the near ones. confusions: phrase -> what it is taken for.
    """

    count: int = 30
    hard_share: float = 0.5
    confusions: Mapping[str, Sequence[str]] = field(default_factory=dict)


class PhraseChooser:
    """Knows which phrases of a vocabulary are near which.

    shown: for every picture the phrases it shows, as indices.
    """

    def __init__(
        self, phrases: Sequence[str], shown: Iterable[Iterable[int]], settings: Negatives
    ) -> None:
        self.settings = settings
        self.num_phrases = len(phrases)
        self._keys = [_keys(phrase) for phrase in phrases]
        self._with_key: defaultdict[str, list[int]] = defaultdict(list)
        for index, keys in enumerate(self._keys):
            for key in keys:
                self._with_key[key].append(index)
        place = {phrase: index for index, phrase in enumerate(phrases)}
        self._confused = {
            place[phrase]: [place[other] for other in others if other in place]
            for phrase, others in settings.confusions.items()
            if phrase in place
        }
        self._pictures: Counter[int] = Counter()
        self._beside: defaultdict[int, Counter[int]] = defaultdict(Counter)
        for picture in shown:
            together = set(picture)
            self._pictures.update(together)
            for one in together:
                self._beside[one].update(together)

    def choose(
        self, present: Sequence[int], rng: np.random.Generator, max_phrases: int | None = None
    ) -> list[int]:
        """Present phrases, then absent ones; in the vocabulary's order where all are asked.

        max_phrases: in all; one place is kept for an absent phrase.
        """
        most = self.num_phrases if max_phrases is None else max_phrases
        kept = sorted(present)
        if len(kept) > max(most - 1, 1) and len(kept) < self.num_phrases:
            kept = rng.permutation(kept)[: max(most - 1, 1)].tolist()
        absent = np.setdiff1d(np.arange(self.num_phrases), present)
        count = min(self.settings.count, most - len(kept), len(absent))
        if len(kept) + count >= self.num_phrases:
            return list(range(self.num_phrases))
        hard = self._hard(present, rng, round(self.settings.hard_share * count))
        others = np.setdiff1d(absent, hard)
        return [*kept, *hard, *rng.permutation(others)[: count - len(hard)].tolist()]

    def nearness(self, present: Sequence[int]) -> dict[int, float]:
        """Absent phrases that are near a present one, and how near."""
        near: defaultdict[int, float] = defaultdict(float)
        for one in present:
            for other in self._confused.get(one, ()):
                near[other] = max(near[other], CONFUSED)
            for key, value in self._keys[one].items():
                for other in self._with_key[key]:
                    near[other] = max(near[other], min(value, self._keys[other][key]))
            for other, times in self._beside[one].items():
                near[other] = max(near[other], times / self._pictures[one])
        return {other: value for other, value in sorted(near.items()) if other not in present}

    def _hard(self, present: Sequence[int], rng: np.random.Generator, count: int) -> list[int]:
        """Drawn by nearness, without repeats: the smallest of exponential waiting times."""
        near = self.nearness(present)
        waits = rng.exponential(size=len(near)) / np.array(list(near.values()))
        return [list(near)[i] for i in np.argsort(waits)[:count]]


def _keys(phrase: str) -> dict[str, float]:
    """What a phrase is found by, and how near that makes another one with the same key."""
    words = [_singular(word) for word in phrase.lower().replace("-", " ").split()]
    if not words:
        return {}
    end = next((i for i, word in enumerate(words) if i and word in AFTER_HEAD), len(words))
    head = words[end - 1]
    keys = {word: SHARED_WORD for word in words if word not in SMALL_WORDS}
    if len(head) >= ENDING:
        keys["-" + head[-ENDING:]] = SAME_ENDING
    keys["head " + head] = SAME_HEAD
    return keys


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word

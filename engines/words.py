"""What is known of words besides how they are written.

The table `words.json` beside this file is small and made by hand. synonyms: other words for all of
what a phrase means. plurals: where the rule is wrong; none for what has no plural. kinds: a phrase
and what is a kind of it. alike: groups of phrases that a model takes for each other.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """All in lower case. synonyms, plurals, kinds: phrase -> others. alike: groups, which may share
    phrases.
    """

    synonyms: Mapping[str, tuple[str, ...]]
    plurals: Mapping[str, tuple[str, ...]]
    kinds: Mapping[str, tuple[str, ...]]
    alike: tuple[tuple[str, ...], ...]

    def is_kind_of(self, narrow: str, broad: str) -> bool:
        """Whether whatever is `narrow` is `broad` too: "clownfish" is "fish", so is "red fish"."""
        if narrow == broad or narrow.endswith(f" {broad}"):
            return True
        return any(self.is_kind_of(narrow, kind) for kind in self.kinds.get(broad, ()))

    def confusions(self) -> dict[str, tuple[str, ...]]:
        """Phrase -> what it is taken for."""
        found: dict[str, dict[str, None]] = {}
        for group in self.alike:
            for one in group:
                found.setdefault(one, {}).update((two, None) for two in group if two != one)
        return {one: tuple(others) for one, others in found.items()}


@cache
def known_words() -> Words:
    """The table."""
    text = files("sam3_edge.engines").joinpath("words.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    synonyms, plurals, kinds = (
        {phrase: tuple(others) for phrase, others in table[part].items()}
        for part in ("synonyms", "plurals", "kinds")
    )
    alike = tuple(map(tuple, table["alike"]))
    return Words(synonyms=synonyms, plurals=plurals, kinds=kinds, alike=alike)

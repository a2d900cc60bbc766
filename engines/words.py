"""What is known of words besides how they are written: which are kinds of which, which are alike.

The table `words.json` beside this file is small and made by hand. kinds: a phrase and what is a
kind of it. alike: groups of phrases that a model takes for each other.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """All in lower case. kinds: phrase -> its kinds. alike: groups, which may share phrases."""

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
    return Words(
        kinds={phrase: tuple(kinds) for phrase, kinds in table["kinds"].items()},
        alike=tuple(map(tuple, table["alike"])),
    )

"""The table of words is consistent, and says what is a kind of what."""

import pytest

from sam3_edge.engines.words import known_words
from sam3_edge.runtime.tokenizer import normalise


@pytest.mark.parametrize(
    ("narrow", "broad", "expected"),
    [
        ("clownfish", "fish", True),
        ("fish", "clownfish", False),
        ("fish", "fish", True),
        ("red fish", "fish", True),
        ("jellyfish", "fish", False),
        ("starfish", "fish", False),
        ("shark", "fish", False),
        ("stingray", "ray", True),
        ("lion", "cat", True),  # a big cat is a cat
        ("dolphin", "orca", False),
    ],
)
def test_kinds(narrow: str, broad: str, *, expected: bool) -> None:
    assert known_words().is_kind_of(narrow, broad) is expected


def test_the_table_is_written_as_the_tokenizer_sees_it_and_has_no_circle() -> None:
    words = known_words()
    for phrase in (*words.kinds, *(k for kinds in words.kinds.values() for k in kinds)):
        assert normalise(phrase) == phrase
    for broad, kinds in words.kinds.items():
        assert len(set(kinds)) == len(kinds)
        assert not any(words.is_kind_of(broad, kind) for kind in kinds)


def test_sea_animals_are_taken_for_each_other() -> None:
    confusions = known_words().confusions()
    sea = ("fish", "shark", "jellyfish", "starfish")
    for one in sea:
        assert set(sea) - {one} <= set(confusions[one])
        assert one not in confusions[one]
        assert len(set(confusions[one])) == len(confusions[one])

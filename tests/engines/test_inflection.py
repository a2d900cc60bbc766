"""Articles, plurals and synonyms, by rule and by table."""

import pytest

from sam3_edge.engines.inflection import plurals, ways_to_say
from sam3_edge.engines.words import known_words


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("shark", ("sharks",)),
        ("bus", ("buses",)),
        ("wine glass", ("wine glasses",)),
        ("toothbrush", ("toothbrushes",)),
        ("berry", ("berries",)),
        ("stingray", ("stingrays",)),
        ("cup of tea", ("cups of tea",)),
        ("fish", ("fishes",)),
        ("red fish", ("red fishes",)),
        ("person", ("people", "persons")),
        ("plastic litter", ()),
        ("scissors", ()),
    ],
)
def test_plurals(phrase: str, expected: tuple[str, ...]) -> None:
    assert plurals(phrase) == expected


def test_ways_have_articles_plurals_and_synonyms() -> None:
    assert ways_to_say("umbrella") == (
        "an umbrella", "the umbrella", "umbrellas", "the umbrellas",
    )  # fmt: skip
    assert {"sea star", "a sea star", "sea stars", "starfishes"} <= set(ways_to_say("starfish"))
    assert ways_to_say("litter") == ("the litter",)
    assert ways_to_say("the sun") == ways_to_say("") == ()


def test_a_way_says_one_phrase_only_and_no_kind() -> None:
    words = known_words()
    phrases = {*words.synonyms, *words.plurals, *words.kinds, *(p for g in words.alike for p in g)}
    synonyms = {one for others in words.synonyms.values() for one in others}
    said = [way for phrase in phrases - synonyms for way in (phrase, *ways_to_say(phrase))]
    assert len(set(said)) == len(said) - sum(said.count(s) > 1 for s in {"jelly fish", "star fish"})
    for broad, kinds in words.kinds.items():
        assert not set(kinds) & set(ways_to_say(broad))

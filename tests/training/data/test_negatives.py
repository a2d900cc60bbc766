"""Absent phrases are asked too, the ones that could be mistaken first."""

import numpy as np
import pytest

from sam3_edge.training.data.negatives import Negatives, PhraseChooser

PHRASES = (
    "fish", "jellyfish", "starfish", "red car", "car", "cup of tea", "cup", "wine glasses",
    "glass", "boat", "sailboat", "dog", "cat", "the sun", "the moon", "shark",
)  # fmt: skip
PLACE = {phrase: i for i, phrase in enumerate(PHRASES)}


def chooser(
    settings: Negatives | None = None, shown: list[list[int]] | None = None
) -> PhraseChooser:
    return PhraseChooser(PHRASES, shown or [], settings or Negatives())


def near(chosen: PhraseChooser, phrase: str) -> dict[str, float]:
    return {PHRASES[i]: value for i, value in chosen.nearness([PLACE[phrase]]).items()}


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("jellyfish", {"fish", "starfish"}),
        ("fish", {"jellyfish", "starfish"}),
        ("red car", {"car"}),
        ("cup", {"cup of tea"}),
        ("boat", {"sailboat"}),
        ("the sun", set()),
        ("dog", set()),
    ],
)
def test_phrases_that_share_a_word_or_an_ending_are_near(phrase: str, expected: set[str]) -> None:
    assert set(near(chooser(), phrase)) == expected


def test_the_same_head_is_nearer_than_its_ending_or_another_word() -> None:
    found = near(chooser(), "cup of tea")
    assert found == {"cup": 3.0}
    assert near(chooser(), "fish")["starfish"] == 2.0


def test_a_table_and_other_pictures_make_phrases_near() -> None:
    settings = Negatives(confusions={"shark": ["dog", "not a phrase"], "not one": ["cat"]})
    shown = [[PLACE["shark"], PLACE["cat"]], [PLACE["shark"]]]
    assert near(chooser(settings, shown), "shark") == {"dog": 4.0, "cat": 0.5}


@pytest.mark.parametrize("seed", range(6))
def test_what_is_chosen_is_present_first_and_limited(seed: int) -> None:
    present = [PLACE["fish"], PLACE["car"]]
    for limit, count in ((None, 6), (5, 6), (2, 6), (100, 4)):
        rng = np.random.default_rng(seed)
        chosen = chooser(Negatives(count=count)).choose(present, rng, limit)
        assert len(set(chosen)) == len(chosen) == min(limit or 100, 2 + count)
        # One place is kept for an absent phrase.
        assert sum(one in present for one in chosen) == (1 if limit == 2 else 2)
        assert not set(chosen[2:]) & set(present)


def test_near_phrases_are_asked_more_often() -> None:
    one, rng = chooser(Negatives(count=4, hard_share=0.5)), np.random.default_rng(0)
    asked = [set(one.choose([PLACE["fish"]], rng)) for _ in range(200)]
    for phrase in ("jellyfish", "starfish"):
        assert all(PLACE[phrase] in chosen for chosen in asked)
    rates = [np.mean([PLACE[p] in one for one in asked]) for p in ("dog", "the moon", "cup")]
    assert 0.02 < min(rates) < max(rates) < 0.5
    none = chooser(Negatives(count=4, hard_share=0.0))
    asked = [set(none.choose([PLACE["fish"]], rng)) for _ in range(200)]
    assert 0.1 < np.mean([PLACE["jellyfish"] in chosen for chosen in asked]) < 0.5


def test_the_nearer_the_more_often() -> None:
    settings = Negatives(count=1, hard_share=1.0, confusions={"red car": ["shark"]})
    shown = [[PLACE["red car"], PLACE["dog"]], *([PLACE["red car"]] for _ in range(9))]
    one, rng = chooser(settings, shown), np.random.default_rng(0)
    asked = [PHRASES[one.choose([PLACE["red car"]], rng)[1]] for _ in range(600)]
    rates = {phrase: asked.count(phrase) / 600 for phrase in ("shark", "car", "dog")}
    assert sum(rates.values()) == pytest.approx(1.0)
    # As 4 : 3 : 0.1.
    assert rates["shark"] > rates["car"] > 5 * rates["dog"]


def test_a_small_vocabulary_is_asked_whole_and_in_order() -> None:
    everything = list(range(len(PHRASES)))
    rng = np.random.default_rng(0)
    assert chooser().choose([3, 1], rng) == everything
    assert chooser().choose([], rng, 16) == everything
    assert chooser().choose(everything, rng) == everything


def test_a_picture_without_anything_is_asked_for_something() -> None:
    chosen = chooser(Negatives(count=3)).choose([], np.random.default_rng(0))
    assert len(set(chosen)) == 3


def test_the_choice_is_the_generators() -> None:
    one = chooser(Negatives(count=4))
    first, again, other = (one.choose([0], np.random.default_rng(s), 5) for s in (1, 1, 2))
    assert first == again != other

import pytest

from sam3_edge.engines.manifest import Phrase
from sam3_edge.engines.vocabulary import nearest_phrase, phrase_for, said_as

VOCABULARY = tuple(
    Phrase(text=text, ap=None, ap50=None, threshold=0.5, source="tests")
    for text in ("fish", "jellyfish", "Starfish", "sting ray", "sea  bird")
)


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("fish", "fish"),
        (" FISH ", "fish"),
        ("starfish", "Starfish"),
        ("Sea bird", "sea  bird"),
        ("Fishes", "fish"),
        ("a  fish", "fish"),
        ("the sea star", "Starfish"),
        ("sea birds", "sea  bird"),
    ],
)
def test_case_spaces_and_other_words_for_the_same_make_no_difference(
    prompt: str, text: str
) -> None:
    found = phrase_for(prompt, VOCABULARY)
    assert found is not None
    assert found.text == text


@pytest.mark.parametrize("prompt", ["clownfish", "fis", "red fish", ""])
def test_another_phrase_is_not_trained(prompt: str) -> None:
    assert phrase_for(prompt, VOCABULARY) is None


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("fishes", "fish"),
        ("big red fish", "fish"),
        ("jelyfish", "jellyfish"),
        ("stingrays", "sting ray"),
        ("a very large bird", "sea  bird"),
        ("clownfish", "fish"),
    ],
)
def test_the_nearest_phrase_is_the_one_a_person_would_name(prompt: str, text: str) -> None:
    assert nearest_phrase(prompt, VOCABULARY) == text


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("fishes", "fish"),
        ("A sea star", "Starfish"),
        (" FISH ", " FISH "),
        ("clownfish", "clownfish"),
    ],
)
def test_the_model_is_asked_what_it_was_trained_on(prompt: str, said: str) -> None:
    assert said_as(prompt, VOCABULARY) == said


def test_without_words_nothing_is_near() -> None:
    assert nearest_phrase("fish", ()) is None
    assert phrase_for("fish", ()) is None

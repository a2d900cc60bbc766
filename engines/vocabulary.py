"""Which trained phrase a prompt is, or is nearest to."""

from collections.abc import Sequence
from difflib import SequenceMatcher

from sam3_edge.engines.inflection import ways_to_say
from sam3_edge.engines.manifest import Phrase
from sam3_edge.engines.words import known_words


def normalise_phrase(text: str) -> str:
    """Lower case, single spaces, none at the ends: what the tokenizer makes no difference of."""
    return " ".join(text.lower().split())


def phrase_for(prompt: str, vocabulary: Sequence[Phrase]) -> Phrase | None:
    """The trained phrase that `prompt` is, or says in other words ("a fish", "fishes"); or None."""
    wanted = normalise_phrase(prompt)
    for phrase in vocabulary:
        if normalise_phrase(phrase.text) == wanted:
            return phrase
    for phrase in vocabulary:
        if wanted in ways_to_say(normalise_phrase(phrase.text)):
            return phrase
    return None


def said_as(prompt: str, vocabulary: Sequence[Phrase]) -> str:
    """What the model is asked for `prompt`: the trained phrase that means the same, or itself."""
    phrase = phrase_for(prompt, vocabulary)
    if phrase is None or normalise_phrase(phrase.text) == normalise_phrase(prompt):
        return prompt
    return phrase.text


def nearest_phrase(prompt: str, vocabulary: Sequence[Phrase]) -> str | None:
    """The trained phrase that `prompt` is a kind of, or else the one most alike in letters and
    shared words; None without a vocabulary.

    Alike as texts, not in meaning: it serves typing errors and added adjectives.
    """
    if not vocabulary:
        return None
    wanted = normalise_phrase(prompt)
    for phrase in vocabulary:
        if known_words().is_kind_of(wanted, normalise_phrase(phrase.text)):
            return phrase.text
    return max((phrase.text for phrase in vocabulary), key=lambda text: _likeness(wanted, text))


def _likeness(prompt: str, text: str) -> float:
    """0..2: the share of equal letters plus the share of words in common."""
    candidate = normalise_phrase(text)
    letters = SequenceMatcher(None, prompt, candidate, autojunk=False).ratio()
    words, other = set(prompt.split()), set(candidate.split())
    union = words | other
    return letters + (len(words & other) / len(union) if union else 0.0)

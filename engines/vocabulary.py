"""Which trained phrase a prompt is, or is nearest to."""

from collections.abc import Sequence
from difflib import SequenceMatcher

from sam3_edge.engines.manifest import Phrase


def normalise_phrase(text: str) -> str:
    """Lower case, single spaces, none at the ends: what the tokenizer makes no difference of."""
    return " ".join(text.lower().split())


def phrase_for(prompt: str, vocabulary: Sequence[Phrase]) -> Phrase | None:
    """The trained phrase that `prompt` is, or None."""
    wanted = normalise_phrase(prompt)
    for phrase in vocabulary:
        if normalise_phrase(phrase.text) == wanted:
            return phrase
    return None


def nearest_phrase(prompt: str, vocabulary: Sequence[Phrase]) -> str | None:
    """The trained phrase most alike in letters and shared words; None without a vocabulary.

    Alike as texts, not in meaning: it serves typing errors, plurals and added adjectives.
    """
    if not vocabulary:
        return None
    wanted = normalise_phrase(prompt)
    return max((phrase.text for phrase in vocabulary), key=lambda text: _likeness(wanted, text))


def _likeness(prompt: str, text: str) -> float:
    """0..2: the share of equal letters plus the share of words in common."""
    candidate = normalise_phrase(text)
    letters = SequenceMatcher(None, prompt, candidate, autojunk=False).ratio()
    words, other = set(prompt.split()), set(candidate.split())
    union = words | other
    return letters + (len(words & other) / len(union) if union else 0.0)

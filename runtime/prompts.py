"""What is asked for: phrases, each with the score from which a detection counts."""

from collections.abc import Sequence
from dataclasses import dataclass

from sam3_edge.engines.manifest import Manifest, Phrase
from sam3_edge.engines.vocabulary import nearest_phrase, phrase_for, said_as
from sam3_edge.errors import PromptError, UsageError
from sam3_edge.runtime.tokenizer import CONTEXT_LENGTH, Tokenizer, normalise


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """text: as the user wrote it, and as the results name it. threshold: score, 0..1. asked: what
    the model is asked instead, a phrase it was trained on that means the same; None for `text`.
    """

    text: str
    threshold: float
    asked: str | None = None


def check_prompt_texts(texts: Sequence[str], tokenizer: Tokenizer) -> None:
    """Raises PromptError for no prompt, an empty, a too long, a repeated one, and what is no text."""
    if not texts:
        raise PromptError(
            'expected at least one prompt, got none; say what to look for, such as "fish"'
        )
    seen: dict[str, str] = {}
    for text in texts:
        _check_characters(text)
        words = normalise(text)
        if not words:
            raise PromptError(
                f'expected words to look for, got the empty prompt {short(text)!r}; try "fish"'
            )
        if not tokenizer.fits(text):
            raise PromptError(
                f"prompt {short(text)!r}: expected at most {CONTEXT_LENGTH} tokens (about 25 words), "
                f"got {tokenizer.num_tokens(text)}; use fewer words"
            )
        if words in seen:
            raise PromptError(
                f"expected different prompts, got {short(seen[words])!r} and {short(text)!r}, "
                "which are the same to the model; give it once"
            )
        seen[words] = text


def split_threshold(text: str) -> tuple[str, float | None]:
    """ "fish:0.4" -> ("fish", 0.4); a colon without a number after it belongs to the phrase.

    Raises PromptError for a number that is no score.
    """
    phrase, colon, number = text.rpartition(":")
    try:
        threshold = float(number) if colon else None
    except ValueError:
        threshold = None
    if threshold is None:
        return text, None
    if not 0 <= threshold <= 1:  # NaN too
        raise PromptError(
            f"prompt {short(text)!r}: expected a threshold from 0 to 1 after the last colon, got "
            f"{short(number)}; behind a phrase that ends so write its threshold too: "
            f"{short(text) + ':0.5'!r}"
        )
    return phrase, threshold


def join_threshold(prompt: Prompt) -> str:
    """What `split_threshold` takes apart, to the last bit of a float32."""
    return f"{prompt.text}:{prompt.threshold:.9g}"


def choose_prompts(
    texts: Sequence[str], threshold: float | None, manifest: Manifest, tokenizer: Tokenizer
) -> tuple[Prompt, ...]:
    """texts: phrases, each with a threshold of its own if it has one: "fish:0.4". threshold: of the
    others; None: what the bundle says serves each phrase best.

    Raises PromptError, UsageError.
    """
    pairs = [split_threshold(text) for text in texts]
    check_prompt_texts([phrase for phrase, _ in pairs], tokenizer)
    return tuple(
        choose_thresholds([phrase], threshold if own is None else own, manifest)[0]
        for phrase, own in pairs
    )


def choose_thresholds(
    texts: Sequence[str], threshold: float | None, manifest: Manifest
) -> tuple[Prompt, ...]:
    """`threshold` for every prompt, or else what the bundle says serves each phrase best.

    Raises UsageError for a threshold outside 0..1.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise UsageError(f"expected a threshold from 0 to 1, got {threshold:g}")
    return tuple(
        Prompt(
            text=text,
            threshold=_fitted(text, manifest) if threshold is None else threshold,
            asked=None if (said := said_as(text, manifest.vocabulary)) == text else said,
        )
        for text in texts
    )


def unknown_phrase_warning(text: str, vocabulary: Sequence[Phrase]) -> str | None:
    """One line for a prompt the model was not trained on; None for one it knows."""
    if phrase_for(text, vocabulary) is not None:
        return None
    nearest = nearest_phrase(text, vocabulary)
    if nearest is None:
        return f"{text!r}: the bundle does not say which phrases it was trained on; check what it finds"
    return (
        f"{text!r} is not a phrase this model was trained on, so expect little of it; "
        f"the nearest it knows is {nearest!r} (`sam3-edge info` lists all {len(vocabulary)})"
    )


def _fitted(text: str, manifest: Manifest) -> float:
    phrase = phrase_for(text, manifest.vocabulary)
    return manifest.default_threshold if phrase is None else phrase.threshold


def _check_characters(text: str) -> None:
    """Bytes of another encoding, and halves of characters: no output could write them."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PromptError(
            f"prompt {short(text)!r}: expected text in UTF-8, got {text[error.start]!r}; "
            "write it in UTF-8"
        ) from error


def short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."

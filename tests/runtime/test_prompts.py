from types import SimpleNamespace
from typing import Any

import pytest

from sam3_edge.engines.manifest import Phrase
from sam3_edge.errors import PromptError, UsageError
from sam3_edge.runtime.prompts import (
    check_prompt_texts,
    choose_thresholds,
    unknown_phrase_warning,
)
from sam3_edge.runtime.tokenizer import Tokenizer

VOCABULARY = (
    Phrase(text="fish", ap=0.5, ap50=0.7, threshold=0.35, source="tests"),
    Phrase(text="jellyfish", ap=0.5, ap50=0.7, threshold=0.45, source="tests"),
)
# Only these two fields are read.
MANIFEST: Any = SimpleNamespace(vocabulary=VOCABULARY, default_threshold=0.25)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer()


def test_good_prompts_pass(tokenizer: Tokenizer) -> None:
    check_prompt_texts(["fish", "a red fish", "Krähe", "fish " * 30], tokenizer)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "expected at least one prompt, got none"),
        ([""], "got the empty prompt ''"),
        (["fish", " \t"], r"got the empty prompt ' \\t'"),
        (["fish " * 31], "expected at most 32 tokens .*, got 33; use fewer words"),
        (["fish", " FISH "], "got 'fish' and ' FISH ', which are the same"),
    ],
)
def test_bad_prompts_are_refused(texts: list[str], message: str, tokenizer: Tokenizer) -> None:
    with pytest.raises(PromptError, match=message) as refused:
        check_prompt_texts(texts, tokenizer)
    assert "\n" not in str(refused.value)
    assert refused.value.exit_status == 2


def test_thresholds_come_from_the_bundle_unless_given() -> None:
    texts = ["Fish", "jellyfish", "submarine"]
    fitted = choose_thresholds(texts, None, MANIFEST)
    assert [prompt.threshold for prompt in fitted] == [0.35, 0.45, 0.25]
    assert [prompt.text for prompt in fitted] == texts
    assert {prompt.threshold for prompt in choose_thresholds(texts, 0.0, MANIFEST)} == {0.0}


@pytest.mark.parametrize("threshold", [-0.01, 1.01, float("nan")])
def test_a_threshold_outside_its_range_is_refused(threshold: float) -> None:
    with pytest.raises(UsageError, match="expected a threshold from 0 to 1"):
        choose_thresholds(["fish"], threshold, MANIFEST)


def test_only_unknown_phrases_are_warned_of() -> None:
    assert unknown_phrase_warning(" FISH", VOCABULARY) is None
    warning = unknown_phrase_warning("jellyfishes", VOCABULARY)
    assert warning is not None
    assert "nearest it knows is 'jellyfish'" in warning
    assert "does not say" in (unknown_phrase_warning("fish", ()) or "")

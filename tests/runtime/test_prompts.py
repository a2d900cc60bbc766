from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_edge.engines.backend import Backend, TextFeatures
from sam3_edge.engines.manifest import Phrase
from sam3_edge.errors import PromptError, UsageError
from sam3_edge.runtime.decoder import prompt_batch
from sam3_edge.runtime.prompts import (
    Prompt,
    check_prompt_texts,
    choose_thresholds,
    join_threshold,
    split_threshold,
    unknown_phrase_warning,
)
from sam3_edge.runtime.text_cache import TextCache
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


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("fish", ("fish", None)),
        ("fish:0.4", ("fish", 0.4)),
        ("fish: 1", ("fish", 1.0)),
        ("note: fish", ("note: fish", None)),
        ("fish:", ("fish:", None)),
        ("ratio 1:2:0.3", ("ratio 1:2", 0.3)),
        (":0.4", ("", 0.4)),
    ],
)
def test_a_number_after_the_last_colon_is_the_threshold(
    text: str, pair: tuple[str, float | None]
) -> None:
    assert split_threshold(text) == pair


@pytest.mark.parametrize("number", ["1.5", "-0.1", "nan", "inf", "1e9"])
def test_a_number_that_is_no_threshold_is_refused(number: str) -> None:
    with pytest.raises(
        PromptError, match=f"got {number}; .* write its threshold too: 'a:{number}:0"
    ):
        split_threshold(f"a:{number}")


@pytest.mark.parametrize("threshold", [0.0, 0.27, 1.0, 1e-7, float(np.float32(1) / 3)])
@pytest.mark.parametrize("text", ["fish", "ratio 1:2", "a:"])
def test_a_threshold_joined_is_split_again(text: str, threshold: float) -> None:
    joined = join_threshold(Prompt(text=text, threshold=threshold))
    phrase, split = split_threshold(joined)
    assert split is not None
    assert (phrase, np.float32(split)) == (text, np.float32(threshold))


@pytest.mark.parametrize("text", ["\udcff", "fish \ud83d"])
def test_what_no_output_could_write_is_refused(text: str, tokenizer: Tokenizer) -> None:
    with pytest.raises(PromptError, match="expected text in UTF-8") as refused:
        check_prompt_texts([text], tokenizer)
    str(refused.value).encode()


@pytest.mark.parametrize("text", ["x" * 10_000, " " * 10_000, "fish " * 2_000, "\x1b[31m" * 2_000])
def test_the_message_of_a_long_prompt_is_short(text: str, tokenizer: Tokenizer) -> None:
    with pytest.raises(PromptError) as refused:
        check_prompt_texts([text], tokenizer)
    assert len(str(refused.value)) < 300
    assert str(refused.value).isprintable()


def test_thresholds_come_from_the_bundle_unless_given() -> None:
    texts = ["Fish", "jellyfish", "submarine"]
    fitted = choose_thresholds(texts, None, MANIFEST)
    assert [prompt.threshold for prompt in fitted] == [0.35, 0.45, 0.25]
    assert [prompt.text for prompt in fitted] == texts
    assert {prompt.threshold for prompt in choose_thresholds(texts, 0.0, MANIFEST)} == {0.0}


def test_other_words_for_a_trained_phrase_are_asked_as_that() -> None:
    prompts = choose_thresholds(["a fish", "sea jellies", "Fish", "clownfish"], None, MANIFEST)
    assert [prompt.text for prompt in prompts] == ["a fish", "sea jellies", "Fish", "clownfish"]
    assert [prompt.asked for prompt in prompts] == ["fish", "jellyfish", None, None]
    assert [prompt.threshold for prompt in prompts] == [0.35, 0.45, 0.35, 0.25]


def test_what_is_encoded_is_what_is_asked(tmp_path: Path, tokenizer: Tokenizer) -> None:
    encoded: list[NDArray[np.int64]] = []

    def encode_text(token_ids: NDArray[np.int64]) -> TextFeatures:
        encoded.append(token_ids)
        return TextFeatures(
            features=np.zeros((len(token_ids), 32, 4), np.float32),
            mask=np.zeros((len(token_ids), 32), np.bool_),
        )

    prompt_batch(
        choose_thresholds(["fishes", "kelp"], None, MANIFEST),
        backend=cast(Backend, SimpleNamespace(encode_text=encode_text)),
        tokenizer=tokenizer,
        text_cache=TextCache(tmp_path, graph_sha256="0", shape=(32, 4), warn=pytest.fail),
        num_exemplars=1,
    )
    assert np.array_equal(np.concatenate(encoded), tokenizer.encode(["fish", "kelp"]))


@pytest.mark.parametrize("threshold", [-0.01, 1.01, float("nan")])
def test_a_threshold_outside_its_range_is_refused(threshold: float) -> None:
    with pytest.raises(UsageError, match="expected a threshold from 0 to 1"):
        choose_thresholds(["fish"], threshold, MANIFEST)


def test_only_unknown_phrases_are_warned_of() -> None:
    assert unknown_phrase_warning(" FISH", VOCABULARY) is None
    assert unknown_phrase_warning("jellyfishes", VOCABULARY) is None
    warning = unknown_phrase_warning("jelyfish", VOCABULARY)
    assert warning is not None
    assert "nearest it knows is 'jellyfish'" in warning
    assert "does not say" in (unknown_phrase_warning("fish", ()) or "")

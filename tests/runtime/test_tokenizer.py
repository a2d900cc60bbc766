"""The reference's ids, and an independent byte-pair encoder that must agree on anything."""

import gzip
import json
import unicodedata
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam3_edge.runtime.tokenizer import CONTEXT_LENGTH, Tokenizer, normalise


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer()


def test_golden_cases(tokenizer: Tokenizer, shared: Path) -> None:
    cases = json.loads((shared / "golden/sam3_tiny/tokenizer_cases.json").read_text("utf-8"))
    ids = tokenizer.encode([case["text"] for case in cases])
    assert ids.dtype == np.int64
    assert ids.tolist() == [case["ids"] for case in cases]


def test_no_texts(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode([]).shape == (0, CONTEXT_LENGTH)


@pytest.mark.parametrize("words", [0, 1, 29, 30, 31, 100])
def test_end_is_always_there(tokenizer: Tokenizer, words: int) -> None:
    text = "a " * words
    assert tokenizer.num_tokens(text) == words + 2
    (row,) = tokenizer.encode([text])
    length = min(words + 2, CONTEXT_LENGTH)
    assert row[0] == 49406
    assert row[length - 1] == 49407
    assert np.all(row[1 : length - 1] == 320)
    assert np.all(row[length:] == 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Two\t\n words ", "two words"),
        ("O\u2019Brien \u201cquoted\u201d", 'o\'brien "quoted"'),
        ("\ufb01sh \uff26ULL\u3000width", "fish full width"),
        ("cafe\u0301", "caf\u00e9"),
        ("a &amp;amp; b", "a & b"),
        ("be\x07ll\ufeff", "bell"),
        ("\udce9 lone", "\ufffd lone"),
        ("", ""),
    ],
)
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected


def test_alike_texts_have_the_same_ids(tokenizer: Tokenizer) -> None:
    first, second = tokenizer.encode(["The\u00a0FISH\u2019s tail", " the fish's  tail"])
    assert first.tolist() == second.tolist()


class Twin:
    """CLIP's encoding spelled out, on Python's own Unicode tables."""

    def __init__(self, merges_file: Path) -> None:
        lines = gzip.decompress(merges_file.read_bytes()).decode("utf-8").splitlines()
        pairs = [tuple(line.split(" ")) for line in lines]
        self.rank = {pair: rank for rank, pair in enumerate(pairs)}
        kept = [b for b in range(256) if chr(b).isprintable() and not chr(b).isspace()]
        others = [b for b in range(256) if b not in kept]
        order = [chr(b) for b in kept] + [chr(256 + k) for k in range(len(others))]
        self.letter = dict(zip(kept + others, order, strict=True))
        words = order + [c + "</w>" for c in order] + [a + b for a, b in pairs]
        self.index = {word: k for k, word in enumerate(words)}

    def ids(self, text: str) -> list[int]:
        return [self.index[symbol] for piece in pieces(text) for symbol in self.symbols(piece)]

    def symbols(self, piece: str) -> list[str]:
        word = [self.letter[byte] for byte in piece.encode("utf-8")]
        word[-1] += "</w>"
        while True:
            ranks = [self.rank.get(pair, len(self.rank)) for pair in pairwise(word)]
            if not ranks or min(ranks) == len(self.rank):
                return word
            k = ranks.index(min(ranks))
            word[k : k + 2] = [word[k] + word[k + 1]]


def pieces(text: str) -> list[str]:
    """Clitics, runs of letters, single numbers, runs of anything else that is not blank."""
    found: list[str] = []
    while text := text.lstrip():
        clitics = ("'s", "'\u017f", "'t", "'re", "'ve", "'m", "'ll", "'d")
        length = next((len(c) for c in clitics if text.startswith(c)), 0) or run_length(text)
        found.append(text[:length])
        text = text[length:]
    return found


def run_length(text: str) -> int:
    kinds = ["blank" if c.isspace() else unicodedata.category(c)[0] for c in text]
    if kinds[0] == "N":
        return 1
    letters = kinds[0] == "L"
    ends = ("blank", "N") if not letters else ("blank", "N", *"CMPSZ")
    stops = (k for k, kind in enumerate(kinds) if kind in ends or (kind == "L") != letters)
    return next(stops, len(text))


@pytest.fixture(scope="module")
def twin(root: Path) -> Twin:
    return Twin(root / "runtime/data/clip_merges.txt.gz")


ANYTHING = st.text(st.characters(exclude_categories=["Cn", "Co"]), max_size=40)
WORDS = st.lists(
    st.sampled_from(["fish", "Jellyfish", "don't", "we'll", "&amp;", "7", "\u9c7c", "...", " "]),
    max_size=12,
).map("".join)


@given(text=ANYTHING | WORDS)
def test_equals_twin(tokenizer: Tokenizer, twin: Twin, text: str) -> None:
    expected = twin.ids(normalise(text))
    assert tokenizer.num_tokens(text) == len(expected) + 2
    kept = [49406, *expected[: CONTEXT_LENGTH - 2], 49407]
    assert tokenizer.encode([text])[0].tolist() == kept + [0] * (CONTEXT_LENGTH - len(kept))


@given(text=ANYTHING | WORDS)
def test_fits_is_what_num_tokens_says(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.fits(text) == (tokenizer.num_tokens(text) <= CONTEXT_LENGTH)


def test_a_short_text_needs_no_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sam3_edge.runtime.tokenizer._clip", lambda: pytest.fail("loaded"))
    tokenizer = Tokenizer()
    assert tokenizer.fits("a" * (CONTEXT_LENGTH - 2))
    with pytest.raises(pytest.fail.Exception, match="loaded"):
        tokenizer.fits("a" * (CONTEXT_LENGTH - 1))


@given(text=ANYTHING | WORDS)
def test_normalise_leaves_single_spaces(text: str) -> None:
    plain = normalise(text)
    assert plain == " ".join(plain.split())

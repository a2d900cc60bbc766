"""Prompts as token ids: CLIP's byte-pair encoding, as SAM 3's text encoder was trained on.

SAM 3 repairs text with ftfy before it is split; `normalise` does the part of that which prompts
meet (ligatures, full-width forms, curled quotes, control characters), not mojibake.
"""

import gzip
import html
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import tokenizers

CONTEXT_LENGTH = 32
VOCABULARY_SIZE = 49_408
PADDING, START, END = 0, 49_406, 49_407

_MERGES = Path(__file__).parent / "data" / "clip_merges.txt.gz"
_SPECIAL = ["<start_of_text>", "<end_of_text>"]
# Clitics, words, single digits, everything else that is not blank. U+017F is a kind of s.
_PIECES = r"'(?:[stmd\u017F]|re|ve|ll)|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"

_LIGATURES = [0x132, 0x133, *range(0x1C4, 0x1CD), *range(0x1F1, 0x1F4), *range(0xFB00, 0xFB07)]
_WIDTHS = [0x3000, *range(0xFF01, 0xFFF0)]
_CONTROLS = [*range(9), 0xB, *range(0xE, 0x20), 0x7F, *range(0x206A, 0x2070), 0xFEFF]
_REPAIRS: dict[int, str] = {
    **{code: unicodedata.normalize("NFKC", chr(code)) for code in _LIGATURES + _WIDTHS},
    **dict.fromkeys(_CONTROLS, ""),
    **dict.fromkeys([0x2BC, *range(0x2018, 0x201C)], "'"),
    **dict.fromkeys(range(0x201C, 0x2020), '"'),
    0x149: "'n",
    0xFB05: "\u017ft",
}


def normalise(text: str) -> str:
    """`text` as the tokenizer sees it: entities and odd characters resolved, lower case, single
    spaces and none at the ends. Two prompts that normalise alike are the same prompt."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    early = whole if "<" in whole else html.unescape(whole)  # ftfy takes "<" for real markup
    repaired = unicodedata.normalize("NFC", early.translate(_REPAIRS))
    plain = html.unescape(html.unescape(repaired))
    return " ".join(plain.split()).lower()


class Tokenizer:
    """Its tables take a tenth of a second and 18 MB: they are loaded when a text must be encoded,
    which a run with cached prompts never does. One serves a whole process. Thread-safe."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """(N, 32) int64: start, the text, end, then padding.

        A text that is too long is cut so that its last token is the end; see `num_tokens`.
        """
        rows = np.full((len(texts), CONTEXT_LENGTH), PADDING, np.int64)
        for row, text in zip(rows, texts, strict=True):
            ids = self._ids(text)[: CONTEXT_LENGTH - 2]
            row[: len(ids) + 2] = [START, *ids, END]
        return rows

    def num_tokens(self, text: str) -> int:
        """Start and end included, before anything is cut: at most 32 fit."""
        return len(self._ids(text)) + 2

    def fits(self, text: str) -> bool:
        """Whether nothing of `text` is cut. Known of a short one without the tables: a token is
        at least a byte."""
        if len(normalise(text).encode()) + 2 <= CONTEXT_LENGTH:
            return True
        return self.num_tokens(text) <= CONTEXT_LENGTH

    @cached_property
    def _pieces(self) -> "tokenizers.Tokenizer":
        return _clip()  # twice where two threads are first at once, to the same effect

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._pieces.encode(normalise(text), add_special_tokens=False).ids
        return ids


def _clip() -> "tokenizers.Tokenizer":
    """Every byte, every byte that ends a word, the merges in order of rank, start and end."""
    import tokenizers
    from tokenizers import models, pre_tokenizers

    with gzip.open(_MERGES, "rt", encoding="utf-8") as file:
        merges = [(first, second) for first, second in map(str.split, file)]
    letters = _byte_letters()
    words = [*letters, *(letter + "</w>" for letter in letters), *map("".join, merges), *_SPECIAL]
    vocabulary = {word: index for index, word in enumerate(words)}
    assert len(vocabulary) == VOCABULARY_SIZE
    clip = tokenizers.Tokenizer(models.BPE(vocabulary, merges, end_of_word_suffix="</w>"))
    clip.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(_PIECES), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    clip.add_special_tokens(_SPECIAL)
    return clip


def _byte_letters() -> list[str]:
    """One printable letter for each of the 256 bytes: those that are printable in Latin-1 stand
    for themselves and come first, the others follow as U+0100 and up."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(code) for code in (*printable, *range(0x100, 0x100 + 256 - len(printable)))]

"""What the decoder graph is asked: every prompt as one row of one batch."""

from collections.abc import Sequence

from sam3_edge.engines.backend import Backend, PromptBatch, TextFeatures
from sam3_edge.engines.text_prompts import text_only_prompts
from sam3_edge.runtime.prompts import Prompt
from sam3_edge.runtime.text_cache import TextCache
from sam3_edge.runtime.tokenizer import Tokenizer


def prompt_batch(
    prompts: Sequence[Prompt],
    *,
    backend: Backend,
    tokenizer: Tokenizer,
    text_cache: TextCache,
    num_exemplars: int,
) -> PromptBatch:
    """P prompts of words alone. The text graph runs only for those that are not cached."""

    def encode(texts: Sequence[str]) -> TextFeatures:
        return backend.encode_text(tokenizer.encode(texts))

    texts = [prompt.asked or prompt.text for prompt in prompts]
    return text_only_prompts(text_cache.features(texts, encode), num_exemplars)

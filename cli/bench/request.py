"""What is asked of every frame: any number of prompts, made from the few that were named."""

from collections.abc import Callable
from pathlib import Path

from sam3_edge.engines.backend import Backend, PromptBatch
from sam3_edge.engines.bundle import Bundle
from sam3_edge.runtime.decoder import prompt_batch
from sam3_edge.runtime.one_frame import Request
from sam3_edge.runtime.prompts import Prompt, choose_thresholds
from sam3_edge.runtime.text_cache import TextCache
from sam3_edge.runtime.tokenizer import Tokenizer

_ANY_WORD = "object"


def default_prompt(bundle: Bundle) -> str:
    """The first phrase the bundle was trained on."""
    vocabulary = bundle.manifest.vocabulary
    return vocabulary[0].text if vocabulary else _ANY_WORD


def make_request(
    texts: tuple[str, ...],
    num_prompts: int,
    *,
    bundle: Bundle,
    backend: Backend,
    text_cache: Path,
    warn: Callable[[str], None],
) -> Request:
    """The first `num_prompts` of `texts`; where those are too few they are asked again and again,
    as "fish (2)": what is asked makes no difference to the time."""
    model = bundle.manifest.model
    named = choose_thresholds(texts[:num_prompts], None, bundle.manifest)
    batch = prompt_batch(
        named,
        backend=backend,
        tokenizer=Tokenizer(),
        text_cache=TextCache(
            text_cache,
            graph_sha256=bundle.manifest.graphs["text"].sha256,
            shape=(model.context_length, model.d_model),
            warn=warn,
        ),
        num_exemplars=model.num_exemplars,
    )
    rows = [number % len(named) for number in range(num_prompts)]
    prompts = tuple(
        _named_again(named[row], number // len(named)) for number, row in enumerate(rows)
    )
    return Request(
        prompts=prompts,
        batch=PromptBatch(
            text_features=batch.text_features[rows],
            exemplar_features=batch.exemplar_features[rows],
            prompt_mask=batch.prompt_mask[rows],
        ),
    )


def _named_again(prompt: Prompt, times: int) -> Prompt:
    text = f"{prompt.text} ({times + 1})" if times else prompt.text
    return Prompt(text=text, threshold=prompt.threshold)

"""What is asked of every frame, changeable while frames go by."""

from collections.abc import Callable, Sequence
from threading import Lock

from sam3_edge.engines.backend import Backend
from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.vocabulary import said_as
from sam3_edge.runtime.decoder import prompt_batch
from sam3_edge.runtime.one_frame import Request
from sam3_edge.runtime.postprocess import Suppression
from sam3_edge.runtime.prompts import (
    Prompt,
    choose_prompts,
    split_threshold,
    unknown_phrase_warning,
)
from sam3_edge.runtime.text_cache import TextCache
from sam3_edge.runtime.tokenizer import Tokenizer


class Asking:
    """Prompts of one loaded bundle. `ask` may be called from any thread, beside a running stream:
    the old prompts are answered until the new ones are encoded."""

    def __init__(
        self,
        bundle: Bundle,
        backend: Backend,
        text_cache: TextCache,
        *,
        warn: Callable[[str], None],
        crop_masks: bool = True,
        mask_bits: bool = False,
        suppression: Suppression | None = None,
    ) -> None:
        """warn: takes one line for every phrase that the model was not trained on, once."""
        self._bundle = bundle
        self._backend = backend
        self._text_cache = text_cache
        self._warn = warn
        self._tokenizer = Tokenizer()
        self._crop_masks, self._mask_bits = crop_masks, mask_bits
        self._suppression = suppression
        self._warned: set[str] = set()
        self._lock = Lock()  # one change after the other
        self._request: Request | None = None

    @property
    def current(self) -> Request:
        """Of the last `ask` that went well."""
        assert self._request is not None  # asked before anything is looked at
        return self._request

    def ask(self, prompts: Sequence[str], threshold: float | None = None) -> Request:
        """prompts: phrases, each with a threshold of its own after a colon if it has one:
        "fish:0.4". threshold: of the others; None takes what the bundle found best.

        Raises PromptError, UsageError, EngineError; what was asked before then stays.
        """
        return self.change(lambda _: prompts, threshold)

    def change(
        self,
        changed: Callable[[tuple[Prompt, ...]], Sequence[str]],
        threshold: float | None = None,
    ) -> Request:
        """`ask` what `changed` makes of what is asked now; no other change comes between."""
        with self._lock:
            now = () if self._request is None else self._request.prompts
            manifest = self._bundle.manifest
            chosen = choose_prompts(changed(now), threshold, manifest, self._tokenizer)
            self._warn_of_unknown(chosen)
            batch = prompt_batch(
                chosen,
                backend=self._backend,
                tokenizer=self._tokenizer,
                text_cache=self._text_cache,
                num_exemplars=manifest.model.num_exemplars,
            )
            self._request = Request(
                prompts=chosen,
                batch=batch,
                crop_masks=self._crop_masks,
                mask_bits=self._mask_bits,
                suppression=self._suppression,
            )
            return self._request

    def missing(self, prompts: Sequence[str]) -> bool:
        """Whether the text graph is needed to ask these."""
        vocabulary = self._bundle.manifest.vocabulary
        asked = [said_as(split_threshold(text)[0], vocabulary) for text in prompts]
        return bool(self._text_cache.missing(asked))

    def _warn_of_unknown(self, prompts: Sequence[Prompt]) -> None:
        for text in (prompt.text for prompt in prompts if prompt.text not in self._warned):
            self._warned.add(text)
            warning = unknown_phrase_warning(text, self._bundle.manifest.vocabulary)
            if warning is not None:
                self._warn(warning)

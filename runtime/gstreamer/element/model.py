"""A loaded bundle, which several elements of one process may share."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sam3_edge.engines.backend import Backend, RawOutput
from sam3_edge.engines.bundle import default_bundle_path
from sam3_edge.engines.load import load_backend, open_bundle
from sam3_edge.engines.references import read_references
from sam3_edge.errors import PromptError
from sam3_edge.runtime.decoder import prompt_batch
from sam3_edge.runtime.gstreamer.element.properties import Settings
from sam3_edge.runtime.one_frame import Request
from sam3_edge.runtime.prompts import choose_prompts, unknown_phrase_warning
from sam3_edge.runtime.self_check import SelfCheck
from sam3_edge.runtime.text_cache import TextCache, default_cache_folder
from sam3_edge.runtime.tokenizer import Tokenizer

_Done = TypeVar("_Done")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelKey:
    """What two elements must agree in to share a model. bundle: an absolute path."""

    bundle: Path
    unverified: bool
    threads: int
    self_check: bool


class Model:
    """The engine belongs to one thread, which loads it, runs it and closes it: some engines answer
    only the thread that called them first, and those of GStreamer come and go."""

    def __init__(self, key: ModelKey, warn: Callable[[str], None]) -> None:
        """Takes a second or more. Raises EngineError, BundleError."""
        self.key = key
        self._tokenizer = Tokenizer()
        self._warn = warn
        self._encoding = Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sam3-edge inference")
        try:
            self._bundle = open_bundle(key.bundle, verified_only=not key.unverified)
            self._self_check = self._make_self_check()
            self._backend = self._thread.submit(self._load).result()
        except BaseException:
            self._thread.shutdown()
            raise
        manifest = self._bundle.manifest
        self._text_cache = TextCache(
            default_cache_folder(),
            graph_sha256=manifest.graphs["text"].sha256,
            shape=(manifest.model.context_length, manifest.model.d_model),
            warn=warn,
        )

    def request(self, settings: Settings, warn: Callable[[str], None]) -> Request:
        """For any thread. warn: takes a line for each phrase the model does not know.

        Raises PromptError, UsageError, EngineError.
        """
        texts = settings.texts
        if not texts:
            raise PromptError(
                'expected at least one prompt, got none; say what to look for: sam3edge prompt="fish"'
            )
        manifest = self._bundle.manifest
        threshold = None if settings.threshold < 0 else settings.threshold
        prompts = choose_prompts(texts, threshold, manifest, self._tokenizer)
        phrases = tuple(prompt.text for prompt in prompts)
        with self._encoding:
            self._prove_text(tuple(prompt.asked or prompt.text for prompt in prompts))
            batch = prompt_batch(
                prompts,
                backend=self._backend,
                tokenizer=self._tokenizer,
                text_cache=self._text_cache,
                num_exemplars=manifest.model.num_exemplars,
            )
        for text in phrases:
            if (warning := unknown_phrase_warning(text, manifest.vocabulary)) is not None:
                warn(warning)
        return Request(prompts=prompts, batch=batch)

    def new_image(self) -> NDArray[np.uint8]:
        """(S, S, 3) uint8 RGB. Each element has one of its own: with the engine's slots those that
        come first would take them again and again, and the last would never get one."""
        return np.zeros_like(self._slot)

    def submit(self, work: Callable[[], _Done]) -> "Future[_Done]":
        """Have `work` done on the engine's thread, after what was submitted before."""
        return self._thread.submit(work)

    def run(self, image: NDArray[np.uint8], request: Request) -> RawOutput:
        """On the engine's thread only. Raises EngineError, also where the engine has drifted."""
        if self._self_check is not None and self._self_check.is_due():
            self._self_check.run(self._backend)
        np.copyto(self._slot, image)
        return self._backend.submit(0, request.batch).result()

    def close(self) -> None:
        self._thread.submit(self._backend.close).result()
        self._thread.shutdown()

    def _load(self) -> Backend:
        backend = load_backend(self._bundle, num_threads=self.key.threads or None)
        if self._self_check is not None:
            try:
                self._self_check.run(backend)
            except BaseException:
                backend.close()
                raise
        self._slot = backend.image_slot(0)
        return backend

    def _make_self_check(self) -> SelfCheck | None:
        if not self.key.self_check:
            return None
        if self._bundle.references_path is None:
            self._warn(f"{self._bundle.path} has no reference pictures: its engine is not checked")
            return None
        references = read_references(self._bundle.references_path)
        return SelfCheck(references, self._bundle.manifest.precision)

    def _prove_text(self, texts: tuple[str, ...]) -> None:
        """Before the text graph is used at all: wrong features must not reach the cache."""
        if self._self_check is not None and self._text_cache.missing(texts):
            self._self_check.run_text(self._backend)


def key_of(settings: Settings) -> ModelKey:
    folder = Path(settings.bundle).expanduser() if settings.bundle else default_bundle_path()
    return ModelKey(
        bundle=folder.absolute(),
        unverified=settings.unverified,
        threads=settings.threads,
        self_check=settings.self_check,
    )

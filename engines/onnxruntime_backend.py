"""ONNX Runtime on the CPU: the embedded default, and the reference for other engines."""

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from sam3_edge.engines.backend import Pending, PromptBatch, RawOutput, TextFeatures
from sam3_edge.engines.buffer_pool import BufferPool
from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.contract import fixed_sizes
from sam3_edge.engines.manifest import GraphSpec
from sam3_edge.engines.onnxruntime_session import (
    BoundGraph,
    available_processors,
    load_session,
    onnxruntime_errors,
)
from sam3_edge.errors import EngineError

_PER_PROMPT = ("text_features", "exemplar_features", "prompt_mask")
_ADVICE = "check free memory, or build the bundle again with `sam3-edge build`"


@dataclass(frozen=True, slots=True)
class _Submitted:
    future: Future[RawOutput]

    def result(self) -> RawOutput:
        try:
            return self.future.result()
        except CancelledError as error:
            raise EngineError("expected an open engine, got one closed before it ran") from error


class OnnxRuntimeBackend:
    """Runs an exported bundle.

    One worker thread executes what is submitted, in order. The vision graph writes its features
    into buffers that are at the same time the decoder graph's inputs. The text graph is loaded
    when the first prompt must be encoded, and not at all where all of them are cached.
    """

    def __init__(
        self, bundle: Bundle, *, num_threads: int | None = None, num_slots: int = 2
    ) -> None:
        """num_threads: for each graph; None takes every processor this process may use."""
        if num_threads is not None and num_threads < 1:
            raise EngineError(f"expected at least one engine thread, got {num_threads}")
        if num_slots < 2:
            raise EngineError(f"expected at least two image slots, got {num_slots}")
        self._bundle = bundle
        self._num_threads = num_threads or available_processors()
        self._text: onnxruntime.InferenceSession | None = None
        self._text_lock = threading.Lock()
        self._closed = False
        size = bundle.manifest.model.image_size
        self._slots = [np.zeros((size, size, 3), dtype=np.uint8) for _ in range(num_slots)]
        self._vision = self._bound_graph("vision")
        self._decoder = self._bound_graph("decoder")
        self._bind_features()
        self._outputs = {tensor.name: BufferPool() for tensor in self._spec("decoder").outputs}
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="onnxruntime")

    @property
    def num_slots(self) -> int:
        return len(self._slots)

    def image_slot(self, slot: int) -> NDArray[np.uint8]:
        return self._slots[slot]

    def submit(self, slot: int, prompts: PromptBatch) -> Pending:
        self._check_open()
        self._check_prompts(prompts)
        return _Submitted(self._worker.submit(self._execute, self._slots[slot], prompts))

    def encode_text(self, token_ids: NDArray[np.int64]) -> TextFeatures:
        session = self._text_session()
        model = self._bundle.manifest.model
        num_prompts, num_tokens = token_ids.shape
        features = np.empty((num_prompts, num_tokens, model.d_model), dtype=np.float32)
        mask = np.empty((num_prompts, num_tokens), dtype=np.bool_)
        with onnxruntime_errors(EngineError, "the text graph failed", _ADVICE):
            for chunk in self._chunks(num_prompts):
                inputs = {"token_ids": np.ascontiguousarray(token_ids[chunk], dtype=np.int64)}
                features[chunk], mask[chunk] = session.run(["text_features", "text_mask"], inputs)
        return TextFeatures(features=features, mask=mask)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._worker.shutdown(wait=True, cancel_futures=True)
        del self._vision, self._decoder
        with self._text_lock:
            self._text = None

    def _execute(self, image: NDArray[np.uint8], prompts: PromptBatch) -> RawOutput:
        """On the worker thread: vision once, the decoder for every chunk of prompts."""
        started = perf_counter()
        with onnxruntime_errors(EngineError, "the vision graph failed", _ADVICE):
            self._vision.bind_input("image", image[None])
            self._vision.run()
        seen = perf_counter()
        with onnxruntime_errors(EngineError, "the decoder graph failed", _ADVICE):
            outputs = self._take_outputs(len(prompts))
            for chunk in self._chunks(len(prompts)):
                self._decode(chunk, prompts, outputs)
        decoded = perf_counter()
        return RawOutput(
            **outputs, vision_ms=(seen - started) * 1e3, decoder_ms=(decoded - seen) * 1e3
        )

    def _decode(self, chunk: slice, prompts: PromptBatch, outputs: dict[str, NDArray[Any]]) -> None:
        """Decode some prompts straight into their rows of the outputs."""
        for tensor in self._spec("decoder").inputs:
            if tensor.name in _PER_PROMPT:
                rows = np.ascontiguousarray(getattr(prompts, tensor.name)[chunk], tensor.dtype)
                self._decoder.bind_input(tensor.name, rows)
        for name, array in outputs.items():
            self._decoder.bind_output(name, array[chunk])
        self._decoder.run()

    def _bind_features(self) -> None:
        """One set of buffers for all slots: vision and decoder of a picture run back to back."""
        for tensor in self._spec("vision").outputs:
            features = np.zeros(fixed_sizes(tensor.shape), dtype=tensor.dtype)
            self._vision.bind_output(tensor.name, features)
            self._decoder.bind_input(tensor.name, features)

    def _take_outputs(self, num_prompts: int) -> dict[str, NDArray[Any]]:
        """Other arrays than any result has that somebody still looks at."""
        return {
            tensor.name: self._outputs[tensor.name].take(
                (num_prompts, *fixed_sizes(tensor.shape[1:])), tensor.dtype
            )
            for tensor in self._spec("decoder").outputs
        }

    def _chunks(self, num_prompts: int) -> Iterator[slice]:
        most = self._bundle.manifest.max_prompts
        for start in range(0, num_prompts, most):
            yield slice(start, min(start + most, num_prompts))

    def _spec(self, name: str) -> GraphSpec:
        return self._bundle.manifest.graphs[name]

    def _bound_graph(self, name: str) -> BoundGraph:
        return BoundGraph(self._bundle.graph_path(name), self._spec(name), self._num_threads)

    def _text_session(self) -> onnxruntime.InferenceSession:
        with self._text_lock:
            self._check_open()
            if self._text is None:
                path = self._bundle.graph_path("text")
                self._text = load_session(path, self._spec("text"), self._num_threads)
            return self._text

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("expected an open engine, got one that is closed; load it again")

    def _check_prompts(self, prompts: PromptBatch) -> None:
        for tensor in self._spec("decoder").inputs:
            if tensor.name not in _PER_PROMPT:
                continue
            got, expected = getattr(prompts, tensor.name).shape, (len(prompts), *tensor.shape[1:])
            if got != expected:
                raise EngineError(f"{tensor.name}: expected shape {expected}, got {got}")

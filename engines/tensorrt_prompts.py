"""The decoder's inputs that come from the prompts: on the GPU, and there only once."""

from collections.abc import Sequence
from contextlib import ExitStack

from sam3_edge.engines.backend import PromptBatch
from sam3_edge.engines.manifest import TensorSpec
from sam3_edge.engines.tensorrt_buffer import Lane, SharedTensor, shared_tensors
from sam3_edge.engines.tensorrt_chunks import Chunks, fill_rows


class PromptInputs:
    """calls: for each call of the decoder its input tensors by name."""

    def __init__(self, lane: Lane, specs: Sequence[TensorSpec]) -> None:
        self.calls: list[dict[str, SharedTensor]] = []
        self._lane, self._specs = lane, specs
        self._tensors = ExitStack()
        # Held, so that no other batch can have its identity.
        self._loaded: PromptBatch | None = None

    def arrange(self, chunks: Chunks) -> None:
        """Allocate for calls of this size. Only when nothing is queued that reads the old ones."""
        self.close()
        self.calls = [
            shared_tensors(self._tensors, self._lane, self._specs, chunks.rows)
            for _ in range(chunks.count)
        ]

    def load(self, prompts: PromptBatch, chunks: Chunks) -> None:
        """Queue the upload, unless it is the batch that is there already.

        Another batch waits for the pictures in the engine: they read these tensors.
        """
        if prompts is self._loaded:
            return
        self._lane.stream.synchronise()
        self._loaded = None
        for tensors, rows in zip(self.calls, chunks.slices, strict=True):
            for name, tensor in tensors.items():
                fill_rows(tensor.array, getattr(prompts, name)[rows])
                tensor.upload()
        self._loaded = prompts

    def close(self) -> None:
        self.calls, self._loaded = [], None
        self._tensors.close()

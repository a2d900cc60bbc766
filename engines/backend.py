"""The one seam between the data path and whatever executes the graphs.

Asynchronous from the start: a picture is written straight into an input slot of the engine,
`submit` queues vision and decoder for it, and `Pending.result` waits. Feature maps stay with the
engine between the two graphs. ONNX Runtime, TensorRT and a recording implement it.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFeatures:
    """P encoded prompts.

    features: (P, 32, C) float32.
    mask: (P, 32) bool, True = padding.
    """

    features: NDArray[np.float32]
    mask: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptBatch:
    """P prompts as the decoder graph takes them.

    text_features: (P, 32, C) float32.
    exemplar_features: (P, E, C) float32; zeros where there is no exemplar.
    prompt_mask: (P, 33 + E) bool, True = not attended to. Slots 0..31 are text, slot 32 is the
        image token, the others are exemplars. Without exemplars theirs are True; with them the
        image token's is True (DESIGN: the exemplar encoder's own class token takes its place).
    """

    text_features: NDArray[np.float32]
    exemplar_features: NDArray[np.float32]
    prompt_mask: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.text_features)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawOutput:
    """The decoder graph's outputs for one picture and P prompts, untouched.

    logits: (P, Q) float32. presence: (P, 1) float32 logit. boxes: (P, Q, 4) float32, cxcywh in
    0..1 of the network's square. masks: (P, Q, 4s, 4s) float32 logits.
    vision_ms, decoder_ms: time the two graphs took.
    The arrays belong to whoever holds them: an engine writes into them again when nobody does.
    """

    logits: NDArray[np.float32]
    presence: NDArray[np.float32]
    boxes: NDArray[np.float32]
    masks: NDArray[np.float32]
    vision_ms: float
    decoder_ms: float


class Pending(Protocol):
    def result(self) -> RawOutput:
        """Wait for the outputs. Raises EngineError if the engine failed. May be called again."""


class Backend(Protocol):
    """Executes one bundle. Not thread-safe but for `encode_text`, which may run beside `submit`."""

    @property
    def num_slots(self) -> int:
        """At least two, so that one picture is prepared while another is in the engine."""

    def image_slot(self, slot: int) -> NDArray[np.uint8]:
        """(S, S, 3) uint8 RGB, writable; valid until `close`. Free again after `result`."""

    def submit(self, slot: int, prompts: PromptBatch) -> Pending:
        """Queue the picture in `slot`. More prompts than the engine's maximum go in chunks."""

    def encode_text(self, token_ids: NDArray[np.int64]) -> TextFeatures:
        """token_ids: (P, 32) int64, padding 0."""

    def close(self) -> None:
        """Release everything. Safe to call twice."""

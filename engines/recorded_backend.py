"""A backend without an engine: it plays recorded outputs back, and remembers what it was given."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3_edge.engines.backend import Pending, PromptBatch, RawOutput, TextFeatures
from sam3_edge.errors import EngineError


@dataclass(frozen=True, slots=True)
class _Played:
    outcome: RawOutput | EngineError

    def result(self) -> RawOutput:
        if isinstance(self.outcome, EngineError):
            raise self.outcome
        return self.outcome


class RecordedBackend:
    """Gives `outcomes` in order, one a submit; an EngineError among them is raised by `result`.

    submitted: a copy of every picture, (S, S, 3) uint8, and its prompts, in order.
    """

    def __init__(
        self,
        outcomes: Sequence[RawOutput | EngineError],
        *,
        image_size: int,
        d_model: int,
        num_slots: int = 2,
    ) -> None:
        self.submitted: list[tuple[NDArray[np.uint8], PromptBatch]] = []
        self.closed = False
        self._outcomes = tuple(outcomes)
        self._d_model = d_model
        self._slots = [
            np.zeros((image_size, image_size, 3), dtype=np.uint8) for _ in range(num_slots)
        ]

    @property
    def num_slots(self) -> int:
        return len(self._slots)

    def image_slot(self, slot: int) -> NDArray[np.uint8]:
        return self._slots[slot]

    def submit(self, slot: int, prompts: PromptBatch) -> Pending:
        number = len(self.submitted)
        if number >= len(self._outcomes):
            raise EngineError(f"expected at most {number} submits, as recorded, got one more")
        self.submitted.append((self._slots[slot].copy(), prompts))
        return _Played(self._outcomes[number])

    def encode_text(self, token_ids: NDArray[np.int64]) -> TextFeatures:
        """Each feature is its token's number, so that prompts can be told apart."""
        features = np.repeat(token_ids[:, :, None].astype(np.float32), self._d_model, axis=2)
        return TextFeatures(features=features, mask=token_ids == 0)

    def close(self) -> None:
        self.closed = True

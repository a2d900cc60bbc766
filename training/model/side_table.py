"""Constants of the model that depend on how many tokens its picture has a side."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class SideTable(nn.Module):
    """make(side): of the configured side as a buffer, which is what an exported graph holds; of any
    other when a picture of that size first comes, kept from then on.
    """

    value: Tensor

    def __init__(self, make: Callable[[int], Tensor], side: int) -> None:
        super().__init__()
        self.make, self.side = make, side
        self.register_buffer("value", make(side), persistent=False)
        self._others: dict[int, Tensor] = {}

    def at(self, side: int) -> Tensor:
        """In the type and on the device of the buffer."""
        if side == self.side:
            return self.value
        held = self._others.get(side)
        if held is None or (held.device, held.dtype) != (self.value.device, self.value.dtype):
            # What inference asks for first, training may save for its backward pass.
            with torch.inference_mode(False):
                held = self._others[side] = self.make(side).to(self.value)
        return held

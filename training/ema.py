"""The exponential moving average of what is trained: less noisy than any single step's weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Follows the trained parameters and the floating buffers of `model`, where they are.

    After update n, counted from 0, the average is d of its old self and 1 - d of the model, with
    d = min(decay, (1 + n) / (10 + n)): a short run is not dominated by its first weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self._live: dict[str, Tensor] = {
            n: p for n, p in model.named_parameters() if p.requires_grad
        }
        kept = model.state_dict(keep_vars=True)  # without the tables that never change
        self._live |= {
            n: b for n, b in model.named_buffers() if b.is_floating_point() and n in kept
        }
        self._average = {name: tensor.detach().clone() for name, tensor in self._live.items()}

    @torch.no_grad()
    def update(self) -> None:
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        live = [tensor.detach() for tensor in self._live.values()]
        torch._foreach_lerp_(list(self._average.values()), live, 1.0 - decay)
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the averaged weights for as long as this lasts."""
        trained = {name: tensor.detach().clone() for name, tensor in self._live.items()}
        self._put(self._average)
        try:
            yield
        finally:
            self._put(trained)

    def state_dict(self) -> dict[str, Tensor | int]:
        return {**self._average, "updates": self.updates}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor | int]) -> None:
        """state: of a model of the same shape, frozen in the same parts. One written before had the
        tables too, which are passed over.
        """
        assert state.keys() >= {*self._average, "updates"}
        for name, tensor in self._average.items():
            kept = state[name]
            assert isinstance(kept, Tensor)
            tensor.copy_(kept)
        self.updates = int(state["updates"])

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, tensor in self._live.items():
            tensor.copy_(values[name])

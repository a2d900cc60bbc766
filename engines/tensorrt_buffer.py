"""Tensors that both the processor and the GPU reach."""

import math
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3_edge.engines.cuda_device import CudaDevice, CudaStream
from sam3_edge.engines.manifest import TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One stream of a device, and how inputs and outputs reach it.

    mapped: the GPU reads and writes the processor's memory itself, which costs nothing where they
        share it; otherwise tensors are copied.
    """

    device: CudaDevice
    stream: CudaStream
    mapped: bool


class SharedTensor:
    """An input or output of an engine.

    array: as the processor sees it. address: as the GPU does.
    """

    def __init__(self, lane: Lane, spec: TensorSpec, num_prompts: int = 1) -> None:
        """num_prompts: the size of the prompt axis, where the tensor has one."""
        size = num_bytes(spec, num_prompts)
        self._stream, self._copied = lane.stream, not lane.mapped
        with ExitStack() as stack:
            host = lane.device.allocate_host(size, spec.name, mapped=lane.mapped)
            stack.enter_context(closing(host))
            self._bytes = host.array
            self.array: NDArray[Any] = host.array.view(spec.dtype).reshape(sizes(spec, num_prompts))
            self.address = host.address
            if self._copied:
                memory = lane.device.allocate(size, spec.name)
                self.address = stack.enter_context(closing(memory)).address
            self._memory = stack.pop_all()

    def upload(self) -> None:
        """Queue the way to the GPU, where there is one to go."""
        if self._copied:
            self._stream.upload(self.address, self._bytes)

    def download(self) -> None:
        if self._copied:
            self._stream.download(self._bytes, self.address)

    def close(self) -> None:
        # Pinned memory stays as long as a view of it does.
        self.array = self._bytes = np.empty(0, dtype=np.uint8)
        self._memory.close()


def shared_tensors(
    stack: ExitStack, lane: Lane, specs: Sequence[TensorSpec], num_prompts: int = 1
) -> dict[str, SharedTensor]:
    """By name; closed with the stack."""
    return {
        spec.name: stack.enter_context(closing(SharedTensor(lane, spec, num_prompts)))
        for spec in specs
    }


def sizes(spec: TensorSpec, num_prompts: int) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else num_prompts for size in spec.shape)


def num_bytes(spec: TensorSpec, num_prompts: int = 1) -> int:
    return math.prod(sizes(spec, num_prompts)) * np.dtype(spec.dtype).itemsize


def addresses(tensors: dict[str, SharedTensor]) -> dict[str, int]:
    return {name: tensor.address for name, tensor in tensors.items()}

"""What autograd keeps of a forward pass: every storage once, and which part of the model saved it.

Each is let go of as soon as it is counted, so that a model that does not fit can be counted too.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef

from sam3_edge.training.activation_checkpointing import checkpointable_blocks
from sam3_edge.training.config.schema import Precision
from sam3_edge.training.data.targets import Batch
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.outputs import DetectorOutput
from sam3_edge.training.non_finite import tensors_of


@dataclass(slots=True)
class SavedStorage:
    """A storage that autograd saves. outside: saved outside of any block, or the input of one.
    blocks: that save it. beyond_trunk: saved by something else than the trunk. held: the caller's,
    to the end. of_weights: a parameter in another type, there once however large the batch is.
    """

    reference: StorageWeakRef
    size: int
    of_weights: bool
    outside: bool = False
    beyond_trunk: bool = False
    held: bool = False
    blocks: set[int] = field(default_factory=set)

    def bytes_at(self, share: float) -> int:
        return self.size if self.of_weights else math.ceil(self.size * share)


def count_saved(
    model: Detector,
    batch: Batch,
    loss: Callable[[DetectorOutput], Tensor],
    precision: Precision,
) -> list[SavedStorage]:
    parameters = list(model.parameters())
    # A weak reference keeps a storage's address from being used again for another one.
    own = {t.untyped_storage()._cdata for t in (*parameters, *model.buffers())}  # noqa: SLF001
    shapes = {tuple(sorted(p.shape)) for p in parameters if p.ndim > 1}
    saved: dict[int, SavedStorage] = {}
    block: list[int] = []
    in_trunk: list[int] = []

    def keep(tensor: Tensor, *, outside: bool, held: bool = False) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata in own:  # noqa: SLF001
            return
        cast = tensor.dtype in (torch.bfloat16, torch.float16)
        entry = saved.setdefault(
            storage._cdata,  # noqa: SLF001
            SavedStorage(
                reference=StorageWeakRef(storage),  # type: ignore[no-untyped-call]
                size=storage.nbytes(),
                of_weights=cast and tuple(sorted(tensor.shape)) in shapes,
            ),
        )
        entry.outside |= outside
        entry.held |= held
        entry.beyond_trunk |= not in_trunk
        entry.blocks.update(block)

    def pack(tensor: Tensor) -> None:
        keep(tensor, outside=not block)

    def inputs(value: object) -> None:
        for tensor in tensors_of(value):
            if tensor.requires_grad:
                keep(tensor, outside=True)

    device = batch.images.device.type
    dtype = torch.float16 if precision is Precision.fp16 else torch.bfloat16
    enabled = precision is not Precision.fp32
    with (
        _within(checkpointable_blocks(model), block, inputs),
        _within((model.backbone.vision_backbone.trunk,), in_trunk, lambda _: None),
        saved_tensors_hooks(pack, _never_unpacked),
    ):
        with torch.autocast(device, dtype=dtype, enabled=enabled):
            output = model(
                batch.images, batch.token_ids, batch.image_index, batch.exemplars, batch.noised
            )
        loss(output)
        for tensor in tensors_of((output, batch)):
            keep(tensor, outside=True, held=True)
    return list(saved.values())


@contextmanager
def _within(
    modules: tuple[nn.Module, ...], inside: list[int], inputs: Callable[[object], None]
) -> Iterator[None]:
    """`inside` holds the number of the module that runs, and `inputs` is told what it is given."""

    def enter(number: int) -> Callable[..., None]:
        def hook(_module: nn.Module, positional: Any, named: Any) -> None:
            inputs((positional, named))
            inside.append(number)

        return hook

    def leave(*_: object) -> None:
        inside.pop()

    handles = [
        m.register_forward_pre_hook(enter(i), with_kwargs=True) for i, m in enumerate(modules)
    ]
    handles += [m.register_forward_hook(leave) for m in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _never_unpacked(_: None) -> Tensor:
    raise AssertionError("the estimate has no backward pass")

"""Activations of whole blocks computed a second time in the backward pass instead of kept.

Source: arXiv:1604.06174. Memory falls to one block's activations and every block's input, for
about a third more time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from sam3_edge.training.model.detector import Detector


def checkpointable_blocks(model: Detector) -> tuple[nn.Module, ...]:
    """Blocks of the trunk, layers of the fusion encoder and of the decoder, in order of use."""
    transformer = model.transformer
    return (
        *model.backbone.vision_backbone.trunk.blocks,
        *transformer.encoder.layers,
        *transformer.decoder.layers,
    )


def checkpoint_activations(model: Detector) -> None:
    """From now on these blocks keep only their inputs while they are trained.

    Parameters, their names and what is computed stay as they are; so do copies of the model. In
    evaluation mode and without gradients nothing is different at all.
    """
    for block in checkpointable_blocks(model):
        block.forward = partial(_checkpointed, block)


def is_checkpointed(model: Detector) -> bool:
    return any("forward" in vars(block) for block in checkpointable_blocks(model))


@contextmanager
def without_checkpointing(model: Detector) -> Iterator[None]:
    """Every activation is kept for as long as this lasts."""
    blocks = [block for block in checkpointable_blocks(model) if "forward" in vars(block)]
    for block in blocks:
        del block.forward
    try:
        yield
    finally:
        for block in blocks:
            block.forward = partial(_checkpointed, block)


def _checkpointed(block: nn.Module, *inputs: Any, **named: Any) -> Any:
    plain = type(block).forward
    if not (block.training and torch.is_grad_enabled()):
        return plain(block, *inputs, **named)
    return checkpoint(plain, block, *inputs, use_reentrant=False, **named)

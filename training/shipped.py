"""The detector as it is judged and handed over: whole, with averaged weights."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from lightning.fabric.strategies.fsdp import FSDPStrategy
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from sam3_edge.training.ema import WeightAverage
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.step import Trainee


@contextmanager
def shipped_detector(trainee: Trainee, average: WeightAverage | None) -> Iterator[Detector]:
    """In evaluation mode, for as long as this lasts; the same in every process. Training goes on
    with the weights of the last step. To be called by all processes.
    """
    with nullcontext() if average is None else average.applied():
        detector = trainee.objective.detector
        if isinstance(trainee.fabric.strategy, FSDPStrategy):
            yield _whole(trainee)
            return
        if trainee.fabric.world_size > 1:
            # Statistics of norms are each process's own.
            for buffer in detector.buffers():
                torch.distributed.broadcast(buffer, 0)
        detector.eval()
        try:
            yield detector
        finally:
            trainee.objective.train()


def _whole(trainee: Trainee) -> Detector:
    """A copy that no longer has to be gathered from all processes."""
    options = StateDictOptions(full_state_dict=True)
    inside = trainee.module._forward_module  # noqa: SLF001
    state = get_model_state_dict(inside, options=options)
    prefix = "detector."
    detector = Detector(trainee.objective.detector.config).to(trainee.fabric.device).eval()
    detector.load_state_dict({n.removeprefix(prefix): t for n, t in state.items()})
    return detector

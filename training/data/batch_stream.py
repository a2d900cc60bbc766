"""Micro-batches as they come out of the processes that prepare them."""

import atexit
import os
import signal
from collections.abc import Iterator

import cv2
import torch
from torch.utils.data import DataLoader

from sam3_edge.errors import DatasetError
from sam3_edge.training.data.mixture import Mixture
from sam3_edge.training.data.targets import Batch

# Micro-batches each process has ready.
AHEAD = 4


def batch_stream(mixture: Mixture, *, num_workers: int, context: str) -> Iterator[Batch]:
    """Without an end, in the mixture's order whatever `num_workers` is. Raises DatasetError.

    context: how the processes are started. A forked one would inherit OpenCV's threads half alive,
    and wait for them for ever.
    """
    loader = DataLoader(
        mixture,
        batch_size=None,
        num_workers=num_workers,
        prefetch_factor=AHEAD if num_workers else None,
        worker_init_fn=_set_up_worker,
        multiprocessing_context=context if num_workers else None,
        # Its own: one drawn number is one that a continued run would not draw.
        generator=torch.Generator(),
    )
    for batch in loader:
        if isinstance(batch, DatasetError):
            raise batch
        yield batch


def _set_up_worker(_number: int) -> None:
    """Ctrl-C reaches every process of the terminal; the one that trains ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # All that a worker has to say is said by then; taking the interpreter down under the threads of
    # its libraries aborts now and then, which the process that trains would take for a failure.
    atexit.register(os._exit, 0)
    cv2.setNumThreads(1)

"""An engine, warm, with what it will be asked, and with a note of which threads are its own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam3_edge.bench.cpu import MeasuredBackend, ThreadOwners
from sam3_edge.bench.memory import device_memory
from sam3_edge.bench.request import make_request
from sam3_edge.engines.backend import Backend, PromptBatch
from sam3_edge.engines.bundle import Bundle
from sam3_edge.runtime.one_frame import Request
from sam3_edge.runtime.preprocess import preprocess

_ROUNDS_A_SLOT = 3  # with CUDA graphs the third is the first that is replayed
# What is looked at makes no difference to the engine's time.
_GREY = np.full((64, 64, 3), 127, dtype=np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """device_bytes: what it has taken of the GPU's memory so far."""

    backend: MeasuredBackend
    request: Request
    owners: ThreadOwners
    device_bytes: Callable[[], int | None]


@contextmanager
def load_warm(
    bundle: Bundle,
    open_backend: Callable[[], Backend],
    texts: tuple[str, ...],
    num_prompts: int,
    *,
    owners: ThreadOwners,
    text_cache: Path,
    warn: Callable[[str], None],
) -> Iterator[Loaded]:
    """Closes the engine in the end. Raises EngineError, BundleError."""
    with ExitStack() as stack:
        owners.mark()
        taken = stack.enter_context(device_memory(bundle.manifest.backend))
        backend = MeasuredBackend(stack.enter_context(closing(open_backend())))
        request = make_request(
            texts, num_prompts, bundle=bundle, backend=backend, text_cache=text_cache, warn=warn
        )
        _warm(backend, request.batch, _GREY)
        owners.claim_engine()
        yield Loaded(backend=backend, request=request, owners=owners, device_bytes=taken)


def _warm(backend: Backend, batch: PromptBatch, picture: NDArray[np.uint8]) -> None:
    """Every slot is filled, and has run as often as it takes until all threads are there."""
    for slot in range(backend.num_slots):
        preprocess(picture, backend.image_slot(slot))
    for number in range(_ROUNDS_A_SLOT * backend.num_slots):
        backend.submit(number % backend.num_slots, batch).result()

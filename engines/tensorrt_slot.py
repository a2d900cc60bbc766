"""What belongs to one picture on its way through the engines, and its result."""

import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import Any

from numpy.typing import NDArray

from sam3_edge.engines.backend import RawOutput
from sam3_edge.engines.buffer_pool import BufferPool
from sam3_edge.engines.manifest import TensorSpec
from sam3_edge.engines.tensorrt_buffer import Lane, SharedTensor, shared_tensors, sizes
from sam3_edge.engines.tensorrt_capture import CapturedWork, CaptureSwitch
from sam3_edge.engines.tensorrt_chunks import Chunks
from sam3_edge.errors import EngineError


class ImageSlot:
    """One picture, its outputs, the events between its graphs and their captured work.

    Outputs are the slot's own: another slot's picture may run before these are fetched.
    image: (1, S, S, 3) uint8. outputs: for each call of the decoder its tensors by name.
    vision, decoder: the work; one piece of the decoder's for each call.
    """

    def __init__(
        self,
        lane: Lane,
        switch: CaptureSwitch,
        image: TensorSpec,
        outputs: Sequence[TensorSpec],
        enqueue_vision: Callable[["ImageSlot"], None],
        enqueue_decoder: Callable[["ImageSlot", int], None],
    ) -> None:
        self._lane, self._switch, self._output_specs = lane, switch, outputs
        self._enqueue_decoder = enqueue_decoder
        self._chunks: Chunks | None = None
        self._submitted: weakref.ref[Submitted] | None = None
        self.outputs: list[dict[str, SharedTensor]] = []
        self.decoder: list[CapturedWork] = []
        self.copies = {spec.name: BufferPool() for spec in outputs}
        with ExitStack() as stack:
            self.image = shared_tensors(stack, lane, [image])[image.name]
            self.started, self.seen, self.decoded = (
                stack.enter_context(closing(lane.device.create_event())) for _ in range(3)
            )
            work = CapturedWork(lambda: enqueue_vision(self), lane, switch)
            self.vision = stack.enter_context(closing(work))
            self._decoder_resources = stack.enter_context(ExitStack())
            self._resources = stack.pop_all()

    def in_flight(self) -> "Submitted | None":
        """The picture whose result somebody may still fetch."""
        submitted = None if self._submitted is None else self._submitted()
        return None if submitted is None or submitted.is_done else submitted

    def arrange(self, chunks: Chunks) -> None:
        """Allocate outputs for decoder calls of this size, if they have another.

        Only after whoever changed the size waited: nothing of this slot may be queued.
        """
        if self._chunks is not None and _size(self._chunks) == _size(chunks):
            return
        self._decoder_resources.close()
        self._chunks, self.outputs, self.decoder = None, [], []
        for call in range(chunks.count):
            self._add_call(call, chunks.rows)
        self._chunks = chunks

    def forget_decoder(self) -> None:
        """Its shapes or inputs are others now."""
        for work in self.decoder:
            work.forget()

    def submitted(self, chunks: Chunks) -> "Submitted":
        """Everything of this picture is queued: its result, to be fetched later."""
        submitted = Submitted(self, chunks, self._output_specs)
        self._submitted = weakref.ref(submitted)
        return submitted

    def close(self) -> None:
        submitted = self.in_flight()
        if submitted is not None:
            submitted.give_up()
        self._resources.close()

    def _add_call(self, call: int, rows: int) -> None:
        stack = self._decoder_resources
        self.outputs.append(shared_tensors(stack, self._lane, self._output_specs, rows))
        work = CapturedWork(lambda: self._enqueue_decoder(self, call), self._lane, self._switch)
        self.decoder.append(stack.enter_context(closing(work)))


class Submitted:
    """`Pending` of a picture in a slot."""

    def __init__(self, slot: ImageSlot, chunks: Chunks, specs: Sequence[TensorSpec]) -> None:
        self._slot, self._chunks, self._specs = slot, chunks, specs
        self._outcome: RawOutput | EngineError | None = None

    @property
    def is_done(self) -> bool:
        return self._outcome is not None

    def result(self) -> RawOutput:
        if self._outcome is None:
            self._outcome = self._fetched()
        if isinstance(self._outcome, EngineError):
            raise self._outcome
        return self._outcome

    def give_up(self) -> None:
        self._outcome = EngineError(
            "expected an open engine, got one closed before this result was fetched"
        )

    def _fetched(self) -> RawOutput | EngineError:
        slot = self._slot
        try:
            slot.decoded.wait()
            vision_ms = slot.seen.milliseconds_since(slot.started)
            decoder_ms = slot.decoded.milliseconds_since(slot.seen)
        except EngineError as error:
            return error
        return RawOutput(**self._copies(), vision_ms=vision_ms, decoder_ms=decoder_ms)

    def _copies(self) -> dict[str, NDArray[Any]]:
        """The slot's own are written again by its next picture."""
        copies = {
            spec.name: self._slot.copies[spec.name].take(
                sizes(spec, self._chunks.num_prompts), spec.dtype
            )
            for spec in self._specs
        }
        for tensors, rows in zip(self._slot.outputs, self._chunks.slices, strict=False):
            for name, copy in copies.items():
                copy[rows] = tensors[name].array[: rows.stop - rows.start]
        return copies


def _size(chunks: Chunks) -> tuple[int, int]:
    return chunks.rows, chunks.count

"""TensorRT, and TensorRT-RTX: the engines of a bundle on the first GPU."""

import threading
from collections.abc import Mapping
from contextlib import ExitStack, closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3_edge.engines.backend import Pending, PromptBatch, TextFeatures
from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.cuda_device import CudaDevice, DeviceMemory, log, open_device
from sam3_edge.engines.tensorrt_api import TensorRT, open_tensorrt
from sam3_edge.engines.tensorrt_buffer import Lane, addresses, num_bytes
from sam3_edge.engines.tensorrt_capture import CaptureSwitch
from sam3_edge.engines.tensorrt_chunks import Chunks, plan_chunks
from sam3_edge.engines.tensorrt_graph import GraphEngine
from sam3_edge.engines.tensorrt_prompts import PromptInputs
from sam3_edge.engines.tensorrt_run import run_alone
from sam3_edge.engines.tensorrt_slot import ImageSlot
from sam3_edge.errors import BundleError, EngineError

_PER_PROMPT = ("text_features", "exemplar_features", "prompt_mask")


class TensorRTBackend:
    """Runs a bundle of compiled engines.

    Vision and decoder of all pictures are queued on one stream, so the feature maps need no second
    copy: the vision engine's output buffers are the decoder's input buffers. Inputs and outputs
    are the slot's own; a slot is refused until the result of its last picture was fetched or
    dropped. A batch of prompts goes to the GPU when it is first submitted: its arrays must not be
    written after that. The text and exemplar engines are loaded for one call and released.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: CudaDevice | None = None,
        tensorrt: TensorRT | None = None,
        num_slots: int = 2,
        cuda_graphs: bool = True,
        zero_copy: bool | None = None,
    ) -> None:
        """device, tensorrt: None opens this machine's. A device given is not closed.

        cuda_graphs: capture vision and decoder for every slot, and replay them.
        zero_copy: inputs and outputs in the processor's memory, mapped for the GPU; None where
            GPU and processor share their memory.
        Raises EngineError, BundleError.
        """
        if num_slots < 2:
            raise EngineError(f"expected at least two image slots, got {num_slots}")
        self._bundle = bundle
        self._fewest, self._most = _prompt_limits(bundle)
        self._decoder_size: tuple[int, int] | None = None
        self._text_lock = threading.Lock()
        self._closed = False
        with ExitStack() as stack:
            if device is None:
                device = stack.enter_context(closing(open_device()))
            self._tensorrt = tensorrt or _open_tensorrt(bundle)
            self._lane = self._create_lane(stack, device, zero_copy)
            self._switch = CaptureSwitch(wanted=cuda_graphs, possible=device.can_capture)
            self._vision = stack.enter_context(closing(self._load("vision")))
            self._decoder = stack.enter_context(closing(self._load("decoder")))
            self._features = self._allocate_features(stack)
            self._prompts = self._create_prompts(stack)
            self._slots = [self._create_slot(stack) for _ in range(num_slots)]
            stack.callback(self._finish)
            self._resources = stack.pop_all()

    @property
    def num_slots(self) -> int:
        return len(self._slots)

    def image_slot(self, slot: int) -> NDArray[np.uint8]:
        """The memory the engine reads, or that is copied to it: nothing comes between."""
        self._check_open()
        image: NDArray[np.uint8] = self._slots[slot].image.array[0]
        return image

    def submit(self, slot: int, prompts: PromptBatch) -> Pending:
        self._check_open()
        self._check_prompts(prompts)
        place = self._slots[slot]
        if place.in_flight() is not None:
            raise EngineError(
                f"image slot {slot}: expected a free one, got one whose result was not fetched; "
                "call result() of its last picture, or take another slot"
            )
        chunks = plan_chunks(len(prompts), self._fewest, self._most)
        if chunks.count:
            self._arrange_decoder(chunks)
            place.arrange(chunks)
            self._prompts.load(prompts, chunks)
        self._enqueue(place, chunks)
        return place.submitted(chunks)

    def encode_text(self, token_ids: NDArray[np.int64]) -> TextFeatures:
        inputs = {"token_ids": np.asarray(token_ids, dtype=np.int64)}
        outputs = self._run_loaded("text", inputs)
        return TextFeatures(features=outputs["text_features"], mask=outputs["text_mask"])

    def run_graph(self, name: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """One graph alone: "vision", "text", "decoder" or "exemplar". Waits for the result.

        inputs: every input of the manifest's graph, of its dtype and shape.
        """
        self._check_open()
        if name not in self._bundle.manifest.graphs:
            known = ", ".join(self._bundle.manifest.graphs)
            raise EngineError(f"expected one of the graphs {known}, got {name}")
        if name not in ("vision", "decoder"):
            return self._run_loaded(name, inputs)
        self._lane.stream.synchronise()
        if name == "vision":
            return run_alone(self._vision, self._lane, inputs, self._fewest, self._most)
        self._decoder_size = None  # another shape: what was captured is worth nothing
        return run_alone(self._decoder, self._lane, inputs, self._fewest, self._most)

    def close(self) -> None:
        with self._text_lock:
            if self._closed:
                return
            self._closed = True
        self._resources.close()

    def _enqueue(self, slot: ImageSlot, chunks: Chunks) -> None:
        stream = self._lane.stream
        slot.started.record(stream)
        slot.vision.run()
        slot.seen.record(stream)
        for work in slot.decoder[: chunks.count]:
            work.run()
        slot.decoded.record(stream)

    def _enqueue_vision(self, slot: ImageSlot) -> None:
        slot.image.upload()
        self._vision.bind({"image": slot.image.address, **self._feature_addresses()})
        self._vision.enqueue(self._lane.stream.handle)

    def _enqueue_decoder(self, slot: ImageSlot, call: int) -> None:
        outputs = slot.outputs[call]
        self._decoder.bind(
            self._feature_addresses() | addresses(self._prompts.calls[call]) | addresses(outputs)
        )
        self._decoder.enqueue(self._lane.stream.handle)
        for tensor in outputs.values():
            tensor.download()

    def _arrange_decoder(self, chunks: Chunks) -> None:
        """Another number of prompts: other shapes and buffers, so all must be captured again."""
        size = chunks.rows, chunks.count
        if size == self._decoder_size:
            return
        self._lane.stream.synchronise()
        self._decoder_size = None
        for slot in self._slots:
            slot.forget_decoder()
        self._prompts.arrange(chunks)
        self._decoder.set_prompts(chunks.rows)
        self._decoder_size = size

    def _run_loaded(self, name: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Load the engine, run it on a stream of its own, release it: text may come any time."""
        with self._text_lock, ExitStack() as stack:
            self._check_open()
            lane = self._create_lane(stack, self._lane.device, self._lane.mapped)
            graph = stack.enter_context(closing(self._load(name)))
            return run_alone(graph, lane, inputs, self._fewest, self._most)

    def _load(self, name: str) -> GraphEngine:
        return GraphEngine(self._tensorrt, self._lane.device, self._bundle, name)

    def _create_lane(self, stack: ExitStack, device: CudaDevice, mapped: bool | None) -> Lane:
        stream = stack.enter_context(closing(device.create_stream()))
        return Lane(
            device=device, stream=stream, mapped=device.integrated if mapped is None else mapped
        )

    def _allocate_features(self, stack: ExitStack) -> dict[str, DeviceMemory]:
        return {
            spec.name: stack.enter_context(
                closing(self._lane.device.allocate(num_bytes(spec), spec.name))
            )
            for spec in self._vision.spec.outputs
        }

    def _feature_addresses(self) -> dict[str, int]:
        return {name: memory.address for name, memory in self._features.items()}

    def _create_prompts(self, stack: ExitStack) -> PromptInputs:
        specs = [spec for spec in self._decoder.spec.inputs if spec.name in _PER_PROMPT]
        return stack.enter_context(closing(PromptInputs(self._lane, specs)))

    def _create_slot(self, stack: ExitStack) -> ImageSlot:
        slot = ImageSlot(
            self._lane,
            self._switch,
            self._vision.spec.inputs[0],
            self._decoder.spec.outputs,
            self._enqueue_vision,
            self._enqueue_decoder,
        )
        return stack.enter_context(closing(slot))

    def _finish(self) -> None:
        """Nothing may be queued when memory goes back."""
        try:
            self._lane.stream.synchronise()
        except EngineError as error:
            log.warning("closing an engine that failed: %s", error)

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("expected an open engine, got one that is closed; load it again")

    def _check_prompts(self, prompts: PromptBatch) -> None:
        for spec in self._decoder.spec.inputs:
            if spec.name not in _PER_PROMPT:
                continue
            got, expected = getattr(prompts, spec.name).shape, (len(prompts), *spec.shape[1:])
            if got != expected:
                raise EngineError(f"{spec.name}: expected shape {expected}, got {got}")


def _open_tensorrt(bundle: Bundle) -> TensorRT:
    kind = bundle.manifest.backend
    if kind == "onnxruntime":
        raise EngineError(
            f"{bundle.path}: expected a bundle of TensorRT engines, got one of graphs; "
            "build engines from it with `sam3-edge build`"
        )
    return open_tensorrt(kind)


def _prompt_limits(bundle: Bundle) -> tuple[int, int]:
    """The fewest and the most prompts in one call of the engines."""
    built_on = bundle.manifest.built_on
    profile = () if built_on is None else built_on.prompt_profile
    if len(profile) != 3 or not 1 <= profile[0] <= profile[1] <= profile[2]:
        raise BundleError(
            f"{bundle.path}: built_on.prompt_profile: expected the fewest, usual and most prompts "
            f"in one call, got {profile}; build the bundle again"
        )
    return profile[0], profile[2]

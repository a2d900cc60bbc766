"""One engine of a bundle, loaded with TensorRT and checked against its manifest entry."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.cuda_device import CudaDevice, out_of_memory
from sam3_edge.engines.manifest import GraphSpec, TensorSpec
from sam3_edge.engines.tensorrt_api import EngineContext, EngineTensor, LoadedEngine, TensorRT
from sam3_edge.engines.tensorrt_buffer import sizes
from sam3_edge.errors import BundleError, EngineError


class GraphEngine:
    """A loaded engine with one context: one execution at a time."""

    def __init__(self, tensorrt: TensorRT, device: CudaDevice, bundle: Bundle, name: str) -> None:
        """Raises EngineError for a foreign engine, BundleError for one the manifest lies about."""
        self.name = name
        self.spec: GraphSpec = bundle.manifest.graphs[name]
        path = bundle.graph_path(name)
        with ExitStack() as stack:
            engine = stack.enter_context(closing(tensorrt.load_engine(_read(path), path)))
            _check_tensors(path, engine.tensors, self.spec)
            self._context = stack.enter_context(closing(_create_context(engine, device, name)))
            self._resources = stack.pop_all()

    def bind(self, addresses: Mapping[str, int]) -> None:
        """addresses: on the device, by tensor, for the executions that follow."""
        with self._failure():
            for name, address in addresses.items():
                self._context.set_address(name, address)

    def set_prompts(self, num_prompts: int) -> None:
        with self._failure():
            for spec in self.spec.inputs:
                if is_per_prompt(spec):
                    self._context.set_input_shape(spec.name, sizes(spec, num_prompts))

    def enqueue(self, stream: int) -> None:
        with self._failure():
            self._context.enqueue(stream)

    def close(self) -> None:
        self._resources.close()

    @contextmanager
    def _failure(self) -> Iterator[None]:
        """Errors inside say which graph it was."""
        try:
            yield
        except EngineError as error:
            raise EngineError(f"the {self.name} graph failed: {error}") from error


def is_per_prompt(spec: TensorSpec) -> bool:
    return not isinstance(spec.shape[0], int)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path} cannot be loaded: {error.strerror}; copy or build the bundle again"
        ) from error


def _create_context(engine: LoadedEngine, device: CudaDevice, name: str) -> EngineContext:
    try:
        return engine.create_context()
    except EngineError as error:
        free, total = device.memory()
        if free < engine.device_memory_bytes:
            what = f"executing the {name} graph"
            raise out_of_memory(what, engine.device_memory_bytes, free, total) from error
        raise


def _check_tensors(path: Path, found: Sequence[EngineTensor], spec: GraphSpec) -> None:
    expected = {
        tensor.name: _signature(side, tensor.dtype, tensor.shape)
        for side, tensors in (("input", spec.inputs), ("output", spec.outputs))
        for tensor in tensors
    }
    got = {
        tensor.name: _signature(
            "input" if tensor.is_input else "output", tensor.dtype, tensor.shape
        )
        for tensor in found
    }
    if got != expected:
        name = next(name for name in {**expected, **got} if got.get(name) != expected.get(name))
        raise BundleError(
            f"{path} is not the engine its manifest describes: {name}: expected "
            f"{expected.get(name, 'no such tensor')}, got {got.get(name, 'no such tensor')}; "
            "build the bundle again"
        )


def _signature(side: str, dtype: str, shape: Sequence[int | str]) -> str:
    return f"{side} {dtype} ({', '.join(map(str, shape))})"

"""On a real GPU: CUDA alone, and engines of a few numbers where TensorRT is installed too.

These run only where `pytest -m gpu` finds a device; elsewhere they are not collected.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.cuda_device import CudaDevice, open_device
from sam3_edge.engines.manifest import BuiltOn
from sam3_edge.engines.onnxruntime_backend import OnnxRuntimeBackend
from sam3_edge.engines.tensorrt_api import Kind, open_tensorrt
from sam3_edge.engines.tensorrt_backend import TensorRTBackend
from sam3_edge.engines.tensorrt_device import this_device
from sam3_edge.engines.tensorrt_types import KINDS
from sam3_edge.engines.text_prompts import text_only_prompts
from sam3_edge.errors import EngineError
from tests.engines.test_tensorrt_backend import OUTPUTS, engine_bundle

pytestmark = pytest.mark.gpu


@pytest.fixture
def device() -> Iterator[CudaDevice]:
    with closing(open_device()) as opened:
        yield opened


def test_the_device_is_described(device: CudaDevice) -> None:
    assert device.name
    assert re.fullmatch(r"\d+\.\d", device.compute_capability)
    assert re.fullmatch(r"\d+\.\d+", device.driver_version)
    free, total = device.memory()
    assert 0 < free <= total


def test_bytes_go_there_and_back(device: CudaDevice) -> None:
    sent = np.random.default_rng(1).integers(0, 256, 1 << 20).astype(np.uint8)
    with ExitStack() as stack:
        stream = stack.enter_context(closing(device.create_stream()))
        memory = stack.enter_context(closing(device.allocate(sent.nbytes, "tests")))
        source, target = (
            stack.enter_context(closing(device.allocate_host(sent.nbytes, "tests", mapped=False)))
            for _ in range(2)
        )
        assert memory.address % 256 == 0
        source.array[...] = sent
        stream.upload(memory.address, source.array)
        stream.download(target.array, memory.address)
        stream.synchronise()
        np.testing.assert_array_equal(target.array, sent)


def test_mapped_memory_is_what_the_gpu_writes(device: CudaDevice) -> None:
    with ExitStack() as stack:
        stream = stack.enter_context(closing(device.create_stream()))
        host = stack.enter_context(closing(device.allocate_host(4096, "tests", mapped=True)))
        host.array[...] = 0
        assert host.address != 0
        stream.fill(host.address, 0xAB, 2048)
        stream.synchronise()
        assert (host.array[:2048] == 0xAB).all()
        assert (host.array[2048:] == 0).all()


def test_a_late_writer_meets_no_freed_memory(device: CudaDevice) -> None:
    host = device.allocate_host(1 << 20, "tests", mapped=True)
    view = host.array.reshape(1024, 1024)
    host.close()
    view[...] = 1
    assert view.sum() == 1 << 20


def test_events_wait_and_measure(device: CudaDevice) -> None:
    size = 64 << 20
    with ExitStack() as stack:
        stream = stack.enter_context(closing(device.create_stream()))
        start, end = (stack.enter_context(closing(device.create_event())) for _ in range(2))
        memory = stack.enter_context(closing(device.allocate(size, "tests")))
        host = stack.enter_context(closing(device.allocate_host(size, "tests", mapped=False)))
        start.record(stream)
        stream.fill(memory.address, 5, size)
        stream.download(host.array, memory.address)
        end.record(stream)
        end.wait()
        assert (host.array == 5).all()
        assert 0 < end.milliseconds_since(start) < 60_000


def test_a_captured_graph_replays(device: CudaDevice) -> None:
    if not device.can_capture:
        pytest.skip("pycuda cannot capture graphs")
    with ExitStack() as stack:
        stream = stack.enter_context(closing(device.create_stream()))
        memory = stack.enter_context(closing(device.allocate(1024, "tests")))
        host = stack.enter_context(closing(device.allocate_host(1024, "tests", mapped=False)))
        host.array[...] = 1

        def work() -> None:
            stream.upload(memory.address, host.array)
            stream.fill(memory.address, 9, 512)
            stream.download(host.array, memory.address)

        graph = stack.enter_context(closing(stream.capture(work)))
        stream.synchronise()
        assert (host.array == 1).all()  # recorded, not executed
        for value in (2, 3):
            host.array[...] = value
            graph.launch(stream)
            stream.synchronise()
            assert (host.array[:512] == 9).all()
            assert (host.array[512:] == value).all()


def test_a_broken_capture_leaves_the_stream_usable(device: CudaDevice) -> None:
    if not device.can_capture:
        pytest.skip("pycuda cannot capture graphs")
    with ExitStack() as stack:
        stream = stack.enter_context(closing(device.create_stream()))
        memory = stack.enter_context(closing(device.allocate(1024, "tests")))

        def wait_inside() -> None:
            stream.fill(memory.address, 1, 1024)
            stream.synchronise()

        with pytest.raises(EngineError):
            stream.capture(wait_inside)
        stream.fill(memory.address, 2, 1024)
        stream.synchronise()
        stack.enter_context(closing(stream.capture(lambda: stream.fill(memory.address, 3, 1024))))


def test_too_little_memory(device: CudaDevice) -> None:
    with pytest.raises(EngineError, match=r"too little GPU memory for tests: expected .* MiB free"):
        device.allocate(1 << 50, "tests")
    device.allocate(1024, "tests").close()  # no error is left over


def test_nothing_leaks(device: CudaDevice) -> None:
    def use() -> None:
        with ExitStack() as stack:
            stream = stack.enter_context(closing(device.create_stream()))
            stack.enter_context(closing(device.create_event()))
            memory = stack.enter_context(closing(device.allocate(32 << 20, "tests")))
            stack.enter_context(closing(device.allocate_host(1 << 20, "tests", mapped=True)))
            if device.can_capture:
                work = lambda: stream.fill(memory.address, 0, 1024)  # noqa: E731
                stack.enter_context(closing(stream.capture(work))).launch(stream)
            stream.synchronise()

    use()
    before, _ = device.memory()
    for _ in range(200):
        use()
    after, _ = device.memory()
    assert before - after < 64 << 20  # others use this GPU too


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("zero_copy", [True, False])
@pytest.mark.parametrize("cuda_graphs", [True, False])
def test_engines_give_what_the_graphs_give(
    make_bundle: Callable[..., Path],
    pictures: Any,
    token_ids: Any,
    kind: Kind,
    zero_copy: bool,
    cuda_graphs: bool,
) -> None:
    graphs = Bundle.open(make_bundle())
    with closing(OnnxRuntimeBackend(graphs, num_threads=1)) as reference:
        prompts = text_only_prompts(reference.encode_text(token_ids), 3)
        expected = []
        for picture in pictures:
            reference.image_slot(0)[...] = picture
            expected.append(reference.submit(0, prompts).result())
    bundle = compiled(graphs, kind)
    with closing(TensorRTBackend(bundle, zero_copy=zero_copy, cuda_graphs=cuda_graphs)) as backend:
        text = backend.encode_text(token_ids)
        np.testing.assert_allclose(text.features, prompts.text_features, atol=1e-5)
        for number in range(12):
            slot = number % 2
            backend.image_slot(slot)[...] = pictures[number % 4]
            output = backend.submit(slot, prompts).result()
            assert output.vision_ms > 0
            for name in OUTPUTS:
                np.testing.assert_allclose(
                    getattr(output, name), getattr(expected[number % 4], name), atol=1e-2, rtol=1e-2
                )


def compiled(graphs: Bundle, kind: Kind) -> Bundle:
    """The toy graphs as engines of this machine; more prompts than they take in one call."""
    try:
        open_tensorrt(kind)
    except EngineError as error:
        pytest.skip(str(error))
    from sam3_edge.export.compile_engine import CompileOptions, compile_engine

    profile = (1, 2, 4)
    options = CompileOptions(prompts=profile)
    for name in graphs.manifest.graphs:
        path = graphs.graph_path(name)
        engine = path.with_suffix(".engine")
        compile_engine(kind, path, engine, options, lambda _: None)
        engine.replace(path)
    device = this_device(kind)
    assert isinstance(device, BuiltOn)
    return engine_bundle(graphs, profile)

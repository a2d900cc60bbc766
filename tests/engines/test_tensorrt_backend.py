"""The TensorRT backend on a fake GPU whose engines are run by ONNX Runtime, against ONNX Runtime's
own backend on the same graphs.
"""

import dataclasses
import gc
import logging
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_edge.engines.backend import Backend, PromptBatch, RawOutput
from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.manifest import BuiltOn, GraphSpec
from sam3_edge.engines.onnxruntime_backend import OnnxRuntimeBackend
from sam3_edge.engines.tensorrt_backend import TensorRTBackend
from sam3_edge.engines.tensorrt_chunks import plan_chunks
from sam3_edge.engines.tensorrt_device import find_device, this_device
from sam3_edge.engines.text_prompts import text_only_prompts
from sam3_edge.errors import BundleError, EngineError
from tests.engines.fake_cuda import FakeDevice
from tests.engines.fake_tensorrt import FakeModule, fake_tensorrt

OUTPUTS = ("logits", "presence", "boxes", "masks")


@dataclasses.dataclass(frozen=True)
class Rig:
    """A bundle of engines and the fakes that execute it."""

    bundle: Bundle
    device: FakeDevice
    module: FakeModule
    open: Callable[..., TensorRTBackend]
    reference: OnnxRuntimeBackend

    def prompts(self, token_ids: NDArray[np.int64]) -> PromptBatch:
        return text_only_prompts(self.reference.encode_text(token_ids), 3)

    def expected(self, picture: NDArray[np.uint8], prompts: PromptBatch) -> RawOutput:
        self.reference.image_slot(0)[...] = picture
        return self.reference.submit(0, prompts).result()


def engine_bundle(bundle: Bundle, profile: tuple[int, ...]) -> Bundle:
    built_on = BuiltOn(
        gpu_name="Fake GPU",
        compute_capability="8.7",
        driver_version="12.6",
        tensorrt_version="10.3.0",
        prompt_profile=profile,
        device_memory_bytes=None,
    )
    manifest = dataclasses.replace(bundle.manifest, backend="tensorrt", built_on=built_on)
    return dataclasses.replace(bundle, manifest=manifest)


@pytest.fixture
def make_rig(bundle_path: Path) -> Iterator[Callable[..., Rig]]:
    """make_rig(profile=(1, 2, 16), device=None) -> Rig; nothing may be left when the test ends."""
    graphs = Bundle.open(bundle_path)
    reference = OnnxRuntimeBackend(graphs, num_threads=1)
    opened: list[TensorRTBackend] = []
    devices: list[FakeDevice] = []

    def make(profile: tuple[int, ...] = (1, 2, 16), device: FakeDevice | None = None) -> Rig:
        device = device or FakeDevice()
        devices.append(device)
        bundle = engine_bundle(graphs, profile)
        tensorrt, module = fake_tensorrt(device)

        def open_one(**options: Any) -> TensorRTBackend:
            options = {"device": device, "tensorrt": tensorrt, **options}
            opened.append(TensorRTBackend(options.pop("bundle", bundle), **options))
            return opened[-1]

        return Rig(bundle, device, module, open_one, reference)

    yield make
    reference.close()
    for backend in opened:
        backend.close()
    assert [device.live for device in devices] == [[] for _ in devices]


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig()


def run(backend: Backend, slot: int, picture: NDArray[np.uint8], prompts: PromptBatch) -> RawOutput:
    backend.image_slot(slot)[...] = picture
    return backend.submit(slot, prompts).result()


def assert_same(got: RawOutput, expected: RawOutput) -> None:
    for name in OUTPUTS:
        array = getattr(got, name)
        assert array.dtype == np.float32
        # chunks may be summed in another order
        np.testing.assert_allclose(array, getattr(expected, name), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cuda_graphs", [True, False])
@pytest.mark.parametrize("zero_copy", [True, False])
def test_the_result_is_that_of_the_picture_in_the_slot(
    rig: Rig, pictures: Any, token_ids: Any, cuda_graphs: bool, zero_copy: bool
) -> None:
    backend = rig.open(cuda_graphs=cuda_graphs, zero_copy=zero_copy, num_slots=3)
    prompts = rig.prompts(token_ids)
    for number in range(12):
        picture = pictures[number % 4]
        output = run(backend, number % 3, picture, prompts)
        assert_same(output, rig.expected(picture, prompts))
        assert (output.vision_ms, output.decoder_ms) == (3.0, 2.0)
    # two ordinary executions and one replay for each slot, or four
    launched = rig.device.calls.count("launch")
    assert launched == (3 * 2 * 3 if cuda_graphs else 0)


def test_each_slot_warms_up_then_captures_then_replays(
    rig: Rig, pictures: Any, token_ids: Any
) -> None:
    backend = rig.open(zero_copy=True)
    prompts = rig.prompts(token_ids)
    seen = []
    for slot in (0, 0, 0, 1):
        rig.device.calls.clear()
        run(backend, slot, pictures[0], prompts)
        seen.append(" ".join(rig.device.calls))
    warm_up = "enqueue vision enqueue decoder execute vision execute decoder"
    captured = (
        "capture record vision launch execute vision capture record decoder launch execute decoder"
    )
    # The captured vision runs when the decoder's capture waits for the stream.
    assert seen == [warm_up, captured, "launch launch execute vision execute decoder", warm_up]


def test_another_number_of_prompts_is_captured_again(
    rig: Rig, pictures: Any, token_ids: Any
) -> None:
    backend = rig.open()
    for num_prompts in (3, 3, 3, 1, 1, 3, 3, 5, 5, 5):
        prompts = rig.prompts(token_ids[:num_prompts])
        output = run(backend, 0, pictures[1], prompts)
        assert_same(output, rig.expected(pictures[1], prompts))
    calls = rig.device.calls
    assert calls.count("record vision") == 1
    assert calls.count("record decoder") == 4
    assert calls.count("enqueue decoder") == 4


def test_shapes_that_another_slot_changed_are_captured_again(
    rig: Rig, pictures: Any, token_ids: Any
) -> None:
    backend = rig.open()
    few, many = rig.prompts(token_ids[:2]), rig.prompts(token_ids)
    for slot, prompts in [(0, few)] * 3 + [(1, many)] * 3 + [(0, few), (1, many), (0, few)]:
        output = run(backend, slot, pictures[slot], prompts)
        assert_same(output, rig.expected(pictures[slot], prompts))


def test_prompts_are_uploaded_once(rig: Rig, pictures: Any, token_ids: Any) -> None:
    backend = rig.open(zero_copy=False)
    prompts = rig.prompts(token_ids)
    uploads = []
    for batch in (prompts, prompts, prompts, dataclasses.replace(prompts), prompts):
        rig.device.calls.clear()
        output = run(backend, 0, pictures[0], batch)
        assert_same(output, rig.expected(pictures[0], batch))
        # a captured upload is launched, not asked for
        uploads.append(rig.device.calls.count("upload"))
    assert uploads == [1 + 3, 1, 0, 3, 3]


def test_other_prompts_of_the_same_number_need_no_capture(
    rig: Rig, pictures: Any, token_ids: Any
) -> None:
    backend = rig.open()
    for batch in (token_ids, token_ids, token_ids[::-1], token_ids):
        prompts = rig.prompts(batch)
        assert_same(run(backend, 0, pictures[0], prompts), rig.expected(pictures[0], prompts))
    assert rig.device.calls.count("record decoder") == 1


def test_prompts_in_flight_are_not_overwritten_by_the_next(
    rig: Rig, pictures: Any, token_ids: Any
) -> None:
    for zero_copy in (True, False):
        backend = rig.open(zero_copy=zero_copy)
        first, second = rig.prompts(token_ids[:3]), rig.prompts(token_ids[2:])
        for _ in range(3):
            backend.image_slot(0)[...] = pictures[0]
            earlier = backend.submit(0, first)
            backend.image_slot(1)[...] = pictures[1]
            later = backend.submit(1, second)
            assert_same(later.result(), rig.expected(pictures[1], second))
            assert_same(earlier.result(), rig.expected(pictures[0], first))


@pytest.mark.parametrize("cuda_graphs", [True, False])
@pytest.mark.parametrize("zero_copy", [True, False])
def test_slots_in_flight_do_not_mix_and_may_be_fetched_in_any_order(
    rig: Rig, pictures: Any, token_ids: Any, cuda_graphs: bool, zero_copy: bool
) -> None:
    backend = rig.open(cuda_graphs=cuda_graphs, zero_copy=zero_copy, num_slots=3)
    prompts = rig.prompts(token_ids)
    for order in ((2, 0, 1), (0, 1, 2), (1, 2, 0), (2, 1, 0)):
        pending = []
        for slot in range(3):
            backend.image_slot(slot)[...] = pictures[slot]
            pending.append(backend.submit(slot, prompts))
        for slot in order:
            assert_same(pending[slot].result(), rig.expected(pictures[slot], prompts))


def test_different_numbers_of_prompts_in_flight(rig: Rig, pictures: Any, token_ids: Any) -> None:
    backend = rig.open()
    batches = [rig.prompts(token_ids[:1]), rig.prompts(token_ids)]
    for _ in range(3):
        pending = []
        for slot, prompts in enumerate(batches):
            backend.image_slot(slot)[...] = pictures[slot]
            pending.append(backend.submit(slot, prompts))
        for slot in (1, 0):
            assert_same(pending[slot].result(), rig.expected(pictures[slot], batches[slot]))


def test_submit_does_not_wait(rig: Rig, pictures: Any, token_ids: Any) -> None:
    backend = rig.open()
    prompts = rig.prompts(token_ids)
    for slot in (0, 1, 0, 1):
        run(backend, slot, pictures[0], prompts)
    rig.device.calls.clear()
    pending = [backend.submit(0, prompts), backend.submit(1, prompts)]
    assert rig.device.calls == ["launch"] * 4
    assert [entry.result().logits.shape for entry in pending] == [(5, 5)] * 2


def test_a_slot_in_flight_is_refused_until_it_is_fetched_or_dropped(
    rig: Rig, pictures: Any, token_ids: Any
) -> None:
    backend = rig.open()
    prompts = rig.prompts(token_ids)
    backend.image_slot(0)[...] = pictures[0]
    pending = backend.submit(0, prompts)
    with pytest.raises(EngineError, match=r"^image slot 0: expected a free one.*call result\(\)"):
        backend.submit(0, prompts)
    assert_same(pending.result(), rig.expected(pictures[0], prompts))
    pending = backend.submit(0, prompts)
    del pending  # nobody can ask for it any more
    assert_same(run(backend, 0, pictures[1], prompts), rig.expected(pictures[1], prompts))


def test_a_result_stays_when_the_engine_goes_on(rig: Rig, pictures: Any, token_ids: Any) -> None:
    backend = rig.open()
    prompts = rig.prompts(token_ids)
    backend.image_slot(0)[...] = pictures[0]
    pending = backend.submit(0, prompts)
    first = pending.result()
    copies = {name: getattr(first, name).copy() for name in OUTPUTS}
    second = run(backend, 0, pictures[1], prompts)
    assert not np.array_equal(second.logits, first.logits)
    backend.close()
    assert pending.result() is first
    for name in OUTPUTS:
        np.testing.assert_array_equal(getattr(first, name), copies[name])


@pytest.mark.parametrize("profile", [(1, 1, 1), (1, 2, 2), (2, 3, 4), (4, 4, 4), (8, 8, 8)])
@pytest.mark.parametrize("zero_copy", [True, False])
def test_chunks_and_padding_equal_one_batch(
    make_rig: Callable[..., Rig],
    pictures: Any,
    token_ids: Any,
    profile: tuple[int, int, int],
    zero_copy: bool,
) -> None:
    rig = make_rig(profile)
    backend = rig.open(zero_copy=zero_copy)
    for num_prompts in (5, 5, 5, 1, 0, 1, 3):
        prompts = rig.prompts(token_ids[:num_prompts])
        output = run(backend, 0, pictures[2], prompts)
        assert output.masks.shape == (num_prompts, 5, 8, 8)
        assert_same(output, rig.expected(pictures[2], prompts))
    text = backend.encode_text(token_ids)
    np.testing.assert_array_equal(text.features, rig.prompts(token_ids).text_features)
    np.testing.assert_array_equal(text.mask, token_ids == 0)


def test_chunks_cover_every_prompt_once_within_the_limits() -> None:
    for num_prompts in range(40):
        for fewest, most in ((1, 1), (1, 4), (3, 5), (8, 8), (1, 16)):
            chunks = plan_chunks(num_prompts, fewest, most)
            covered = [row for part in chunks.slices for row in range(num_prompts)[part]]
            assert covered == list(range(num_prompts))
            assert fewest <= chunks.rows <= most
            assert all(0 < part.stop - part.start <= chunks.rows for part in chunks.slices)


def test_the_decoder_reads_where_vision_writes(rig: Rig, pictures: Any, token_ids: Any) -> None:
    run(rig.open(), 0, pictures[0], rig.prompts(token_ids))
    vision, decoder = rig.module.addresses["vision"], rig.module.addresses["decoder"]
    features = [spec.name for spec in rig.bundle.manifest.graphs["vision"].outputs]
    assert len(features) == 4
    assert [vision[name] for name in features] == [decoder[name] for name in features]


@pytest.mark.parametrize("integrated", [True, False])
def test_memory_is_mapped_where_it_is_shared(
    make_rig: Callable[..., Rig], pictures: Any, token_ids: Any, integrated: bool
) -> None:
    rig = make_rig(device=FakeDevice(integrated=integrated))
    for zero_copy in (None, True, False):
        rig.device.calls.clear()
        run(rig.open(zero_copy=zero_copy), 0, pictures[0], rig.prompts(token_ids))
        copied = {"upload", "download"} & set(rig.device.calls)
        expected = not integrated if zero_copy is None else not zero_copy
        assert bool(copied) == expected


def test_capturing_that_fails_is_said_once(
    rig: Rig, pictures: Any, token_ids: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rig.device.fail_capture = True
    backend = rig.open()
    prompts = rig.prompts(token_ids)
    for number in range(6):
        output = run(backend, number % 2, pictures[0], prompts)
        assert_same(output, rig.expected(pictures[0], prompts))
    (record,) = [entry for entry in caplog.records if entry.levelno >= logging.WARNING]
    assert "without CUDA graphs, capturing one failed: something here" in record.getMessage()
    assert rig.device.calls.count("capture") == 1


def test_bindings_without_graphs_are_mentioned_once(
    make_rig: Callable[..., Rig],
    pictures: Any,
    token_ids: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = make_rig(device=FakeDevice(can_capture=False))
    backend = rig.open()
    for _ in range(3):
        run(backend, 0, pictures[0], rig.prompts(token_ids))
    assert ["install cuda-python" in entry.getMessage() for entry in caplog.records] == [True]
    assert "capture" not in rig.device.calls
    rig.open(cuda_graphs=False)
    assert len(caplog.records) == 1  # what nobody asked for is not missed


def test_the_text_engine_is_loaded_for_a_call_and_released(
    rig: Rig, pictures: Any, token_ids: Any
) -> None:
    backend = rig.open()
    run(backend, 0, pictures[0], rig.prompts(token_ids))
    assert rig.module.loaded == ["vision", "decoder"]
    before = len(rig.device.live)
    for _ in range(2):
        assert backend.encode_text(token_ids).mask.shape == (5, 32)
        assert len(rig.module.engines) == len(rig.module.contexts) == 2
        assert len(rig.device.live) == before
    assert rig.module.loaded[2:] == ["text", "text"]


def test_text_is_encoded_beside_pictures(rig: Rig, pictures: Any, token_ids: Any) -> None:
    backend = rig.open()
    prompts = rig.prompts(token_ids)
    backend.image_slot(0)[...] = pictures[0]
    pending = backend.submit(0, prompts)
    results: list[Any] = []
    threads = [
        threading.Thread(target=lambda: results.append(backend.encode_text(token_ids)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(results) == 4
    for text in results:
        np.testing.assert_array_equal(text.features, prompts.text_features)
    assert_same(pending.result(), rig.expected(pictures[0], prompts))


def changed_graph(bundle: Bundle, name: str, **changes: Any) -> Bundle:
    graphs = dict(bundle.manifest.graphs)
    graphs[name] = dataclasses.replace(graphs[name], **changes)
    manifest = dataclasses.replace(bundle.manifest, graphs=graphs)
    return dataclasses.replace(bundle, manifest=manifest)


def lies(spec: GraphSpec) -> dict[str, tuple[dict[str, Any], str]]:
    first, *rest = spec.outputs
    small = dataclasses.replace(first, shape=(*first.shape[:-1], 7))
    typed = dataclasses.replace(first, dtype="int64")
    return {
        "shape": (
            {"outputs": (small, *rest)},
            r"features_4x: expected output float32 \(1, 4, 8, 7",
        ),
        "dtype": ({"outputs": (typed, *rest)}, r"expected output int64 .*, got output float32"),
        "missing": ({"outputs": tuple(rest)}, "expected no such tensor, got output float32"),
        "side": ({"outputs": tuple(rest), "inputs": (*spec.inputs, first)}, "expected input float"),
    }


@pytest.mark.parametrize("lie", ["shape", "dtype", "missing", "side"])
def test_an_engine_that_is_not_the_manifests(rig: Rig, lie: str) -> None:
    changes, message = lies(rig.bundle.manifest.graphs["vision"])[lie]
    with pytest.raises(BundleError, match=f"is not the engine its manifest describes: .*{message}"):
        rig.open(bundle=changed_graph(rig.bundle, "vision", **changes))
    assert rig.device.live == []


def test_a_file_that_is_no_engine(rig: Rig) -> None:
    path = rig.bundle.graph_path("decoder")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(EngineError, match=r"decoder\.onnx: expected an engine that TensorRT"):
        rig.open()
    path.unlink()
    with pytest.raises(BundleError, match="cannot be loaded: No such file"):
        rig.open()
    assert rig.device.live == []
    assert len(rig.module.engines) == 0


def test_too_little_memory_says_what_was_needed_and_what_to_reduce(
    make_rig: Callable[..., Rig], token_ids: Any
) -> None:
    rig = make_rig(device=FakeDevice(total_bytes=20_000))
    backend = rig.open()
    wanted = (
        r"too little GPU memory for masks: expected 0\.0 MiB free, got 0\.0 MiB of 0\.0 MiB; "
        r".*--prompts, in fp16 or int8, .* smaller images"
    )
    with pytest.raises(EngineError, match=wanted):
        backend.submit(0, rig.prompts(token_ids))
    assert backend.submit(0, rig.prompts(token_ids[:1])).result().logits.shape == (1, 5)


def test_too_little_memory_for_a_context(rig: Rig) -> None:
    rig.module.context_bytes = 20 << 20
    with pytest.raises(EngineError, match=r"for executing the vision graph: expected 20\.0 MiB"):
        rig.open()
    assert rig.device.live == []


@pytest.mark.parametrize("zero_copy", [True, False])
def test_whatever_allocation_fails_everything_made_is_freed(
    rig: Rig, pictures: Any, token_ids: Any, zero_copy: bool
) -> None:
    prompts = rig.prompts(token_ids)
    failures = 0
    for number in range(1000):
        rig.device.num_allocations, rig.device.fail_allocation = 0, number
        try:
            backend = rig.open(zero_copy=zero_copy)
        except EngineError:
            assert rig.device.live == []
            failures += 1
            continue
        try:
            run(backend, 0, pictures[0], prompts)
        except EngineError:
            rig.device.fail_allocation = None
            failures += 1
            # the next attempt has memory, and is none the worse for the first
            assert_same(run(backend, 0, pictures[1], prompts), rig.expected(pictures[1], prompts))
            backend.close()
            assert rig.device.live == []
            continue
        backend.close()
        break
    shared = 2 + 3 + 4  # two images, three prompt inputs, four outputs
    assert failures == 4 + shared * (1 if zero_copy else 2)
    assert rig.device.used_bytes == 0


def test_a_thousand_lives_leave_nothing(rig: Rig, pictures: Any, token_ids: Any) -> None:
    prompts = rig.prompts(token_ids[:2])
    for number in range(1000):
        backend = rig.open(zero_copy=bool(number % 2))
        for slot in (0, 0, 1):
            backend.submit(slot, prompts).result()
        backend.submit(1, prompts)
        backend.close()
        assert rig.device.live == []
        assert rig.device.used_bytes == 0
    gc.collect()
    assert len(rig.module.engines) == len(rig.module.contexts) == 0
    assert rig.device.num_closed == 0  # it belongs to the caller


def test_close_may_be_called_twice_and_ends_everything(
    rig: Rig, pictures: Any, token_ids: Any
) -> None:
    backend = rig.open()
    prompts = rig.prompts(token_ids)
    picture = backend.image_slot(0)
    done, queued = backend.submit(0, prompts), backend.submit(1, prompts)
    expected = done.result()
    backend.close()
    backend.close()
    assert done.result() is expected
    for _ in range(2):
        with pytest.raises(EngineError, match="got one closed before this result was fetched"):
            queued.result()
    for call in (
        lambda: backend.submit(0, prompts),
        lambda: backend.encode_text(token_ids),
        lambda: backend.run_graph("text", {"token_ids": token_ids}),
        lambda: backend.image_slot(0),
    ):
        with pytest.raises(EngineError, match="got one that is closed"):
            call()
    picture[...] = 0  # a late writer must not crash


def test_an_execution_that_is_refused(rig: Rig, pictures: Any, token_ids: Any) -> None:
    backend = rig.open()
    prompts = rig.prompts(token_ids)
    rig.module.fail = "decoder"
    message = r"^the decoder graph failed: .*decoder\.onnx: TensorRT refused execution: a kernel"
    with pytest.raises(EngineError, match=message):
        backend.submit(0, prompts)
    rig.module.fail = ""
    assert_same(run(backend, 0, pictures[1], prompts), rig.expected(pictures[1], prompts))


def test_an_execution_that_fails_later_reaches_the_result(
    rig: Rig, pictures: Any, token_ids: Any
) -> None:
    backend = rig.open()
    prompts = rig.prompts(token_ids)
    rig.module.fail, rig.module.fail_late = "decoder", True
    pending = backend.submit(0, prompts)
    for _ in range(2):
        with pytest.raises(EngineError, match="cudaErrorLaunchFailure"):
            pending.result()
    rig.module.fail = ""
    assert_same(run(backend, 0, pictures[1], prompts), rig.expected(pictures[1], prompts))


def test_closing_an_engine_that_failed_frees_it_all(
    rig: Rig, token_ids: Any, caplog: pytest.LogCaptureFixture
) -> None:
    backend = rig.open()
    rig.module.fail, rig.module.fail_late = "vision", True
    pending = backend.submit(0, rig.prompts(token_ids))
    backend.close()
    assert "closing an engine that failed: cudaErrorLaunchFailure" in caplog.text
    with pytest.raises(EngineError, match="closed before this result"):
        pending.result()


def test_prompts_that_do_not_fit_are_refused(rig: Rig, token_ids: Any) -> None:
    backend = rig.open()
    prompts = rig.prompts(token_ids)
    wrong = dataclasses.replace(prompts, prompt_mask=prompts.prompt_mask[:, :-1])
    with pytest.raises(EngineError, match=r"prompt_mask: expected shape \(5, 36\), got \(5, 35\)"):
        backend.submit(0, wrong)
    with pytest.raises(EngineError, match="at least two image slots, got 1"):
        rig.open(num_slots=1)


def test_arrays_in_another_order_are_taken(rig: Rig, pictures: Any, token_ids: Any) -> None:
    prompts = rig.prompts(token_ids)
    strided = dataclasses.replace(
        prompts,
        text_features=np.asfortranarray(prompts.text_features),
        prompt_mask=np.asfortranarray(prompts.prompt_mask),
    )
    output = run(rig.open(), 0, pictures[0], strided)
    assert_same(output, rig.expected(pictures[0], prompts))


@pytest.mark.parametrize("zero_copy", [True, False])
def test_one_graph_alone(
    make_rig: Callable[..., Rig], pictures: Any, token_ids: Any, zero_copy: bool
) -> None:
    rig = make_rig((2, 3, 4))
    backend = rig.open(zero_copy=zero_copy)
    prompts = rig.prompts(token_ids)
    for num_prompts in (5, 2, 5):  # between captured pictures, too
        some = rig.prompts(token_ids[:num_prompts])
        features = backend.run_graph("vision", {"image": pictures[0][None]})
        inputs = {
            "text_features": some.text_features,
            "exemplar_features": some.exemplar_features,
            "prompt_mask": some.prompt_mask,
        }
        outputs = backend.run_graph("decoder", {**features, **inputs})
        expected = rig.expected(pictures[0], some)
        for name in OUTPUTS:
            np.testing.assert_allclose(outputs[name], getattr(expected, name), atol=1e-5)
        text = backend.run_graph("text", {"token_ids": token_ids})
        np.testing.assert_array_equal(text["text_features"], prompts.text_features)
        for _ in range(2):
            assert_same(run(backend, 0, pictures[1], prompts), rig.expected(pictures[1], prompts))


def test_a_graph_alone_checks_its_inputs(rig: Rig, pictures: Any, token_ids: Any) -> None:
    backend = rig.open()
    with pytest.raises(EngineError, match=r"expected one of the graphs .*, got masks"):
        backend.run_graph("masks", {})
    with pytest.raises(EngineError, match="vision graph: expected the inputs image, got picture"):
        backend.run_graph("vision", {"picture": pictures[:1]})
    with pytest.raises(EngineError, match=r"image: expected uint8 \(1, 28, 28, 3\), got uint8 \(2"):
        backend.run_graph("vision", {"image": pictures[:2]})
    with pytest.raises(EngineError, match=r"expected int64 \(5, 32\), got float64 \(5, 32\)"):
        backend.run_graph("text", {"token_ids": token_ids / 2})


def test_a_bundle_without_limits_or_of_graphs_is_refused(rig: Rig) -> None:
    for profile in ((), (2, 1, 4), (0, 1, 2)):
        with pytest.raises(BundleError, match=re.escape(f"in one call, got {profile}; build")):
            rig.open(bundle=engine_bundle(rig.bundle, profile))
    graphs = dataclasses.replace(
        rig.bundle, manifest=dataclasses.replace(rig.bundle.manifest, backend="onnxruntime")
    )
    with pytest.raises(EngineError, match="expected a bundle of TensorRT engines, got one of gr"):
        TensorRTBackend(graphs, device=rig.device)
    assert rig.device.live == []


def test_a_device_of_its_own_is_closed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sam3_edge.engines.tensorrt_backend.open_device", lambda: rig.device)
    rig.open(device=None).close()
    assert rig.device.num_closed == 1
    (rig.bundle.path / "vision.onnx").write_bytes(b"")
    with pytest.raises(EngineError):
        rig.open(device=None)
    assert rig.device.num_closed == 2


def test_this_device(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    place = "sam3_edge.engines.tensorrt_device"
    tensorrt, _ = fake_tensorrt(rig.device)
    monkeypatch.setattr(f"{place}.open_device", lambda: rig.device)
    monkeypatch.setattr(f"{place}.open_tensorrt", lambda _: tensorrt)
    expected = dataclasses.replace(rig.bundle.manifest.built_on, prompt_profile=())  # type: ignore[type-var]
    assert this_device("tensorrt") == expected
    assert rig.device.num_closed == 1

    def missing(*_: Any) -> Any:
        raise EngineError("none here")

    monkeypatch.setattr(f"{place}.open_device", missing)
    assert find_device("tensorrt") is None
    with pytest.raises(EngineError, match="none here"):
        this_device("tensorrt")
    monkeypatch.setattr(f"{place}.open_device", lambda: rig.device)
    monkeypatch.setattr(f"{place}.open_tensorrt", missing)
    assert find_device("tensorrt") is None

"""The real engine on graphs of a few numbers, against plain sessions run one after the other."""

import dataclasses
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from sam3_edge.engines.backend import Backend, PromptBatch, RawOutput
from sam3_edge.engines.bundle import Bundle, file_sha256
from sam3_edge.engines.load import load_backend
from sam3_edge.engines.onnxruntime_backend import OnnxRuntimeBackend
from sam3_edge.engines.text_prompts import text_only_prompts
from sam3_edge.errors import BundleError, EngineError

OUTPUTS = ("logits", "presence", "boxes", "masks")


def plain(path: Path, picture: NDArray[np.uint8], prompts: PromptBatch) -> dict[str, Any]:
    """Vision and decoder by session.run: no binding, no thread, no chunk."""
    vision = onnxruntime.InferenceSession(path / "vision.onnx", providers=["CPUExecutionProvider"])
    maps = [node.name for node in vision.get_outputs()]
    features = dict(zip(maps, vision.run(maps, {"image": picture[None]}), strict=True))
    decoder = onnxruntime.InferenceSession(
        path / "decoder.onnx", providers=["CPUExecutionProvider"]
    )
    inputs = {
        **features,
        "text_features": prompts.text_features,
        "exemplar_features": prompts.exemplar_features,
        "prompt_mask": prompts.prompt_mask,
    }
    return dict(zip(OUTPUTS, decoder.run(list(OUTPUTS), inputs), strict=True))


def assert_same(got: RawOutput, expected: dict[str, Any]) -> None:
    for name in OUTPUTS:
        array = getattr(got, name)
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, expected[name], atol=1e-5, rtol=1e-5)


def encoded(backend: Backend, token_ids: NDArray[np.int64]) -> PromptBatch:
    return text_only_prompts(backend.encode_text(token_ids), 3)


@dataclasses.dataclass(frozen=True)
class Gate:
    """The worker sets `reached`, then waits for `opened`, before it executes anything."""

    reached: threading.Event
    opened: threading.Event


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate(threading.Event(), threading.Event())
    execute = OnnxRuntimeBackend._execute

    def wait_and_execute(self: Any, *arguments: Any) -> RawOutput:
        gate.reached.set()
        assert gate.opened.wait(timeout=30)
        return execute(self, *arguments)

    monkeypatch.setattr(OnnxRuntimeBackend, "_execute", wait_and_execute)
    return gate


def test_the_result_is_that_of_the_picture_in_the_slot(
    bundle_path: Path, open_backend: Any, pictures: Any, token_ids: Any
) -> None:
    backend = open_backend(bundle_path)
    prompts = encoded(backend, token_ids)
    for number, picture in enumerate(pictures):
        slot = number % backend.num_slots
        backend.image_slot(slot)[...] = picture
        output = backend.submit(slot, prompts).result()
        assert_same(output, plain(bundle_path, picture, prompts))
        assert output.vision_ms > 0
        assert output.decoder_ms > 0


def test_a_result_stays_when_the_engine_goes_on(
    bundle_path: Path, open_backend: Any, pictures: Any, token_ids: Any
) -> None:
    backend = open_backend(bundle_path)
    prompts = encoded(backend, token_ids)
    backend.image_slot(0)[...] = pictures[0]
    pending = backend.submit(0, prompts)
    first = pending.result()
    copies = {name: getattr(first, name).copy() for name in OUTPUTS}
    backend.image_slot(0)[...] = pictures[1]
    second = backend.submit(0, prompts).result()
    assert not np.array_equal(second.logits, first.logits)
    backend.close()
    assert pending.result() is first
    assert_same(first, copies)


def test_two_slots_in_flight_do_not_mix(
    bundle_path: Path, open_backend: Any, pictures: Any, token_ids: Any, gate: Gate
) -> None:
    backend = open_backend(bundle_path)
    prompts = encoded(backend, token_ids)
    backend.image_slot(0)[...] = pictures[0]
    first = backend.submit(0, prompts)
    # still queued: submit does not wait for the engine
    backend.image_slot(1)[...] = pictures[1]
    second = backend.submit(1, prompts)
    gate.opened.set()
    assert_same(second.result(), plain(bundle_path, pictures[1], prompts))
    assert_same(first.result(), plain(bundle_path, pictures[0], prompts))


def test_text_is_encoded_while_a_picture_is_in_the_engine(
    bundle_path: Path, open_backend: Any, token_ids: Any, gate: Gate
) -> None:
    backend = open_backend(bundle_path)
    prompts = encoded(backend, token_ids)
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
        np.testing.assert_array_equal(text.mask, token_ids == 0)
    gate.opened.set()
    assert pending.result().logits.shape == (5, 5)


@pytest.mark.parametrize("max_prompts", [1, 2, 5])
def test_chunks_equal_one_batch(
    make_bundle: Callable[..., Path],
    open_backend: Any,
    pictures: Any,
    token_ids: Any,
    max_prompts: int,
) -> None:
    path = make_bundle(max_prompts=max_prompts)
    backend = open_backend(path)
    prompts = encoded(backend, token_ids)
    backend.image_slot(0)[...] = pictures[2]
    assert_same(backend.submit(0, prompts).result(), plain(path, pictures[2], prompts))


def test_the_number_of_prompts_may_change_and_may_be_none(
    bundle_path: Path, open_backend: Any, pictures: Any, token_ids: Any
) -> None:
    backend = open_backend(bundle_path)
    backend.image_slot(1)[...] = pictures[3]
    for num_prompts in (3, 0, 5, 1):
        prompts = encoded(backend, token_ids[:num_prompts])
        output = backend.submit(1, prompts).result()
        assert output.masks.shape == (num_prompts, 5, 8, 8)
        if num_prompts:
            assert_same(output, plain(bundle_path, pictures[3], prompts))


def test_exemplars_and_masks_reach_the_graph(
    bundle_path: Path, open_backend: Any, pictures: Any, token_ids: Any
) -> None:
    backend = open_backend(bundle_path)
    words = encoded(backend, token_ids)
    mask = words.prompt_mask.copy()
    mask[:, 32], mask[:, 33:35] = True, False
    exemplars = np.random.default_rng(9).normal(size=(5, 3, 4)).astype(np.float32)
    prompts = dataclasses.replace(words, exemplar_features=exemplars, prompt_mask=mask)
    backend.image_slot(0)[...] = pictures[0]
    output = backend.submit(0, prompts).result()
    assert_same(output, plain(bundle_path, pictures[0], prompts))
    assert not np.allclose(output.logits, backend.submit(0, words).result().logits)


def test_arrays_in_another_order_are_taken(
    bundle_path: Path, open_backend: Any, pictures: Any, token_ids: Any
) -> None:
    backend = open_backend(bundle_path)
    prompts = encoded(backend, token_ids)
    strided = dataclasses.replace(
        prompts,
        text_features=np.asfortranarray(prompts.text_features),
        prompt_mask=np.asfortranarray(prompts.prompt_mask),
    )
    backend.image_slot(0)[...] = pictures[0]
    assert_same(backend.submit(0, strided).result(), plain(bundle_path, pictures[0], prompts))


def test_the_text_graph_is_loaded_only_for_text(
    bundle_path: Path, open_backend: Any, token_ids: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = encoded(open_backend(bundle_path), token_ids)
    backend = open_backend(bundle_path)
    (bundle_path / "text.onnx").unlink()
    assert backend.submit(0, prompts).result().logits.shape == (5, 5)
    with pytest.raises(BundleError, match=r"text\.onnx cannot be loaded: .*; export the bundle"):
        backend.encode_text(token_ids)


def test_prompts_that_do_not_fit_are_refused(
    bundle_path: Path, open_backend: Any, token_ids: Any
) -> None:
    backend = open_backend(bundle_path)
    prompts = encoded(backend, token_ids)
    wrong = dataclasses.replace(prompts, prompt_mask=prompts.prompt_mask[:, :-1])
    with pytest.raises(EngineError, match=r"prompt_mask: expected shape \(5, 36\), got \(5, 35\)"):
        backend.submit(0, wrong)


def test_a_failing_graph_is_an_engine_error(
    bundle_path: Path, open_backend: Any, token_ids: Any
) -> None:
    backend = open_backend(bundle_path)
    with pytest.raises(EngineError, match=r"^the text graph failed: ONNX Runtime says .*; check"):
        backend.encode_text(token_ids + 100_000)  # beyond the vocabulary
    assert backend.encode_text(token_ids).mask.shape == (5, 32)


def test_a_failure_in_the_worker_reaches_the_result(
    bundle_path: Path, open_backend: Any, token_ids: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = open_backend(bundle_path)
    prompts = encoded(backend, token_ids)

    def fail() -> None:
        raise RuntimeError("no memory\nsecond line")

    with monkeypatch.context() as patch:
        patch.setattr(backend._decoder, "run", fail)
        pending = backend.submit(0, prompts)
        for _ in range(2):
            with pytest.raises(EngineError) as caught:
                pending.result()
            assert "the decoder graph failed: ONNX Runtime says no memory;" in str(caught.value)
            assert isinstance(caught.value.__cause__, RuntimeError)
    assert backend.submit(0, prompts).result().logits.shape == (5, 5)


def test_close_may_be_called_twice_and_ends_everything(
    bundle_path: Path, open_backend: Any, token_ids: Any, gate: Gate
) -> None:
    backend = open_backend(bundle_path)
    prompts = encoded(backend, token_ids)
    running, queued = backend.submit(0, prompts), backend.submit(1, prompts)
    assert gate.reached.wait(timeout=30)
    threading.Timer(0.05, gate.opened.set).start()
    backend.close()
    backend.close()
    assert running.result().logits.shape == (5, 5)
    with pytest.raises(EngineError, match="got one closed before it ran"):
        queued.result()
    with pytest.raises(EngineError, match="got one that is closed"):
        backend.submit(0, prompts)
    with pytest.raises(EngineError, match="got one that is closed"):
        backend.encode_text(token_ids)
    backend.image_slot(0)[...] = 0  # a late writer must not crash


def test_settings_are_checked(bundle_path: Path) -> None:
    bundle = Bundle.open(bundle_path)
    with pytest.raises(EngineError, match="at least one engine thread, got 0"):
        OnnxRuntimeBackend(bundle, num_threads=0)
    with pytest.raises(EngineError, match="at least two image slots, got 1"):
        OnnxRuntimeBackend(bundle, num_slots=1)
    backend = load_backend(bundle, num_threads=1)
    assert backend.num_slots == 2
    backend.close()


def replace_graph(path: Path, name: str, data: bytes) -> None:
    """Another file whose hash the manifest knows: damage that hashes cannot show."""
    (path / f"{name}.onnx").write_bytes(data)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["graphs"][name]["sha256"] = file_sha256(path / f"{name}.onnx")
    (path / "manifest.json").write_text(json.dumps(manifest))


def test_a_file_that_is_no_graph(bundle_path: Path) -> None:
    replace_graph(bundle_path, "vision", b"not a graph")
    with pytest.raises(BundleError, match=r"vision\.onnx cannot be loaded: ONNX Runtime says"):
        load_backend(Bundle.open(bundle_path), num_threads=1)


def test_a_graph_that_is_not_the_manifests(bundle_path: Path) -> None:
    replace_graph(bundle_path, "vision", (bundle_path / "text.onnx").read_bytes())
    with pytest.raises(BundleError, match="is not the graph its manifest describes: image: exp"):
        load_backend(Bundle.open(bundle_path), num_threads=1)

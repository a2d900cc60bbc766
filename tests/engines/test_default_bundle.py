"""The bundle that ships: whole, small, honest, and able to find fish."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_edge.engines.bundle import Bundle, default_bundle_path, file_sha256
from sam3_edge.engines.drift import check_drift, replay
from sam3_edge.engines.load import load_backend
from sam3_edge.engines.references import read_references
from sam3_edge.engines.text_prompts import text_only_prompts
from sam3_edge.runtime.postprocess import postprocess
from sam3_edge.runtime.preprocess import preprocess
from sam3_edge.runtime.scene import PHRASES, Scene
from sam3_edge.runtime.tokenizer import Tokenizer
from sam3_edge.training.model.weights import bundled_weights_path

MAX_BYTES = 24_000_000


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.open(default_bundle_path())


def test_it_is_small_and_of_the_bundled_weights(bundle: Bundle) -> None:
    assert sum(file.stat().st_size for file in bundle.path.iterdir()) <= MAX_BYTES
    assert bundle.manifest.provenance.checkpoint_sha256 == file_sha256(bundled_weights_path())


def test_its_words_were_measured(bundle: Bundle) -> None:
    words = {phrase.text: phrase for phrase in bundle.manifest.vocabulary}
    assert set(PHRASES) <= set(words)
    for phrase in words.values():
        assert phrase.ap is not None
        assert phrase.ap50 is not None
        assert 0.0 <= phrase.ap <= phrase.ap50 <= 1.0, phrase.text
        assert 0.0 < phrase.threshold < 1.0
    assert (words["fish"].ap or 0.0) > 0.0


def test_it_replays_every_reference(bundle: Bundle) -> None:
    assert bundle.references_path is not None
    references = read_references(bundle.references_path)
    assert len(references) == 8
    backend = load_backend(bundle)
    for index in range(len(references)):
        drift = replay(backend, references, index, encode_text=True)
        check_drift(drift, bundle.manifest.precision)
    backend.close()


def test_it_finds_what_a_held_out_scene_shows(bundle: Bundle) -> None:
    """Over a few scenes: more than half of the plain objects, and few that are not there."""
    backend = load_backend(bundle)
    features = backend.encode_text(Tokenizer().encode(PHRASES))
    prompts = text_only_prompts(features, bundle.manifest.model.num_exemplars)
    words = {phrase.text: phrase.threshold for phrase in bundle.manifest.vocabulary}
    thresholds = np.array([words[text] for text in PHRASES], dtype=np.float32)
    wanted = hit = found = 0
    for seed in range(500, 508):
        image, objects = Scene(seed, "held_out", 640, 480).frame_and_objects(10)
        preprocess(image, backend.image_slot(0))
        detections = postprocess(backend.submit(0, prompts).result(), thresholds, image.shape[:2])
        answers = list(zip(detections.prompt_index, detections.boxes, strict=True))
        plain = [o for o in objects if not o.ignore]
        wanted, found = wanted + len(plain), found + len(answers)
        for one in plain:
            same = [box for p, box in answers if PHRASES[p] == one.phrase]
            hit += any(iou(np.array(one.box), box) > 0.5 for box in same)
    backend.close()
    assert hit > 0.5 * wanted
    assert found < 1.6 * wanted


def iou(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = float(np.prod(np.clip(high - low, 0, None)))
    return shared / float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)

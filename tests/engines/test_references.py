"""A bundle carries its own proof: it is read whole, and it turns red when the model changes."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam3_edge.engines.backend import RawOutput, TextFeatures
from sam3_edge.engines.drift import TOLERANCES, Drift, check_drift, compare, replay
from sam3_edge.engines.recorded_backend import RecordedBackend
from sam3_edge.engines.references import (
    References,
    read_references,
    record_references,
    write_references,
)
from sam3_edge.errors import BundleError, EngineError


@pytest.fixture
def references(bundle_path: Path, open_backend: Any, make_references: Any) -> References:
    made: References = make_references(open_backend(bundle_path))
    assert len(made.masks) > 10
    return made


def recorded_output(references: References, image: int) -> RawOutput:
    """The output the references themselves describe, mask logits of other queries zero."""
    masks = np.zeros((5, 5, 8, 8), np.float32)
    for (number, prompt, query), mask in zip(references.mask_index, references.masks, strict=True):
        if number == image:
            masks[prompt, query] = mask
    return RawOutput(
        logits=references.logits[image].copy(),
        presence=references.presence[image].copy(),
        boxes=references.boxes[image].copy(),
        masks=masks,
        vision_ms=0.0,
        decoder_ms=0.0,
    )


def test_round_trip(references: References, tmp_path: Path) -> None:
    write_references(tmp_path / "references.npz", references)
    again = read_references(tmp_path / "references.npz")
    assert len(again) == len(references) == 4
    for field in dataclasses.fields(References):
        before, after = getattr(references, field.name), getattr(again, field.name)
        assert type(before) is type(after)
        np.testing.assert_array_equal(before, after)
    assert [file.name for file in tmp_path.glob("*.npz*")] == ["references.npz"]


def test_only_kept_detections_have_masks(references: References) -> None:
    scores = 1 / (1 + np.exp(-references.logits)) / (1 + np.exp(-references.presence))
    assert len(references.masks) == np.count_nonzero(scores >= 0.5)
    assert scores[tuple(references.mask_index.T)].min() >= 0.5


def test_pictures_without_detections_can_be_recorded(
    references: References, tmp_path: Path
) -> None:
    text = TextFeatures(features=references.text_features, mask=references.text_mask)
    empty = record_references(
        images=references.images,
        phrases=references.phrases,
        token_ids=references.token_ids,
        text=text,
        num_exemplars=3,
        threshold=1.0,
        outputs=[recorded_output(references, image) for image in range(4)],
    )
    assert empty.masks.shape == (0, 8, 8)
    write_references(tmp_path / "references.npz", empty)
    again = read_references(tmp_path / "references.npz")
    assert compare(recorded_output(references, 0), again, 0).detections_matched == 1


@pytest.mark.parametrize("length", [0, 10, 500, -1])
def test_a_truncated_file(references: References, tmp_path: Path, length: int) -> None:
    file = tmp_path / "references.npz"
    write_references(file, references)
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(BundleError, match="is damaged: expected a reference set"):
        read_references(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": np.zeros((4, 5), np.float32)}, "logits: expected float32 with axes"),
        ({"logits": np.zeros((4, 5, 5), np.float64)}, "logits: expected float32 with axes"),
        ({"boxes": np.zeros((4, 5, 6, 4), np.float32)}, "boxes: expected Q = 5, got 6"),
        ({"images": np.zeros((4, 28, 14, 3), np.uint8)}, "images: expected S = 28, got 14"),
        ({"mask_index": np.zeros((1, 3), np.int64)}, "mask_index: expected K = "),
        ({"phrases": ("one",)}, "expected P = 1, got 5"),
    ],
)
def test_arrays_that_do_not_fit(
    references: References, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    wrong = dataclasses.replace(references, **change)
    with pytest.raises(BundleError, match=message):
        write_references(tmp_path / "references.npz", wrong)
    assert not list(tmp_path.glob("*.npz*"))


def test_an_index_outside_is_refused(references: References, tmp_path: Path) -> None:
    index = references.mask_index.copy()
    index[0, 2] = 5
    with pytest.raises(BundleError, match="mask_index: expected indices into"):
        write_references(
            tmp_path / "references.npz", dataclasses.replace(references, mask_index=index)
        )


def test_the_same_engine_does_not_drift(
    references: References, bundle_path: Path, open_backend: Any
) -> None:
    backend = open_backend(bundle_path)
    for image in range(len(references)):
        drift = replay(backend, references, image, encode_text=True)
        assert drift.detections_matched == 1
        assert set(drift.max_abs) == set(TOLERANCES["fp32"].max_abs)
        check_drift(drift, "fp32")


def check_all(drifts: list[Drift]) -> None:
    for drift in drifts:
        check_drift(drift, "fp32")


@pytest.mark.parametrize("weight", ["mix", "to_logits", "to_presence", "to_boxes", "to_queries"])
def test_a_changed_weight_is_drift(
    references: References,
    make_bundle: Callable[..., Path],
    open_backend: Any,
    weight: str,
) -> None:
    changed = open_backend(make_bundle("changed", changes={weight: 0.5}))
    drifts = [replay(changed, references, image) for image in range(len(references))]
    with pytest.raises(EngineError, match=r"the engine has drifted .*: expected .*, got"):
        check_all(drifts)


def test_a_changed_text_graph_is_drift_only_where_text_is_encoded(
    references: References, make_bundle: Callable[..., Path], open_backend: Any
) -> None:
    references = dataclasses.replace(references, token_ids=references.token_ids.copy())
    references.token_ids[0, 0] = 99  # another word than the one that was recorded
    backend = open_backend(make_bundle("changed"))
    check_drift(replay(backend, references, 0), "fp32")
    with pytest.raises(EngineError, match="text_features: expected max difference"):
        check_drift(replay(backend, references, 0, encode_text=True), "fp32")


def test_swapped_queries_are_not_drift(references: References) -> None:
    output = recorded_output(references, 0)
    order = np.array([3, 1, 4, 0, 2])
    swapped = dataclasses.replace(
        output,
        logits=output.logits[:, order],
        boxes=output.boxes[:, order],
        masks=output.masks[:, order],
    )
    drift = compare(swapped, references, 0)
    assert drift == Drift(
        max_abs=dict.fromkeys(("logits", "presence", "boxes", "masks"), 0.0), detections_matched=1
    )


def test_a_new_detection_is_drift(references: References) -> None:
    output = recorded_output(references, 0)
    boxes = output.boxes.copy()
    quiet = dataclasses.replace(references, logits=references.logits.copy())
    quiet.logits[0, 0, 0] = -9.0
    output.logits[0, 0], output.presence[0] = 9.0, 9.0
    quiet.presence[0, 0] = 9.0
    boxes[0, 0] = (0.9, 0.9, 0.01, 0.01)
    drift = compare(dataclasses.replace(output, boxes=boxes), quiet, 0)
    assert drift.detections_matched < 1


@pytest.mark.parametrize("name", ["logits", "presence", "boxes"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_a_number_is_drift(references: References, name: str, value: float) -> None:
    output = recorded_output(references, 1)
    getattr(output, name).flat[0] = value
    backend = RecordedBackend([output], image_size=28, d_model=4)
    with pytest.raises(EngineError, match="has drifted"):
        check_drift(replay(backend, references, 1), "int8")


def test_masks_that_are_not_numbers_are_drift(references: References) -> None:
    image = int(references.mask_index[0, 0])
    output = recorded_output(references, image)
    output.masks[...] = np.nan
    assert compare(output, references, image).max_abs["masks"] == np.inf

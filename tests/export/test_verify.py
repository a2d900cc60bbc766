from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.manifest import DetectionAgreement, OutputDifference, Precision
from sam3_edge.errors import BundleError, CalibrationError, UsageError
from sam3_edge.export.evidence import Evidence
from sam3_edge.export.output_difference import note_difference, output_difference
from sam3_edge.export.query_twins import query_twins
from sam3_edge.export.verdict import Measured, tolerance_of, verdict
from sam3_edge.export.verify import check_reference, measure, verify
from tests.export.sabotage import after_output, scale_weight


def test_relative_error_and_cosine() -> None:
    wanted = np.array([3.0, 4.0], np.float32)
    difference = output_difference("boxes", wanted, np.array([3.0, 4.5], np.float32))
    assert difference.max_abs == pytest.approx(0.5)
    assert difference.relative_l2 == pytest.approx(0.1)
    tripled = output_difference("boxes", wanted, wanted * 3)
    assert tripled.cosine == pytest.approx(1.0)
    assert tripled.relative_l2 == pytest.approx(2.0)


def test_a_logit_near_zero_may_differ_by_a_little() -> None:
    wanted, got = np.array([[0.01]], np.float32), np.array([[0.02]], np.float32)
    assert output_difference("presence", wanted, got).relative_l2 == pytest.approx(0.01)
    assert output_difference("boxes", wanted, got).relative_l2 == pytest.approx(1.0)


def test_the_worst_picture_counts_and_nan_stays() -> None:
    one = OutputDifference(max_abs=1.0, relative_l2=0.1, cosine=0.9)
    other = OutputDifference(max_abs=2.0, relative_l2=0.05, cosine=0.95)
    broken = OutputDifference(max_abs=None, relative_l2=None, cosine=None)
    noted: dict[str, OutputDifference] = {}
    for difference in (one, other):
        note_difference(noted, "x", difference)
    assert noted["x"] == OutputDifference(max_abs=2.0, relative_l2=0.1, cosine=0.9)
    for difference in (broken, one):
        note_difference(noted, "x", difference)
    assert noted["x"] == broken


def test_queries_find_their_twins_in_any_order() -> None:
    random = np.random.default_rng(3)
    expected = {"logits": random.normal(size=(2, 9)), "boxes": random.uniform(size=(2, 9, 4))}
    order = random.permutation(9)
    twins = query_twins(expected, {name: value[:, order] for name, value in expected.items()})
    assert twins.num_without == 0
    assert np.array_equal(order[twins.twins], twins.queries)


def test_a_query_that_was_left_out_is_counted() -> None:
    random = np.random.default_rng(3)
    expected = {"logits": random.normal(size=(1, 9)), "boxes": random.uniform(0, 0.5, (1, 9, 4))}
    boxes = expected["boxes"].copy()
    boxes[0, 4] += 0.4
    twins = query_twins(expected, {"logits": expected["logits"], "boxes": boxes})
    assert (twins.num_queries, twins.num_without) == (9, 1)
    assert 4 not in twins.queries


def measured(detections: int = 100, **changes: Any) -> Measured:
    """All as it should be, but for the changes."""
    fine = OutputDifference(max_abs=0.0, relative_l2=0.0, cosine=1.0)
    values: dict[str, Any] = {
        "reference": "the tests",
        "images": 3,
        "pictures": "none",
        "outputs": {"vision.features_1x": fine, "decoder.logits": fine},
        "without_twin": 0.0,
        "detections": DetectionAgreement(
            reference_detections=detections,
            matched=1.0,
            score_difference=0.0,
            box_iou=1.0,
            mask_iou=1.0,
            presence_difference=0.0,
        ),
        "extra": 0.0,
        "finite": True,
    }
    return Measured(**{**values, **changes})


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_ap_may_fall_by_its_points(default_bundle: Bundle, precision: Precision) -> None:
    manifest = replace(default_bundle.manifest, precision=precision)
    limit = {"fp32": 0.001, "fp16": 0.005, "int8": 0.01}[precision]
    for fall, state in ((limit * 0.9, "passed"), (limit * 1.1, "failed"), (-0.1, "passed")):
        seen = measured(ap=0.5 - fall, reference_ap=0.5)
        assert verdict(manifest, seen)[0] == state
    assert "fall of box AP" in verdict(manifest, measured(ap=0.4, reference_ap=0.5))[1]


def test_too_few_detections_are_nothing_to_compare(default_bundle: Bundle) -> None:
    state, message = verdict(default_bundle.manifest, measured(detections=19))
    assert state == "not_run"
    assert message.startswith("nothing to compare")
    assert verdict(default_bundle.manifest, measured(detections=20))[0] == "passed"


def test_what_fails_first_and_what_fails_most_are_named(default_bundle: Bundle) -> None:
    off = [OutputDifference(max_abs=1.0, relative_l2=error, cosine=1.0) for error in (0.1, 0.9)]
    outputs = {"vision.features_1x": off[0], "decoder.logits": off[1]}
    state, message = verdict(default_bundle.manifest, measured(outputs=outputs, detections=3))
    assert state == "failed"
    assert message.startswith("vision.features_1x relative L2 error 0.1, at most 0.001")
    assert "worst of 2 that fail: decoder.logits" in message


def test_each_graph_is_held_to_its_own_arithmetic(default_bundle: Bundle) -> None:
    """An INT8 bundle's text graph stays FP16."""
    manifest = replace(default_bundle.manifest, precision="int8")
    graphs = dict(manifest.graphs)
    claims: dict[str, Precision] = {"vision": "int8", "text": "fp16"}
    for name, arithmetic in claims.items():
        claim = replace(graphs[name].precision, arithmetic=arithmetic)
        graphs[name] = replace(graphs[name], precision=claim)
    manifest = replace(manifest, graphs=graphs)
    off = OutputDifference(max_abs=1.0, relative_l2=0.1, cosine=1.0)
    assert tolerance_of(manifest, "vision.features_1x") is None
    assert verdict(manifest, measured(outputs={"vision.features_1x": off}))[0] == "passed"
    state, message = verdict(manifest, measured(outputs={"text.text_features": off}))
    assert (state, message.split()[0]) == ("failed", "text.text_features")


def test_against_what_the_bundle_carries(default_bundle: Bundle) -> None:
    verdict = verify(default_bundle, None, None)
    assert verdict.state == "passed", verdict.message
    assert verdict.images == 8
    assert verdict.detections is not None
    assert verdict.detections.reference_detections >= 20


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda m: after_output(m, "logits", "Mul", [np.array([3.0], np.float32)]), "chain.logits"),
        (
            lambda m: after_output(m, "presence", "Add", [np.array([1.0], np.float32)]),
            "chain.presence",
        ),
        (lambda m: after_output(m, "masks", "Mul", [np.array([1.1], np.float32)]), "chain.masks"),
    ],
)
def test_what_the_bundle_carries_catches_it_too(
    changed_bundle: Callable[..., Bundle], change: Any, word: str
) -> None:
    judged = verify(changed_bundle({"decoder": change}), None, None)
    assert judged.state == "failed"
    assert word in judged.message


def test_pictures_need_a_reference(default_bundle: Bundle, one_picture: Evidence) -> None:
    with pytest.raises(UsageError, match="--reference"):
        measure(default_bundle, None, one_picture)


def test_a_reference_of_another_model_is_refused(default_bundle: Bundle) -> None:
    manifest = default_bundle.manifest
    others = {
        "checkpoint": replace(
            manifest, provenance=replace(manifest.provenance, checkpoint_sha256="1" * 64)
        ),
        "model": replace(manifest, model=replace(manifest.model, image_size=28)),
        "FP32 ONNX graphs": replace(manifest, precision="fp16"),
        "graph exemplar": replace(
            manifest, graphs={k: v for k, v in manifest.graphs.items() if k != "exemplar"}
        ),
    }
    for word, other in others.items():
        with pytest.raises(BundleError, match=word):
            check_reference(default_bundle, replace(default_bundle, manifest=other))
    check_reference(default_bundle, default_bundle)


def test_calibration_pictures_prove_nothing(
    default_bundle: Bundle, one_picture: Evidence, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def seen_before(_calibration: object, sha256s: tuple[str, ...]) -> None:
        raise CalibrationError(f"seen: {sha256s[0]}")

    monkeypatch.setattr(Bundle, "calibration_path", property(lambda _: tmp_path / "c.json"))
    monkeypatch.setattr("sam3_edge.export.evidence.read_calibration", lambda _: None)
    monkeypatch.setattr("sam3_edge.export.evidence.check_disjoint", seen_before)
    shown = replace(one_picture, image_sha256=("f" * 64,))
    with pytest.raises(CalibrationError, match="seen: f"):
        measure(default_bundle, default_bundle, shown)


def test_fewer_prompts_at_a_time_change_nothing(
    default_bundle: Bundle, one_picture: Evidence, changed_bundle: Callable[..., Bundle]
) -> None:
    changed = changed_bundle({"vision": lambda m: scale_weight(m, 3, 1.001)})
    small = replace(changed, manifest=replace(changed.manifest, max_prompts=1))
    whole = measure(changed, default_bundle, one_picture, num_threads=1)
    parts = measure(small, default_bundle, one_picture, num_threads=1)
    assert parts.detections.reference_detections == whole.detections.reference_detections
    assert parts.outputs["decoder.masks"].relative_l2 == pytest.approx(0, abs=1e-5)

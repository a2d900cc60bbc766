from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_edge.engines.backend import RawOutput
from sam3_edge.export.agreement import DetectionTally, reference_output

QUERIES = 30


def logit(score: float | NDArray[Any]) -> Any:
    return np.log(score / (1 - np.asarray(score)))


@pytest.fixture
def arrays() -> dict[str, NDArray[np.float32]]:
    """One prompt, thirty boxes that do not touch, all of score 0.8, masks half full."""
    column, row = np.meshgrid(np.arange(6) / 6 + 0.08, np.arange(5) / 5 + 0.1)
    places = np.stack([column.ravel(), row.ravel()], axis=1)
    boxes = np.concatenate([places, np.full((QUERIES, 2), 0.1)], axis=1)
    masks = np.broadcast_to(np.linspace(-1, 1, 8), (1, QUERIES, 8, 8))
    values = {
        "logits": np.full((1, QUERIES), logit(0.8)),
        "presence": np.full((1, 1), 30.0),
        "boxes": boxes[None],
        "masks": masks,
    }
    return {name: value.astype(np.float32) for name, value in values.items()}


def judged(reference: dict[str, Any], changes: dict[str, Any]) -> DetectionTally:
    tally = DetectionTally()
    got = RawOutput(**{**reference, **changes}, vision_ms=0.0, decoder_ms=0.0)
    tally.add(reference_output(**reference), got)
    return tally


def test_the_same_is_all_found(arrays: dict[str, Any]) -> None:
    tally = judged(arrays, {})
    agreed = tally.result()
    assert (agreed.reference_detections, agreed.matched, tally.extra) == (QUERIES, 1.0, 0.0)
    assert (agreed.score_difference, agreed.mask_iou, agreed.presence_difference) == (0, 1, 0)
    assert agreed.box_iou == pytest.approx(1.0)


def test_the_order_of_queries_is_free(arrays: dict[str, Any]) -> None:
    order = np.random.default_rng(1).permutation(QUERIES)
    shuffled = {name: arrays[name][:, order] for name in ("logits", "boxes", "masks")}
    agreed = judged(arrays, shuffled).result()
    assert (agreed.matched, agreed.mask_iou) == (1.0, 1.0)


@pytest.mark.parametrize(("score", "matched"), [(0.29, 1.0), (0.21, 1.0), (0.19, 0.9)])
def test_a_partner_may_be_at_the_edge_but_not_gone(
    arrays: dict[str, Any], score: float, matched: float
) -> None:
    logits = arrays["logits"].copy()
    logits[0, :3] = logit(score)
    assert judged(arrays, {"logits": logits}).result().matched == pytest.approx(matched)


def test_one_box_answers_for_one_detection(arrays: dict[str, Any]) -> None:
    boxes = arrays["boxes"].copy()
    boxes[0, 1] = boxes[0, 0]  # two on the first, none on the second
    tally = judged(arrays, {"boxes": boxes})
    assert tally.result().matched == pytest.approx(29 / 30)
    assert tally.extra == pytest.approx(1 / 30)


def test_another_prompt_is_no_partner(arrays: dict[str, Any]) -> None:
    both = {name: np.concatenate([value, value]) for name, value in arrays.items()}
    both["logits"] = both["logits"].copy()
    both["logits"][1] = logit(0.01)
    swapped = judged(both, {"logits": both["logits"][::-1]})
    assert swapped.result().matched == 0.0
    assert swapped.extra == 1.0


def test_masks_are_compared_as_bits(arrays: dict[str, Any]) -> None:
    assert judged(arrays, {"masks": arrays["masks"] * 5}).result().mask_iou == 1.0
    assert judged(arrays, {"masks": -arrays["masks"]}).result().mask_iou == 0.0


@pytest.mark.parametrize("name", ["logits", "presence", "boxes", "masks"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_noticed(arrays: dict[str, Any], name: str, value: float) -> None:
    broken = arrays[name].copy()
    broken.flat[0] = value
    assert not judged(arrays, {name: broken}).finite


def test_presence_is_compared_as_a_share(arrays: dict[str, Any]) -> None:
    got = judged(arrays, {"presence": np.array([[0.0]], np.float32)}).result()
    assert got.presence_difference == pytest.approx(0.5)

"""Average precision of answers whose result is known beforehand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_edge.training.average_precision import Answer, Objects, average_precision

FISH = [[10, 10, 50, 40], [60, 20, 90, 70]]


def filled(boxes: list[list[int]]) -> list[NDArray[np.bool_]]:
    masks = []
    for x0, y0, x1, y1 in boxes:
        bits = np.zeros((80, 100), np.bool_)
        bits[y0:y1, x0:x1] = True
        masks.append(bits)
    return masks


def objects(boxes: list[list[int]], *, masks: bool) -> Objects:
    return Objects(
        boxes=np.array(boxes, np.float32).reshape(-1, 4), masks=filled(boxes) if masks else None
    )


def answer(
    truth: list[list[int]],
    found: list[list[int]],
    scores: list[float],
    *,
    picture: int = 0,
    phrase: str = "fish",
    ignore: list[bool] | None = None,
    masks: bool = True,
) -> Answer:
    return Answer(
        picture=picture,
        phrase=phrase,
        truth=objects(truth, masks=masks),
        ignore=np.array(ignore or [False] * len(truth), np.bool_),
        found=objects(found, masks=masks),
        scores=np.array(scores, np.float32),
    )


def test_the_truth_itself_is_perfect() -> None:
    scores = average_precision([answer(FISH, FISH, [0.9, 0.6])])
    assert (scores.ap, scores.ap50, scores.mask_ap, scores.mask_ap50) == pytest.approx((1.0,) * 4)
    (fish,) = scores.phrases
    assert fish.objects == 2
    assert fish.threshold == pytest.approx(0.6)


def test_nothing_found_is_zero() -> None:
    scores = average_precision([answer(FISH, [], [])])
    assert (scores.ap, scores.ap50, scores.mask_ap) == (0.0, 0.0, 0.0)
    assert scores.phrases[0].threshold is None


def test_half_found_is_half() -> None:
    scores = average_precision([answer(FISH, FISH[:1], [0.9])])
    assert scores.ap50 == pytest.approx(51 / 101)  # recall points 0.00 to 0.50


def test_a_worse_false_alarm_costs_nothing_and_a_better_one_does() -> None:
    wrong = [1, 60, 9, 79]
    after = average_precision([answer(FISH, [*FISH, wrong], [0.9, 0.8, 0.3])])
    before = average_precision([answer(FISH, [*FISH, wrong], [0.9, 0.8, 0.95])])
    assert after.ap50 == pytest.approx(1.0)
    assert after.phrases[0].threshold == pytest.approx(0.8)
    assert before.ap50 == pytest.approx(2 / 3)


def test_a_loose_box_counts_at_low_iou_only() -> None:
    loose = [[10, 10, 50, 50], FISH[1]]  # IoU 0.75 with the first
    scores = average_precision([answer(FISH, loose, [0.9, 0.8])])
    assert scores.ap50 == pytest.approx(1.0)
    assert 0.5 < scores.ap < 1.0


def test_what_is_to_be_ignored_is_neither_missed_nor_wrong() -> None:
    ignore = [False, True]
    for found, scores in ((FISH[:1], [0.5]), (FISH, [0.5, 0.9])):
        result = average_precision([answer(FISH, found, scores, ignore=ignore)])
        assert result.ap == pytest.approx(1.0)
        assert result.phrases[0].objects == 1


def test_a_false_alarm_in_a_picture_without_the_phrase_counts() -> None:
    first = answer(FISH, FISH, [0.5, 0.5])
    alarm = answer([], FISH[:1], [0.9], picture=1)
    assert average_precision([first, alarm]).ap50 == pytest.approx(2 / 3)


def test_phrases_are_judged_apart_and_averaged() -> None:
    fish = answer(FISH, FISH, [0.9, 0.8])
    shark = answer(FISH, [], [], phrase="shark")
    absent = answer([], FISH[:1], [0.9], phrase="puffin")
    scores = average_precision([fish, shark, absent])
    assert [p.phrase for p in scores.phrases] == ["fish", "shark"]
    assert [p.ap for p in scores.phrases] == pytest.approx([1.0, 0.0])
    assert scores.ap == pytest.approx(0.5)


def test_without_masks_only_boxes_are_judged() -> None:
    scores = average_precision([answer(FISH, FISH, [0.9, 0.8], masks=False)])
    assert scores.ap == pytest.approx(1.0)
    assert (scores.mask_ap, scores.mask_ap50) == (None, None)


def test_a_mask_is_judged_by_its_pixels_and_not_by_its_box() -> None:
    thin = answer(FISH[:1], FISH[:1], [0.9])
    assert thin.found.masks is not None
    thin.found.masks[0][12:38, 12:48] = False
    scores = average_precision([thin])
    assert (scores.ap, scores.mask_ap50) == pytest.approx((1.0, 0.0))


def test_nothing_to_find_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one object to find, got none"):
        average_precision([answer([], FISH, [0.9, 0.8])])
    with pytest.raises(ValueError, match="at least one object"):
        average_precision([])


def test_it_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    average_precision([answer(FISH, FISH, [0.9, 0.8])])
    assert capsys.readouterr().out == ""

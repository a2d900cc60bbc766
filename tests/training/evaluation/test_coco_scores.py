"""Average precision of answers whose result is known beforehand, and against pycocotools."""

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sam3_edge.runtime.rle import decode_rle, encode_rle
from sam3_edge.training.evaluation.answers import Answer, Objects
from sam3_edge.training.evaluation.coco_pictures import CocoPictures
from sam3_edge.training.evaluation.coco_scores import CocoScores, KindScores, coco_scores
from sam3_edge.training.evaluation.pictures import ScenePictures, each
from sam3_edge.training.evaluation.regions import Kind

Ask = Callable[..., Answer]
FISH = [[10, 10, 50, 40], [60, 20, 90, 70]]


def boxes_of(*answers: Answer) -> CocoScores:
    return coco_scores(answers, "bbox").mean


def masks_of(*answers: Answer) -> CocoScores:
    return coco_scores(answers, "segm").mean


def test_the_truth_itself_is_perfect(ask: Ask) -> None:
    answer = ask(FISH, FISH, [0.9, 0.6])
    for kind in ("bbox", "segm"):
        scores = coco_scores([answer], kind)
        mean = scores.mean
        assert (mean.ap, mean.ap50, mean.ap75, mean.ar100) == pytest.approx((1.0,) * 4)
        assert (mean.ar1, mean.ar10) == pytest.approx((0.5, 1.0))
        (fish,) = scores.phrases
        assert (fish.objects, fish.threshold) == pytest.approx((2, 0.6))
        assert fish.scores == mean


def test_objects_count_by_their_size(ask: Ask) -> None:
    """32^2 and 96^2 pixels: 1200 and 1500 of the two are medium, and nothing is small or large."""
    mean = boxes_of(ask(FISH, FISH, [0.9, 0.8]))
    assert (mean.aps, mean.apm, mean.apl) == pytest.approx((None, 1.0, None))
    small = ask([[0, 0, 31, 31]], [[0, 0, 31, 31]], [0.9])
    assert (boxes_of(small).aps, boxes_of(small).apm) == pytest.approx((1.0, None))


def test_a_given_area_comes_before_the_boxs(ask: Ask) -> None:
    answer = ask(FISH, FISH, [0.9, 0.8])
    said = replace(answer.truth, areas=np.array([900.0, 9e4]), mask_areas=np.array([900.0, 900.0]))
    given = replace(answer, truth=said)
    mean = boxes_of(given)
    assert (mean.aps, mean.apm, mean.apl) == pytest.approx((1.0, None, 1.0))
    assert (masks_of(given).aps, masks_of(given).apl) == pytest.approx((1.0, None))


def test_nothing_found_is_zero(ask: Ask) -> None:
    scores = coco_scores([ask(FISH, [], [])], "bbox")
    assert (scores.mean.ap, scores.mean.ap50, scores.mean.ar100) == (0.0, 0.0, 0.0)
    assert scores.phrases[0].threshold is None


def test_half_found_is_half(ask: Ask) -> None:
    half = boxes_of(ask(FISH, FISH[:1], [0.9]))
    assert half.ap50 == pytest.approx(51 / 101)  # recall points 0.00 to 0.50
    assert half.ar100 == pytest.approx(0.5)


def test_a_worse_false_alarm_costs_nothing_and_a_better_one_does(ask: Ask) -> None:
    wrong = [1, 60, 9, 79]
    after = coco_scores([ask(FISH, [*FISH, wrong], [0.9, 0.8, 0.3])], "bbox")
    before = boxes_of(ask(FISH, [*FISH, wrong], [0.9, 0.8, 0.95]))
    assert after.mean.ap50 == pytest.approx(1.0)
    assert after.phrases[0].threshold == pytest.approx(0.8)
    assert before.ap50 == pytest.approx(2 / 3)


def test_a_loose_box_counts_at_low_iou_only(ask: Ask) -> None:
    """IoU 0.75 counts at 0.50, 0.55 ... 0.75, six of the ten."""
    mean = boxes_of(ask(FISH[:1], [[10, 10, 50, 50]], [0.9]))
    assert (mean.ap50, mean.ap75, mean.ap) == pytest.approx((1.0, 1.0, 0.6))


def test_what_is_to_be_ignored_is_neither_missed_nor_wrong(ask: Ask) -> None:
    for found, scores in ((FISH[:1], [0.5]), (FISH, [0.5, 0.9])):
        answer = ask(FISH, found, scores, ignore=[False, True])
        for kind in ("bbox", "segm"):
            result = coco_scores([answer], kind)
            assert result.mean.ap == pytest.approx(1.0)
            assert result.phrases[0].objects == 1


def test_an_object_without_a_mask_is_not_judged_by_mask(ask: Ask) -> None:
    whole = ask(FISH, FISH, [0.5, 0.9])
    masks = whole.truth.masks or ()
    for found in (whole.found, Objects(boxes=whole.found.boxes[:1], masks=masks[:1])):
        scores = whole.scores[: len(found)]
        partly = Objects(boxes=whole.truth.boxes, masks=(masks[0], None))
        answer = replace(whole, truth=partly, found=found, scores=scores)
        assert masks_of(answer).ap == pytest.approx(1.0)
        assert coco_scores([answer], "segm").phrases[0].objects == 1
        assert coco_scores([answer], "bbox").phrases[0].objects == 2


def test_a_false_alarm_in_a_picture_without_the_phrase_counts(ask: Ask) -> None:
    first = ask(FISH, FISH, [0.5, 0.5])
    alarm = ask([], FISH[:1], [0.9], picture=1)
    assert boxes_of(first, alarm).ap50 == pytest.approx(2 / 3)


def test_phrases_are_judged_apart_and_those_with_an_object_averaged(ask: Ask) -> None:
    fish = ask(FISH, FISH, [0.9, 0.8])
    shark = ask(FISH, [], [], phrase="shark")
    absent = ask([], FISH[:1], [0.9], phrase="puffin")
    scores = coco_scores([fish, shark, absent], "bbox")
    assert [p.phrase for p in scores.phrases] == ["fish", "shark", "puffin"]
    assert [p.scores.ap for p in scores.phrases] == [pytest.approx(1.0), 0.0, None]
    assert [p.objects for p in scores.phrases] == [2, 2, 0]
    assert scores.mean.ap == pytest.approx(0.5)


def test_a_mask_is_judged_by_its_pixels_and_not_by_its_box(ask: Ask) -> None:
    answer = ask(FISH[:1], FISH[:1], [0.9])
    ring = np.zeros(answer.size, np.bool_)
    ring[10:40, 10:50] = True
    ring[12:38, 12:48] = False
    thin = replace(answer, found=replace(answer.found, masks=(encode_rle(ring),)))
    assert (boxes_of(thin).ap, masks_of(thin).ap50) == pytest.approx((1.0, 0.0))


def test_nothing_to_find_is_undefined(ask: Ask) -> None:
    for answers in ([], [ask([], FISH, [0.9, 0.8])]):
        mean = coco_scores(answers, "bbox").mean
        assert (mean.ap, mean.ap50, mean.apm, mean.ar100) == (None,) * 4


def test_it_says_nothing(ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    boxes_of(ask(FISH, FISH, [0.9, 0.8]))
    assert capsys.readouterr().out == ""


# -- against pycocotools, fed with files as its users do --------------------------------------


def guesses(pictures: Any, seed: int) -> list[Answer]:
    """Shifted, doubled, missing and invented objects for each phrase of each picture."""
    rng, answers = np.random.default_rng(seed), []
    for number, picture in enumerate(each(pictures)):
        height, width = picture.image.shape[:2]
        for index, phrase in enumerate(picture.phrases):
            mine = np.flatnonzero(picture.phrase == index)
            kept = rng.permutation(np.repeat(mine, 2))[: max(1, len(mine))] if len(mine) else mine
            boxes = picture.boxes[kept] + rng.normal(0, 1.5, (len(kept), 4))
            boxes = np.concatenate((boxes, rng.uniform([0, 0, 31, 31], [30, 30, 61, 61])[None]))
            bits = np.zeros((len(boxes), height, width), np.bool_)
            for one, (x0, y0, x1, y1) in zip(bits, boxes.round().astype(int), strict=True):
                one[max(y0, 0) : y1, max(x0, 0) : x1] = True
            truth = Objects(
                boxes=picture.boxes[mine],
                masks=tuple((picture.masks or ())[i] for i in mine),
                areas=None if picture.areas is None else picture.areas[mine],
                mask_areas=None if picture.mask_areas is None else picture.mask_areas[mine],
            )
            answers.append(
                Answer(
                    picture=number, path="", size=(height, width), phrase=phrase, truth=truth,
                    ignore=picture.ignore[mine],
                    found=Objects(boxes=boxes, masks=tuple(map(encode_rle, bits))),
                    scores=rng.random(len(boxes)), presence=0.5,
                )
            )  # fmt: skip
    return answers


def results(
    answers: list[Answer], kind: Kind, images: list[int], categories: dict[str, int]
) -> Any:
    """COCO's results format."""
    entries = []
    for answer in answers:
        for i, (x0, y0, x1, y1) in enumerate(answer.found.boxes.tolist()):
            entry: dict[str, Any] = {
                "image_id": images[answer.picture],
                "score": float(answer.scores[i]),
            }
            entry["category_id"] = categories[answer.phrase]
            if kind == "bbox":
                entry["bbox"] = [x0, y0, x1 - x0, y1 - y0]
            else:
                counts = (answer.found.masks or ())[i]
                entry["segmentation"] = {"size": list(answer.size), "counts": counts}
            entries.append(entry)
    return entries


def summary(annotations: Path, found: Path, kind: Kind) -> list[float | None]:
    """AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100 as pycocotools itself sums them up."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        judge = COCOeval(truth, truth.loadRes(str(found)), kind)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return [None if value == -1.0 else float(value) for value in judge.stats[:9]]


def in_order(scores: KindScores) -> list[float | None]:
    mean = scores.mean
    return [mean.ap, mean.ap50, mean.ap75, mean.aps, mean.apm, mean.apl,
            mean.ar1, mean.ar10, mean.ar100]  # fmt: skip


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_equal_to_pycocotools_on_scenes(kind: Kind, tmp_path: Path) -> None:
    pictures = ScenePictures(3, width=240, height=160)
    answers = guesses(pictures, 1)
    categories = {phrase: 10 + i for i, phrase in enumerate(pictures.phrases)}
    entries: list[dict[str, Any]] = []
    for answer in answers:
        for i, (x0, y0, x1, y1) in enumerate(answer.truth.boxes.tolist()):
            counts = (answer.truth.masks or ())[i]
            ones = (x1 - x0) * (y1 - y0) if kind == "bbox" else pixels(answer, counts or "")
            entries.append(
                {"id": len(entries) + 1, "image_id": answer.picture, "area": ones,
                 "category_id": categories[answer.phrase], "iscrowd": int(answer.ignore[i]),
                 "bbox": [x0, y0, x1 - x0, y1 - y0],
                 "segmentation": {"size": [160, 240], "counts": counts}}
            )  # fmt: skip
    data = {
        "images": [{"id": n, "width": 240, "height": 160} for n in range(3)],
        "categories": [{"id": id_, "name": name} for name, id_ in categories.items()],
        "annotations": entries,
    }
    (tmp_path / "truth.json").write_text(json.dumps(data))
    found = results(answers, kind, [0, 1, 2], categories)
    (tmp_path / "found.json").write_text(json.dumps(found))
    expected = summary(tmp_path / "truth.json", tmp_path / "found.json", kind)
    assert expected[0]
    assert in_order(coco_scores(answers, kind)) == pytest.approx(expected, abs=1e-12)


def pixels(answer: Answer, counts: str) -> int:
    return int(decode_rle(answer.size, counts).sum())


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_equal_to_pycocotools_on_human_annotations(
    kind: Kind, shared: Path, tmp_path: Path
) -> None:
    """Polygons, crowds and areas as COCO gives them."""
    annotations = shared / "data/coco_permissive/instances.json"
    pictures = CocoPictures(annotations, limit=25)
    data = json.loads(annotations.read_text())
    data["images"] = data["images"][:25]
    images = [image["id"] for image in data["images"]]
    data["annotations"] = [a for a in data["annotations"] if a["image_id"] in images]
    answers = guesses(pictures, 2)
    categories = {category["name"]: category["id"] for category in data["categories"]}
    (tmp_path / "truth.json").write_text(json.dumps(data))
    found = results(answers, kind, images, categories)
    (tmp_path / "found.json").write_text(json.dumps(found))
    expected = summary(tmp_path / "truth.json", tmp_path / "found.json", kind)
    assert expected[0]
    assert in_order(coco_scores(answers, kind)) == pytest.approx(expected, abs=1e-9)

"""The parts of the YOLO baseline that need neither its library nor a training."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_edge.errors import DatasetError, UsageError
from sam3_edge.training.evaluation.coco_pictures import CocoPictures
from sam3_edge.training.evaluation.coco_scores import coco_scores
from sam3_edge.training.evaluation.pictures import each

SIZE = (60, 80)
SETTINGS = {"minutes": 1.0, "threads": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Modules:
    pictures: ModuleType
    answers: ModuleType
    training: ModuleType


@pytest.fixture(scope="module")
def modules(root: Path) -> Iterator[Modules]:
    sys.path.insert(0, str(root / "benchmarks"))
    try:
        names = ("pictures", "answers", "training")
        yield Modules(**{name: importlib.import_module(f"yolo_{name}") for name in names})
    finally:
        sys.path.remove(str(root / "benchmarks"))


# ------------------------------ annotations ------------------------------


def write_set(folder: Path, boxes: dict[str, list[tuple[str, list[float]]]], **more: Any) -> Path:
    """boxes: by photo, category and x, y, width, height. more: of every annotation."""
    folder.mkdir(parents=True)
    names = sorted({name for found in boxes.values() for name, _ in found} | {"Unused"})
    for photo in boxes:
        cv2.imwrite(str(folder / photo), np.zeros((*SIZE, 3), np.uint8))
    ids = {photo: 100 + i for i, photo in enumerate(boxes)}
    entries = [
        {"id": 7 + i, "image_id": ids[photo], "category_id": names.index(name), "bbox": box, **more}
        for i, (photo, name, box) in enumerate(
            (photo, name, box) for photo, found in boxes.items() for name, box in found
        )
    ]
    data = {
        "images": [
            {"id": i, "file_name": n, "width": SIZE[1], "height": SIZE[0]} for n, i in ids.items()
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names)],
        "annotations": entries,
    }
    path = folder / "_annotations.coco.json"
    path.write_text(json.dumps(data))
    return path


def flat(data: dict[str, Any]) -> set[tuple[str, str, tuple[float, ...]]]:
    """(photo, category, box) of each annotation."""
    photos = {i["id"]: Path(i["file_name"]).name for i in data["images"]}
    names = {c["id"]: c["name"] for c in data["categories"]}
    return {
        (photos[a["image_id"]], names[a["category_id"]], tuple(a["bbox"]))
        for a in data["annotations"]
    }


def test_merged_sets_keep_every_box_of_every_photo(modules: Modules, tmp_path: Path) -> None:
    first = write_set(
        tmp_path / "a",
        {"x.png": [("fish", [1, 2, 3, 4]), ("shark", [5, 5, 9, 9])], "y.png": []},
    )
    second = write_set(tmp_path / "b", {"z.png": [("Fish", [2, 2, 2, 2]), ("boot", [0, 0, 8, 8])]})
    sets = [modules.pictures.AnnotatedSet(annotations=path) for path in (first, second)]
    made = modules.pictures.training_pictures(sets)
    assert flat(made) == {
        ("x.png", "fish", (1, 2, 3, 4)), ("x.png", "shark", (5, 5, 9, 9)),
        ("z.png", "fish", (2, 2, 2, 2)), ("z.png", "boot", (0, 0, 8, 8)),
    }  # fmt: skip
    # The classes that are judged are all there; those that only others name need an object.
    assert sorted(c["name"] for c in made["categories"]) == ["boot", "fish", "shark", "unused"]
    for kind in ("images", "annotations", "categories"):
        ids = [entry["id"] for entry in made[kind]]
        assert len({*ids}) == len(ids)
    assert all(Path(image["file_name"]).is_file() for image in made["images"])


def test_crowds_and_empty_boxes_teach_nothing(modules: Modules, tmp_path: Path) -> None:
    crowd = write_set(tmp_path / "a", {"x.png": [("fish", [1, 2, 3, 4])]}, iscrowd=1)
    empty = write_set(tmp_path / "b", {"y.png": [("fish", [1, 2, 0, 4])]})
    sets = [modules.pictures.AnnotatedSet(annotations=path) for path in (crowd, empty)]
    assert flat(modules.pictures.training_pictures(sets)) == set()


def test_a_photo_is_trained_on_or_held_out(modules: Modules, tmp_path: Path) -> None:
    photos = {f"p{i}.rf.0a{i}.png": [("fish", [1.0, 2.0, 3.0, 4.0])] for i in range(5)}
    path = write_set(tmp_path / "a", photos)
    split = tmp_path / "a.json"
    split.write_text(
        json.dumps({"held_out": ["reef"], "groups": {"reef": ["p1", "p3"], "kelp": ["p0"]}})
    )
    held_out = modules.pictures.read_held_out(split)
    unseen = modules.pictures.chosen_photos(modules.pictures.read_set(path), held_out, keep=True)
    one = modules.pictures.AnnotatedSet(annotations=path, held_out=held_out)
    learned = flat(modules.pictures.training_pictures([one]))
    assert {photo[:2] for photo, _, _ in flat(unseen)} == {"p1", "p3"}
    assert {photo[:2] for photo, _, _ in learned} == {"p0", "p2", "p4"}


def test_what_is_no_split_or_no_set_is_refused(modules: Modules, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(DatasetError, match=r"a\.json"):
        modules.pictures.read_set(path)
    path.write_text('{"groups": {}, "held_out": ["reef"]}')
    with pytest.raises(DatasetError, match="reef"):
        modules.pictures.read_held_out(path)
    (annotations := write_set(tmp_path / "a", {"x.png": []})).with_name("x.png").unlink()
    with pytest.raises(DatasetError, match=r"x\.png"):
        modules.pictures.read_set(annotations)


# ------------------------------ detections ------------------------------


def as_output(boxes: list[list[float]], scores: list[list[float]], scale: float) -> Any:
    """What the network would say of xyxy pixels of a picture, with objectness of one half."""
    corners = np.array(boxes, np.float32) * scale
    centre, sides = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
    half = np.full((len(boxes), 1), 0.5, np.float32)
    return np.concatenate((centre, sides, half, np.array(scores, np.float32)), axis=1)


@pytest.mark.parametrize("size", [SIZE, (80, 60), (64, 64)])
def test_boxes_come_back_in_pixels_of_the_picture(modules: Modules, size: tuple[int, int]) -> None:
    pixels, scale = modules.answers.letterbox(np.zeros((*size, 3), np.uint8), 96)
    assert pixels.shape == (1, 3, 96, 96)
    assert (pixels == 0).all(axis=1).sum() == int(size[0] * scale) * int(size[1] * scale)
    boxes = [[10.0, 20.0, 30.0, 44.0], [0.0, 0.0, 50.0, 9.0]]
    found = modules.answers.decode(as_output(boxes, [[0.2, 0.8], [0.9, 0.1]], scale), scale, size)
    np.testing.assert_allclose(found.boxes, boxes[::-1], atol=1e-4)
    np.testing.assert_allclose(found.scores, [0.45, 0.4])
    assert found.classes.tolist() == [0, 1]


def test_of_overlapping_boxes_of_a_class_the_best_stays(modules: Modules) -> None:
    box = [10.0, 10.0, 40.0, 40.0]
    scores = [[0.5, 0.0], [0.9, 0.0], [0.0, 0.7], [0.001, 0.0]]
    output = as_output([box, box, box, [50.0, 0.0, 60.0, 5.0]], scores, 1.0)
    found = modules.answers.decode(output, 1.0, SIZE)
    np.testing.assert_allclose(found.scores, [0.45, 0.35])
    assert found.classes.tolist() == [0, 1]


class Oracle:
    """Finds every fish where it is, and no other class."""

    classes = ("shark", "fish")

    def __init__(self, found: Any, boxes: list[list[float]]) -> None:
        self._found, self._boxes = found, boxes

    def find(self, image: NDArray[np.uint8]) -> Any:
        assert image.shape == (*SIZE, 3)
        count = len(self._boxes)
        return self._found(
            boxes=np.array(self._boxes), scores=np.ones(count), classes=np.ones(count, np.int64)
        )


def test_a_class_is_judged_under_its_own_name(modules: Modules, tmp_path: Path) -> None:
    path = write_set(
        tmp_path / "a",
        {"x.png": [("Fish", [10, 10, 20, 20]), ("shark", [40, 10, 20, 20])]},
    )
    pictures = CocoPictures(path)
    oracle = Oracle(modules.answers.Found, [[10.0, 10.0, 30.0, 30.0]])
    scores = coco_scores(list(modules.answers.yolo_answers(oracle, each(pictures))), "bbox")
    assert {p.phrase.lower(): p.scores.ap for p in scores.phrases if p.objects} == {
        "fish": pytest.approx(1.0),
        "shark": 0.0,
    }


# ------------------------------ trainings ------------------------------


def test_a_training_goes_on_only_when_asked(modules: Modules, tmp_path: Path) -> None:
    def ready(**asked: Any) -> Any:
        settings = SETTINGS | asked.pop("settings", {})
        given = {"pictures": "{}", "resume": False} | asked
        return modules.training.already_trained(
            tmp_path, settings, given["pictures"], resume=given["resume"]
        )

    assert ready() is False
    assert ready() is False  # nothing was trained yet
    (tmp_path / "checkpoint.pt").touch()
    with pytest.raises(UsageError, match="--resume"):
        ready()
    assert ready(resume=True) is False
    (tmp_path / "model.onnx").touch()
    assert ready() is True
    with pytest.raises(UsageError, match="minutes 1"):
        ready(settings={"minutes": 2.0})
    with pytest.raises(UsageError):
        ready(pictures="[]")


def test_missing_data_is_one_line(root: Path, tmp_path: Path) -> None:
    script = root / "benchmarks/yolo_baseline.py"
    given = ["--data", str(tmp_path), "--work", str(tmp_path / "work"), "--minutes", "1"]
    ran = subprocess.run(
        [sys.executable, str(script), *given], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1
    assert str(tmp_path / "aquarium") in ran.stderr
    assert not (tmp_path / "work").exists()

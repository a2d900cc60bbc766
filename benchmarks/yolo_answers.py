"""What a YOLOX in ONNX finds in a picture, as sam3-edge's evaluation wants to hear it."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from sam3_edge.engines.onnxruntime_session import onnxruntime_errors
from sam3_edge.errors import EngineError
from sam3_edge.runtime.tokenizer import normalise
from sam3_edge.training.evaluation.answers import Answer, Objects
from sam3_edge.training.evaluation.pictures import JudgedPicture
from sam3_edge.training.evaluation.raw_answers import LEAST_SCORE

NMS_IOU = 0.65  # YOLOX's own for evaluation
GREY = 114


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """N objects, best first. boxes: (N, 4) float64 xyxy pixels of the picture, inside it.
    scores: (N,) float64, 0..1. classes: (N,) int64.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]


def letterbox(image: NDArray[np.uint8], side: int) -> tuple[NDArray[np.float32], float]:
    """image: (H, W, 3) uint8 BGR -> (1, 3, side, side) float32 BGR 0..255, the picture in its upper
    left and grey where it does not reach; and pixels of the square per pixel of the picture.
    """
    height, width = image.shape[:2]
    scale = side / max(height, width)
    rows, columns = max(int(height * scale), 1), max(int(width * scale), 1)
    square = np.full((side, side, 3), GREY, np.uint8)
    square[:rows, :columns] = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(square.transpose(2, 0, 1)[None], dtype=np.float32), scale


def decode(
    output: NDArray[np.float32], scale: float, size: tuple[int, int], least: float = LEAST_SCORE
) -> Found:
    """output: (N, 5 + classes), see yolo_environment/train.py. size: (H, W) of the picture.

    Each cell answers with its best class; non-maximum suppression is within a class.
    """
    best = output[:, 5:].argmax(axis=1)
    scores = output[:, 4] * output[np.arange(len(output)), 5 + best]
    kept = scores >= least
    centre, half = output[kept, :2], output[kept, 2:4] / 2
    corners = np.concatenate((centre - half, centre + half), axis=1) / scale
    boxes = corners.clip(0, [size[1], size[0]] * 2)
    best, scores = best[kept], scores[kept]
    chosen = _suppressed(boxes, scores, best)
    return Found(
        boxes=boxes[chosen].astype(np.float64),
        scores=scores[chosen].astype(np.float64),
        classes=best[chosen].astype(np.int64),
    )


class Yolo:
    """folder: holds model.onnx and model.json. Raises EngineError for what cannot be loaded."""

    def __init__(self, folder: Path, threads: int) -> None:
        self.path = folder / "model.onnx"
        self.about: dict[str, Any] = json.loads((folder / "model.json").read_text())
        self.classes = tuple(normalise(name) for name in self.about["classes"])
        self.image_size = int(self.about["image_size"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        with onnxruntime_errors(EngineError, f"{self.path} cannot be loaded", "train it again"):
            self._session = onnxruntime.InferenceSession(
                str(self.path), options, providers=["CPUExecutionProvider"]
            )

    def run(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """pixels: as `letterbox` makes them -> (N, 5 + classes)."""
        output: NDArray[np.float32] = self._session.run(None, {"images": pixels})[0][0]
        return output

    def find(self, image: NDArray[np.uint8], least: float = LEAST_SCORE) -> Found:
        """image: (H, W, 3) uint8 BGR."""
        pixels, scale = letterbox(image, self.image_size)
        return decode(self.run(pixels), scale, (image.shape[0], image.shape[1]), least)


def yolo_answers(yolo: Yolo, pictures: Iterable[JudgedPicture]) -> Iterator[Answer]:
    """Every phrase of every picture; one that is no class of the model has no answer but silence.

    There is no presence but the best score.
    """
    for number, picture in enumerate(pictures):
        found = yolo.find(np.ascontiguousarray(picture.image[:, :, ::-1]))
        for index, phrase in enumerate(picture.phrases):
            name = normalise(phrase)
            known = yolo.classes.index(name) if name in yolo.classes else -1
            mine = found.classes == known
            yield _answer(picture, number, index, found.boxes[mine], found.scores[mine])


def _answer(
    picture: JudgedPicture,
    number: int,
    index: int,
    boxes: NDArray[np.float64],
    scores: NDArray[np.float64],
) -> Answer:
    true = picture.phrase == index
    areas = picture.areas
    return Answer(
        picture=number,
        path=picture.path,
        size=(picture.image.shape[0], picture.image.shape[1]),
        phrase=picture.phrases[index],
        truth=Objects(
            boxes=picture.boxes[true],
            masks=None,
            areas=None if areas is None else areas[true],
        ),
        ignore=picture.ignore[true],
        found=Objects(boxes=boxes, masks=None),
        scores=scores,
        presence=float(scores.max(initial=0.0)),
    )


def _suppressed(
    boxes: NDArray[np.float64], scores: NDArray[np.float32], classes: NDArray[np.int64]
) -> NDArray[np.intp]:
    """Indices that stay, best first."""
    if not len(boxes):
        return np.empty(0, np.intp)
    sides = np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), axis=1)
    kept = cv2.dnn.NMSBoxesBatched(sides.tolist(), scores.tolist(), classes.tolist(), 0.0, NMS_IOU)
    chosen = np.asarray(kept, dtype=np.intp).reshape(-1)
    return chosen[np.argsort(-scores[chosen], kind="stable")]

"""How good the model is on the validation sets: numbers by name, and pictures to look at."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from lightning.fabric import Fabric
from numpy.typing import NDArray

from sam3_edge.errors import UsageError
from sam3_edge.runtime.tokenizer import Tokenizer
from sam3_edge.training.config.schema import DataSection, Precision, TrainerSection
from sam3_edge.training.data.augment import plain_sample
from sam3_edge.training.data.labelled import LabelledPicture
from sam3_edge.training.data.targets import collate
from sam3_edge.training.evaluation.answers import Answer
from sam3_edge.training.evaluation.checkpoint_answers import checkpoint_answers
from sam3_edge.training.evaluation.false_alarms import (
    AbsentScores,
    FalseAlarms,
    absent_scores,
    false_alarms,
    fit_thresholds,
)
from sam3_edge.training.evaluation.pictures import JudgedPicture, JudgedPictures
from sam3_edge.training.evaluation.report import Report, make_report, report_to_json
from sam3_edge.training.event_log import draw_predictions
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.objective import moved
from sam3_edge.training.placement import chosen_precision

# Families of metrics; the first part of a metric's name without its data set.
KINDS = ("bbox", "segm")


def evaluate(
    fabric: Fabric,
    detector: Detector,
    sets: Mapping[str, JudgedPictures],
    section: TrainerSection,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, float]:
    """`<set>/bbox/AP` and all others, the same in every process; of a single set also `bbox/AP`.

    `<set>/false_alarms` is for each pair of a picture and a phrase that is absent from it, at
    thresholds fitted on these sets (see `fit_thresholds`).
    detector: with the weights to judge, left in evaluation mode. Every process answers a part of
    the pictures. Raises EngineError for answers that are not finite, and KeyboardInterrupt before
    the next picture when `stop` says so: of several processes, none heeds it.
    """
    detector.eval()
    reports: dict[str, Report] = {}
    absent: dict[str, AbsentScores] = {}
    for name, pictures in sets.items():
        answers = _answers(fabric, detector, pictures, section, stop)
        if fabric.is_global_zero:
            model = f"{detector.config.preset} in training"
            reports[name] = make_report(answers, model=model, pictures=pictures)
            absent[name] = absent_scores(answers)
    metrics: dict[str, float] = {}
    thresholds = fit_thresholds(reports, section.data.threshold_set)
    for name, report in reports.items():
        found = report_metrics(report, false_alarms(absent[name], thresholds))
        metrics |= {f"{name}/{metric}": value for metric, value in found.items()}
        if len(sets) == 1:
            metrics |= found
    return dict(fabric.broadcast(metrics))


def check_metric(key: str, metric: str, sets: Collection[str]) -> None:
    """Raises UsageError for a metric that no evaluation gives, before anything is computed."""
    prefixes = [f"{name}/" for name in sets] + ([""] if len(sets) == 1 else [])
    if not any(metric.startswith(f"{prefix}{kind}/") for prefix in prefixes for kind in KINDS):
        raise UsageError(
            f"{key}: expected one of {', '.join(f'{prefix}bbox/AP' for prefix in prefixes)}, with "
            f"bbox or segm and AP, AP50 and so on, got {metric!r}"
        )


def report_metrics(report: Report, alarms: FalseAlarms | None = None) -> dict[str, float]:
    """By name: bbox/AP, segm/AP50, cgF1 and so on; without what is not defined."""
    metrics: dict[str, float] = {} if alarms is None else {"false_alarms": alarms.rate}
    for name, value in report_to_json(report).items():
        if name in KINDS and isinstance(value, dict):
            metrics |= {f"{name}/{n}": float(v) for n, v in value.items() if v is not None}
        elif isinstance(value, float):
            metrics[name] = value
    return metrics


def _answers(
    fabric: Fabric,
    detector: Detector,
    pictures: JudgedPictures,
    section: TrainerSection,
    stop: Callable[[], bool],
) -> list[Answer]:
    """All in the first process; nothing in the others."""
    mine = range(fabric.global_rank, len(pictures), fabric.world_size)
    asked = mine if fabric.world_size > 1 else _until(stop, mine)
    answers = checkpoint_answers(
        detector,
        pictures.phrases,
        map(pictures.picture, asked),
        batch_size=section.data.val_batch_size,
        bfloat16=chosen_precision(section) is Precision.bf16,
    )
    return _gathered(fabric, [replace(a, picture=mine[a.picture]) for a in answers])


def _until(stop: Callable[[], bool], numbers: Iterable[int]) -> Iterator[int]:
    for number in numbers:
        if stop():
            raise KeyboardInterrupt
        yield number


def _gathered(fabric: Fabric, mine: list[Answer]) -> list[Answer]:
    """All processes' in the pictures' order, in the first one; nothing in the others."""
    if fabric.world_size == 1:
        return mine
    parts: list[list[Answer]] | None = [[]] * fabric.world_size if fabric.is_global_zero else None
    torch.distributed.gather_object(mine, parts)
    return sorted((answer for part in parts or [] for answer in part), key=lambda a: a.picture)


def drawn_pictures(
    detector: Detector, sets: Mapping[str, JudgedPictures], data: DataSection, threshold: float
) -> Iterator[NDArray[np.uint8]]:
    """The first pictures of all sets in turn, with what is true and what is found, (H, W, 3) RGB.

    detector: in evaluation mode, where it is. Asked is what a picture shows, then other phrases.
    """
    numbers = range(max((len(pictures) for pictures in sets.values()), default=0))
    for number in numbers:
        for pictures in sets.values():
            if number < len(pictures):
                labelled = _asked(pictures.picture(number), data.max_phrases)
                yield _drawn(detector, labelled, threshold)


def _drawn(detector: Detector, picture: LabelledPicture, threshold: float) -> NDArray[np.uint8]:
    config, device = detector.config, next(detector.parameters()).device
    side = 4 * config.tokens_per_side
    batch = collate([plain_sample(picture, config.image_size, side)], Tokenizer(), side)
    inputs = moved(batch, device)
    with torch.inference_mode():
        output = detector(inputs.images, inputs.token_ids, inputs.image_index)
    images = batch.images.numpy()
    return draw_predictions(images, output, [picture.phrases], threshold, batch.targets)[0]


def _asked(picture: JudgedPicture, most: int) -> LabelledPicture:
    shown = list(dict.fromkeys(picture.phrase.tolist()))
    others = [i for i in range(len(picture.phrases)) if i not in shown]
    asked = [*shown, *others][:most]
    objects = np.flatnonzero(np.isin(picture.phrase, asked))
    return LabelledPicture(
        image=picture.image,
        phrases=tuple(picture.phrases[i] for i in asked),
        boxes=picture.boxes[objects].astype(np.float32),
        phrase=np.array([asked.index(i) for i in picture.phrase[objects]], dtype=np.int64),
        ignore=picture.ignore[objects],
        masks=None,
    )

"""How far the legs have come, read from the trainer's own logs."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from train_default.places import Leg

# Lines of the log whose median is the present rate.
_RECENT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """hours: trained in all legs up to then."""

    leg: int
    step: int
    hours: float
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LegProgress:
    """hours: of this leg, evaluations included, pauses not. pictures: shown to the model, the same
    one again counted again. rate: pictures a second of late, without evaluations.
    checkpoint_age_s: of last.pt.
    """

    number: int
    commit: str
    config: str
    steps: int
    pictures: int
    hours: float
    evaluation_hours: float
    rate: float | None
    checkpoint_age_s: float | None
    evaluations: tuple[Evaluation, ...]


def progress_of(legs: Sequence[Leg]) -> list[LegProgress]:
    found: list[LegProgress] = []
    for leg in legs:
        found.append(_leg_progress(leg, sum(one.hours for one in found)))
    return found


def _leg_progress(leg: Leg, earlier_hours: float) -> LegProgress:
    facts, lines = leg.facts(), list(_lines(leg))
    judged = [line for line in lines if "evaluation_s" in line]
    steps = [line for line in lines if "loss" in line]
    rates = sorted(line["images_per_s"] for line in steps[-_RECENT:])
    seconds = max((line["elapsed_s"] + line.get("evaluation_s", 0.0) for line in lines), default=0)
    return LegProgress(
        number=facts.number,
        commit=facts.commit,
        config=facts.config,
        steps=max((line["step"] for line in lines), default=0),
        pictures=max((line.get("pictures", 0) for line in steps), default=0),
        hours=seconds / 3600.0,
        evaluation_hours=sum(line["evaluation_s"] for line in judged) / 3600.0,
        rate=rates[len(rates) // 2] if rates else None,
        checkpoint_age_s=_age_s(leg),
        evaluations=tuple(
            Evaluation(
                leg=facts.number,
                step=line["step"],
                hours=earlier_hours + line["elapsed_s"] / 3600.0,
                metrics={name: value for name, value in line.items() if "/" in name},
            )
            for line in judged
        ),
    )


def _lines(leg: Leg) -> Iterator[dict[str, Any]]:
    try:
        text = leg.steps_log.read_text(encoding="utf-8")
    except OSError:
        return
    for line in text.splitlines():
        try:
            held = json.loads(line)
        except ValueError:  # the last one, which is being written or was cut short
            continue
        if isinstance(held, dict) and "elapsed_s" in held and "step" in held:
            yield held


def _age_s(leg: Leg) -> float | None:
    try:
        return max(time.time() - leg.last_checkpoint.stat().st_mtime, 0.0)
    except OSError:
        return None


# The two that matter, where the configuration validates on them: the official split, whose tanks
# are trained on too, and places that nobody has trained on.
SPLITS = ("aquarium/bbox/AP", "unseen_places/bbox/AP")


def curve_metrics(evaluations: Sequence[Evaluation], asked: Sequence[str]) -> tuple[str, ...]:
    """What to draw: what was asked for, else both splits, else box AP of every set there is."""
    names = list(dict.fromkeys(name for one in evaluations for name in one.metrics))
    if asked:
        return tuple(asked)
    splits = tuple(name for name in SPLITS if name in names)
    sets = tuple(name for name in names if name.count("/") == 2 and name.endswith("/bbox/AP"))
    return splits or sets


def curve_points(evaluations: Sequence[Evaluation], metric: str) -> list[tuple[float, float]]:
    """(hours, value)"""
    return [(one.hours, one.metrics[metric]) for one in evaluations if metric in one.metrics]

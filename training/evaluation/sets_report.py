"""What a model answers on several sets: one table, a row a set, and its JSON form."""

from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from sam3_edge.training.evaluation.false_alarms import FalseAlarms, Threshold
from sam3_edge.training.evaluation.report import Report, report_to_json
from sam3_edge.training.evaluation.report_tables import share

SCHEMA = 1
# Phrases of one set whose thresholds are printed; JSON has them all.
LISTED = 8
_COLUMNS = (
    "pictures", "AP", "AP50", "mask AP50", "presence at 0.5", "fitted", "false alarms",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSet:
    """false_alarms: None where every phrase asked is in every picture."""

    report: Report
    false_alarms: FalseAlarms | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetsReport:
    """sets: by name, in the configuration's order. thresholds: of every phrase, that false alarms
    are counted at.
    """

    model: str
    config: str
    thresholds: dict[str, Threshold]
    sets: dict[str, JudgedSet]


def show_sets(console: Console, report: SetsReport) -> None:
    console.print(f"{report.model}, sets of {report.config}", markup=False, highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    # A name is what a row is found by: where there is little room, headings break instead.
    table.add_column("set", no_wrap=True, min_width=max(map(len, report.sets)))
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    for name, one in report.sets.items():
        table.add_row(name, *_row(one))
    console.print(table)
    for line in explanation(report.thresholds):
        console.print(line, markup=False, highlight=False)


def _row(one: JudgedSet) -> list[str]:
    report, alarms = one.report, one.false_alarms
    values = (
        report.boxes.mean.ap,
        report.boxes.mean.ap50,
        None if report.masks is None else report.masks.mean.ap50,
        report.presence.balanced_accuracy,
        report.presence.fitted_balanced_accuracy,
        None if alarms is None else alarms.rate,
    )
    return [str(report.images), *map(share, values)]


def explanation(thresholds: Mapping[str, Threshold]) -> list[str]:
    """What the columns mean, and where the thresholds come from."""
    by_set: dict[str | None, list[str]] = {}
    for phrase, one in thresholds.items():
        by_set.setdefault(one.fitted_on, []).append(f"{phrase} {one.score:.3f}")
    presence = "balanced accuracy; fitted: at the presence that separates these pictures best"
    alarms = "objects found a pair of picture and absent phrase, at the thresholds of best F1"
    lines = [f"presence: {presence}", f"false alarms: {alarms}"]
    for name, phrases in by_set.items():
        where = "shown by no set" if name is None else f"fitted on {name}"
        more = f" and {len(phrases) - LISTED} more" if len(phrases) > LISTED else ""
        lines.append(f"thresholds {where}: {', '.join(phrases[:LISTED])}{more}")
    return lines


def sets_to_json(report: SetsReport) -> dict[str, object]:
    """For json.dumps. `sets` holds each set's whole report, with its false alarms."""
    return {
        "schema": SCHEMA,
        "model": report.model,
        "config": report.config,
        "thresholds": {
            phrase: {"threshold": one.score, "fitted_on": one.fitted_on}
            for phrase, one in report.thresholds.items()
        },
        "sets": {
            name: {**report_to_json(one.report), **_alarms_to_json(one.false_alarms)}
            for name, one in report.sets.items()
        },
    }


def _alarms_to_json(alarms: FalseAlarms | None) -> dict[str, object]:
    return {
        "false_alarms": None if alarms is None else alarms.rate,
        "false_alarm_pairs": 0 if alarms is None else alarms.pairs,
        "false_alarms_by_phrase": {} if alarms is None else alarms.phrases,
    }

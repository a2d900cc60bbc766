"""All validation sets of a training configuration, for the configuration's mode of `eval`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sam3_edge.errors import UsageError
from sam3_edge.eval_answers import Answers
from sam3_edge.training.evaluation.false_alarms import (
    AbsentScores,
    absent_scores,
    false_alarms,
    fit_thresholds,
)
from sam3_edge.training.evaluation.report import Report, make_report
from sam3_edge.training.evaluation.sets_report import JudgedSet, SetsReport
from sam3_edge.training.evaluation.validation_sets import validation_sets

if TYPE_CHECKING:
    from sam3_edge.training.config.schema import DataSection


def configured_data(
    name: str, overrides: Sequence[str], *, limit: int | None, skip_faulty: bool
) -> "DataSection":
    """The data section of the configuration, its validation sets checked. Raises UsageError.

    limit: at most so many pictures of each set.
    """
    try:
        from sam3_edge.training.config.compose import check_validation, compose_config
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--config: reading a configuration needs {error.name}, which is not installed; "
            "install with: pip install 'sam3-edge[train]'"
        ) from error
    composed = compose_config(name, overrides)
    data = composed.config.trainer.data
    if not data.val:
        raise UsageError(
            f"{name}: expected validation sets, got none; add "
            "trainer.data.val.NAME.annotations=FILE.json"
        )
    check_validation(composed.config)
    data.limit_val = min((n for n in (limit, data.limit_val) if n is not None), default=None)
    data.skip_faulty = data.skip_faulty or skip_faulty
    return data


def judge_sets(answers: Answers, data: "DataSection", *, model: str, config: str) -> SetsReport:
    """All sets are read before the first picture is asked about. Raises EngineError, DatasetError."""
    reports: dict[str, Report] = {}
    absent: dict[str, AbsentScores] = {}
    for name, pictures in validation_sets(data).items():
        found = list(answers(pictures))
        reports[name] = make_report(found, model=model, pictures=pictures)
        absent[name] = absent_scores(found)
    thresholds = fit_thresholds(reports, data.threshold_set)
    return SetsReport(
        model=model,
        config=config,
        thresholds=thresholds,
        sets={
            name: JudgedSet(report=report, false_alarms=false_alarms(absent[name], thresholds))
            for name, report in reports.items()
        },
    )

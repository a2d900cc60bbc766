"""The runs of one data set after each other, and what they came to."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from sam3_edge.training.config.compose import ComposedConfig
from sam3_edge.training.config.files import write_config
from sam3_edge.training.launching.planned_runs import PlannedGroup
from sam3_edge.training.launching.spread import write_datasets, write_few_shot
from sam3_edge.training.launching.worker import RUN, called

Report: TypeAlias = Callable[[str], None]
Start: TypeAlias = Callable[[ComposedConfig], None]


def run_group(
    group: PlannedGroup,
    groups: Sequence[PlannedGroup],
    experiment: Path,
    start: Start,
    report: Report,
) -> None:
    """`start`s every run of the group, one of `groups`; then the first process writes few_shot.json
    where there are seeds, and datasets.json into `experiment` where there are several groups.
    """
    first = is_first(os.environ)
    for run in group.runs:
        if first and (len(groups) > 1 or len(group.runs) > 1):
            report(f"run: {run.config.paths.experiment}")
        start(run)
    if not first:
        return
    lines = write_few_shot(group) if group.seeds else []
    if len(groups) > 1:
        lines += write_datasets(experiment, groups)
    for line in lines:
        report(line)


def run_here(run: ComposedConfig, *, call: str = RUN, recipe: str = "") -> None:
    """In this process, which may be one of several."""
    if is_first(os.environ):
        write_config(run)
    called(call)(run.config, recipe=recipe)


def is_first(environment: Mapping[str, str]) -> bool:
    """Whether this process is the one that writes what is written once."""
    return int(environment.get("RANK", environment.get("SLURM_PROCID", "0"))) == 0

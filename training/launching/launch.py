"""Starts what a configuration asks for: here, in several processes, inside a job, or as jobs."""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sam3_edge.errors import UsageError
from sam3_edge.training.config.check import check_config
from sam3_edge.training.config.compose import ComposedConfig
from sam3_edge.training.config.files import write_config
from sam3_edge.training.launching.planned_runs import PlannedGroup, planned_groups
from sam3_edge.training.launching.processes import run_processes
from sam3_edge.training.launching.run_group import Report, Start, run_group, run_here
from sam3_edge.training.launching.worker import RUN


def launch(composed: ComposedConfig, *, report: Report = print, call: str = RUN) -> None:
    """All runs, or their jobs submitted. call: what a process does, `module:function`.

    Raises UsageError for values that cannot be meant, TrainingError when a run fails.
    """
    groups = planned_groups(composed)
    recipe = shlex.join(["sam3-edge", *sys.argv[1:]])
    check_all(groups)
    if is_inside_job(os.environ):
        _check_one_run(groups)
        _run_groups(composed, groups, report, lambda run: run_here(run, call=call, recipe=recipe))
    elif composed.config.submitit.use_cluster:
        _submit(composed, groups, report, call, recipe)
    else:
        _check_nodes(composed)
        _run_groups(
            composed, groups, report, lambda run: run_locally(run, call=call, recipe=recipe)
        )


def check_all(groups: Sequence[PlannedGroup]) -> None:
    """Raises UsageError for the first value that cannot be meant."""
    for group in groups:
        check_config(group.runs[0].config)


def is_inside_job(environment: Mapping[str, str]) -> bool:
    """Whether torchrun or srun started several of us, and will say who is who.

    A shell that srun opened, and the script of sbatch, are one task: they start processes.
    """
    if "RANK" in environment and "WORLD_SIZE" in environment:
        return True
    return "SLURM_PROCID" in environment and int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1


def run_locally(run: ComposedConfig, *, call: str = RUN, recipe: str = "") -> None:
    """In this process where one is wanted, else in `gpus_per_node` of them."""
    count = run.config.launcher.gpus_per_node
    if count == 1:
        run_here(run, call=call, recipe=recipe)
    else:
        run_processes(write_config(run), count, call=call, recipe=recipe)


def _run_groups(
    composed: ComposedConfig, groups: Sequence[PlannedGroup], report: Report, start: Start
) -> None:
    for group in groups:
        run_group(group, groups, Path(composed.config.paths.experiment), start, report)


def _submit(
    composed: ComposedConfig, groups: Sequence[PlannedGroup], report: Report, call: str, recipe: str
) -> None:
    from sam3_edge.training.launching.cluster import submit  # submitit is slow to import

    write_config(composed)
    for job in submit(composed, groups, call=call, recipe=recipe):
        report(f"job {job.job_id}: {job.dataset or composed.name}, log {job.log}")


def _check_one_run(groups: Sequence[PlannedGroup]) -> None:
    """The processes of a job meet once, at one port."""
    count = sum(len(group.runs) for group in groups)
    if count > 1:
        raise UsageError(
            f"expected one run under torchrun or srun, got {count}; start several with --num-gpus "
            "or --use-cluster 1, or set submitit.job_array and trainer.few_shot_seeds to one"
        )


def _check_nodes(composed: ComposedConfig) -> None:
    nodes = composed.config.launcher.num_nodes
    if nodes > 1:
        raise UsageError(
            f"launcher.num_nodes: expected 1 without a cluster, got {nodes}; set "
            "submitit.use_cluster=true, or start it with torchrun or srun on every node"
        )

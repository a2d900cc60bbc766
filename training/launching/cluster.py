"""A run as jobs of SLURM, through submitit: one for every data set, one task for every GPU."""

import os
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import submitit
from submitit.helpers import DelayedSubmission, TorchDistributedEnvironment

from sam3_edge.errors import UsageError
from sam3_edge.training.config.compose import ComposedConfig, changed
from sam3_edge.training.config.schema import RunConfig
from sam3_edge.training.launching.planned_runs import PlannedGroup
from sam3_edge.training.launching.run_group import run_group, run_here
from sam3_edge.training.launching.worker import RUN

# Before the time is up, seconds: what it takes to submit the job again.
_WARN_S = 180
_LOGS = "submitit"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedJob:
    """log: what the job's first task prints, once it has started. handle: to wait for it."""

    job_id: str
    dataset: str | None
    log: Path
    handle: submitit.Job[None]


class ClusterRun:
    """What a task of a job does. Pickled by submitit, and again when the job is put back into the
    queue because its time is up or others go first: then the runs resume from their last.pt.
    """

    def __init__(
        self,
        group: PlannedGroup,
        groups: Sequence[PlannedGroup],
        experiment: Path,
        call: str,
        recipe: str,
    ) -> None:
        self.group, self.groups, self.experiment = group, tuple(groups), experiment
        self.call, self.recipe = call, recipe

    def __call__(self) -> None:
        run_group(self.group, self.groups, self.experiment, self._start, print)

    def _start(self, run: ComposedConfig) -> None:
        join_job(run.config)
        run_here(run, call=self.call, recipe=self.recipe)

    def checkpoint(self) -> DelayedSubmission:
        runs = tuple(changed(run, {"trainer.checkpoint.resume": True}) for run in self.group.runs)
        group = replace(self.group, runs=runs)
        return DelayedSubmission(
            ClusterRun(group, self.groups, self.experiment, self.call, self.recipe)
        )


def join_job(config: RunConfig) -> None:
    """Says to PyTorch who this task is. The port is drawn by the job's number and the run's folder,
    so that all tasks draw the same one, and two jobs on one machine or two runs different ones.
    """
    found = TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
    first, last = config.submitit.port_range
    drawn_by = f"{submitit.JobEnvironment().job_id} {config.paths.experiment}"
    os.environ["MASTER_PORT"] = str(random.Random(drawn_by).randint(first, last))
    if found.local_world_size == found.world_size:
        os.environ["MASTER_ADDR"] = "127.0.0.1"  # A node need not know its own name.


def submit(
    composed: ComposedConfig,
    groups: Sequence[PlannedGroup],
    *,
    cluster: str = "slurm",
    call: str = RUN,
    recipe: str = "",
) -> list[SubmittedJob]:
    """One job a group, as an array where there are several. cluster: `local` runs them here.

    Raises UsageError where there is no SLURM, or it refuses the job.
    """
    if cluster == "slurm" and shutil.which("sbatch") is None:
        raise UsageError(
            "submitit.use_cluster: expected a machine that submits jobs to SLURM, found no "
            "`sbatch`; run there, or set submitit.use_cluster=false"
        )
    experiment = Path(composed.config.paths.experiment)
    folder = experiment.resolve() / _LOGS / "%j"
    executor = submitit.AutoExecutor(folder=str(folder), cluster=cluster)
    executor.update_parameters(**job_parameters(composed))
    try:
        with executor.batch():
            jobs = [
                executor.submit(ClusterRun(group, groups, experiment, call, recipe))
                for group in groups
            ]
    except submitit.core.utils.FailedJobError as error:
        raise UsageError(f"submitit: expected SLURM to take the job, got: {error}") from error
    return [
        SubmittedJob(
            job_id=job.job_id, dataset=group.dataset, log=Path(job.paths.stdout), handle=job
        )
        for job, group in zip(jobs, groups, strict=True)
    ]


def job_parameters(composed: ComposedConfig) -> dict[str, Any]:
    """The submitit and launcher sections in the words of `AutoExecutor.update_parameters`."""
    section, launcher = composed.config.submitit, composed.config.launcher
    on_gpus = composed.config.trainer.accelerator != "cpu"
    optional = {
        "mem_gb": section.mem_gb,
        "slurm_partition": section.partition,
        "slurm_account": section.account,
        "slurm_qos": section.qos,
        "slurm_constraint": section.constraint,
    }
    return {
        "name": f"sam3-edge-{composed.name}",
        "timeout_min": max(round(section.timeout_hour * 60), 1),
        "nodes": launcher.num_nodes,
        "tasks_per_node": launcher.gpus_per_node,
        "gpus_per_node": launcher.gpus_per_node if on_gpus else 0,
        "cpus_per_task": section.cpus_per_task,
        "slurm_array_parallelism": section.job_array.max_parallel,
        "slurm_signal_delay_s": _WARN_S,
        **{name: value for name, value in optional.items() if value is not None},
    }

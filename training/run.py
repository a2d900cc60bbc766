"""One training run, top to bottom: a configuration in, weights and metrics out."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch

from sam3_edge.errors import TrainingError
from sam3_edge.run_stop import StopSignal
from sam3_edge.training.between_steps import (
    evaluate_and_save,
    evaluation_is_due,
    save,
    validate,
    write_weights,
)
from sam3_edge.training.config.schema import Mode, RunConfig
from sam3_edge.training.data.batch_stream import batch_stream
from sam3_edge.training.data.targets import Batch
from sam3_edge.training.evaluation.validation_sets import validation_sets
from sam3_edge.training.event_log import EventLog
from sam3_edge.training.experiment import open_experiment
from sam3_edge.training.memory_estimate import translate_out_of_memory
from sam3_edge.training.optim import rising_share, schedule_share
from sam3_edge.training.placement import open_fabric
from sam3_edge.training.progress_report import ProgressReport
from sam3_edge.training.random_state import seed_everything
from sam3_edge.training.session import Session, open_session
from sam3_edge.training.shipped import shipped_detector
from sam3_edge.training.standing import Standing
from sam3_edge.training.start_weights import start_detector
from sam3_edge.training.step import Agreed, StepOutcome, agree, take_step
from sam3_edge.training.training_clock import TrainingClock
from sam3_edge.training.validation import check_metric, evaluate

FINAL = "model.safetensors"
# How the connection between processes says that one of them is gone.
_LOST = ("gloo", "NCCL", "ProcessGroup", "Connection", "connection", "Socket", "Broken pipe")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """metrics: of the last evaluation. steps: done in all. folder: of the experiment."""

    metrics: dict[str, float]
    steps: int
    folder: Path


def run(config: RunConfig, *, recipe: str | None = None) -> RunResult:
    """Train, continue or evaluate, as the configuration says. To be called once in every process.

    recipe: how to do it again, for the weights' file; None takes the command line. Raises
    Sam3EdgeError; KeyboardInterrupt after a signal, when the checkpoint is written.
    """
    trainer = config.trainer
    seed_everything(trainer.seed_value, rank=0)  # The same first weights in every process.
    detector, origin = start_detector(trainer.model)
    fabric = open_fabric(trainer, config.launcher.num_nodes, detector)
    seed_everything(trainer.seed_value, fabric.global_rank)
    experiment = open_experiment(Path(config.paths.experiment), writes=fabric.is_global_zero)
    sets = {} if trainer.mode is Mode.train_only else validation_sets(trainer.data)
    events = EventLog(
        experiment.tensorboard, enabled=trainer.logging.tensorboard and experiment.writes
    )
    with (
        TrainingClock() as clock,
        events,
        ProgressReport(experiment, events, fabric.device, clock) as report,
    ):
        report.say(f"{detector.config.preset}, {detector.config.image_size} px: {origin}")
        if trainer.mode is Mode.val:
            fabric.to_device(detector)
            began_s = clock.read()
            standing = Standing(metrics=evaluate(fabric, detector, sets, trainer))
            report.evaluation(0, 0, 0.0, clock.read() - began_s, standing.metrics)
            experiment.write_metrics(standing.metrics)
        else:
            session = open_session(config, fabric, detector, sets, experiment, report, recipe)
            standing = _run_session(session)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return RunResult(metrics=standing.metrics, steps=standing.step, folder=experiment.folder)


def _run_session(session: Session) -> Standing:
    try:
        standing = _train(session)
        _finish(session, standing)
        return standing
    except (RuntimeError, MemoryError) as error:
        raise _explained(session, error) from error


def _train(session: Session) -> Standing:
    """Steps until the plan is over or the metric no longer rises."""
    trainer, plan, clock = session.trainer, session.plan, session.report.clock
    with StopSignal() as stop:
        standing, micro_batch = _start(session, stop)
        batches = _batches(session, micro_batch)
        while not plan.is_over(standing.step, standing.elapsed_s):
            if standing.should_stop(trainer.logging.early_stop):
                session.report.say(f"stopped: {trainer.logging.early_stop.metric} no longer rises")
                break
            micros = list(islice(batches, trainer.gradient_accumulation_steps))
            agreed = agree(session.fabric, micros, clock.read(), stop=stop.is_set)
            standing.elapsed_s = agreed.elapsed_s
            if agreed.stop:
                save(session, standing)
                raise KeyboardInterrupt
            _step(session, standing, micros, agreed)
            evaluate_and_save(session, standing, stop)
    return standing


def _start(session: Session, stop: StopSignal) -> tuple[Standing, int]:
    """From the beginning or from the last checkpoint: the standing, and the next micro-batch."""
    _check_metrics(session)
    found = session.saver.found()
    standing, micro_batch = (Standing(), 0) if found is None else _restored(session, found)
    session.report.clock.set(standing.elapsed_s)
    session.report.begin()
    if found is None and session.sets and not session.trainer.skip_first_val:
        validate(session, standing, stop)
    if found is not None and evaluation_is_due(session, standing):
        evaluate_and_save(session, standing, stop)  # A kill has cut it short.
    return standing, micro_batch


def _restored(session: Session, found: Path) -> tuple[Standing, int]:
    section, saver = session.trainer.checkpoint, session.saver
    if not section.resume:
        raise TrainingError(
            f"{session.experiment.folder}: expected a folder without a run, got {found.name}; set "
            "trainer.checkpoint.resume=true to continue it, or choose another paths.experiment"
        )
    standing, micro_batch = saver.restore()
    session.experiment.forget_after(standing.step)
    session.report.say(f"continuing {found} at step {standing.step}")
    return standing, micro_batch


def _batches(session: Session, micro_batch: int) -> Iterator[Batch]:
    session.mixture.first = micro_batch + session.fabric.global_rank
    return batch_stream(
        session.mixture,
        num_workers=session.trainer.data.num_workers,
        context=session.worker_context,
    )


def _step(session: Session, standing: Standing, micros: list[Batch], agreed: Agreed) -> None:
    section, optimizer = session.trainer.optim.schedule, session.trainee.optimizer
    expected = session.plan.expected_steps(standing.step, agreed.elapsed_s)
    share = schedule_share(section, standing.step, expected)
    for group, peak in zip(optimizer.param_groups, session.peaks, strict=True):
        group["lr"] = share * peak
    warmup = session.trainer.loss.pairwise_warmup
    session.trainee.objective.pairwise_share = rising_share(warmup, standing.step, expected)
    outcome = take_step(session.trainee, micros, agreed.counts)
    if session.average is not None and outcome.taken:
        session.average.update()
    standing.step += 1
    _report_step(session, standing, outcome)


def _report_step(session: Session, standing: Standing, outcome: StepOutcome) -> None:
    rates: dict[str, float] = {}
    for group in session.trainee.optimizer.param_groups:
        part = str(group["name"]).replace(",", " ").split()[0]
        rates[part] = max(rates.get(part, 0.0), group["lr"])
    plan, report = session.plan, session.report
    report.advance(standing.step, plan.progress(standing.step, standing.elapsed_s))
    report.step(
        standing.step,
        plan.epoch(standing.step - 1),
        standing.elapsed_s,
        outcome,
        rates,
        pictures=session.micro_batches * session.trainer.data.batch_size,
        every=session.trainer.logging.log_freq,
    )


def _finish(session: Session, standing: Standing) -> None:
    """The last evaluation, checkpoint and weights, and metrics.json."""
    if session.sets and standing.evaluated != standing.step:
        validate(session, standing)
    save(session, standing)
    with shipped_detector(session.trainee, session.average) as detector:
        write_weights(session, detector, FINAL)
    session.experiment.write_metrics(standing.metrics)


def _check_metrics(session: Session) -> None:
    """Before hours are spent on the way to a metric that will not be there."""
    early = session.trainer.logging.early_stop
    if not session.sets:
        return
    if not session.trainer.skip_saving_ckpts:
        check_metric("trainer.checkpoint.metric", session.trainer.checkpoint.metric, session.sets)
    if early.patience > 0:
        check_metric("trainer.logging.early_stop.metric", early.metric, session.sets)


def _explained(session: Session, error: BaseException) -> TrainingError:
    """Memory that ran out, or a process that is gone; anything else is raised as it is."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    if session.fabric.world_size > 1 and any(word in str(error) for word in _LOST):
        return TrainingError(
            f"training: expected {session.fabric.world_size} processes, lost the connection to one "
            f"({line}); see why it ended, and run again to continue"
        )
    return translate_out_of_memory(error, session.memory.advice())

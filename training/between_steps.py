"""What a run does between two steps: it judges the averaged weights, keeps the best, and saves."""

from itertools import islice

import torch

from sam3_edge.run_stop import StopSignal
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.weights import save_weights
from sam3_edge.training.session import Session
from sam3_edge.training.shipped import shipped_detector
from sam3_edge.training.standing import Standing
from sam3_edge.training.validation import drawn_pictures, evaluate

BEST = "best.safetensors"


def evaluate_and_save(session: Session, standing: Standing, stop: StopSignal) -> None:
    """After a step, where it is time to."""
    section, epoch = session.trainer.checkpoint, session.plan.epoch(standing.step)
    evaluates = evaluation_is_due(session, standing)
    if evaluates:
        validate(session, standing, stop)
    if session.plan.ends_epoch(standing.step):
        often = section.save_freq > 0 and epoch % section.save_freq == 0
        kept = often or epoch in section.save_list
        save(session, standing, keep_as_epoch=epoch if kept else None)
    elif evaluates or _save_is_due(session, standing):
        save(session, standing)


def evaluation_is_due(session: Session, standing: Standing) -> bool:
    trainer, plan = session.trainer, session.plan
    if not session.sets or standing.evaluated == standing.step:
        return False
    if trainer.val_minutes is not None:
        return standing.elapsed_s - standing.evaluated_s >= 60.0 * trainer.val_minutes
    return plan.ends_epoch(standing.step) and (
        plan.epoch(standing.step) % trainer.val_epoch_freq == 0
    )


def _save_is_due(session: Session, standing: Standing) -> bool:
    section = session.trainer.checkpoint
    late = standing.elapsed_s - session.saver.saved_s >= 60.0 * section.save_minutes
    return late or (section.save_steps is not None and standing.step % section.save_steps == 0)


def validate(session: Session, standing: Standing, stop: StopSignal | None = None) -> None:
    """Judge the averaged weights, and keep them where they are the best so far.

    It may take longer than save_minutes, so what was trained before it is saved first.
    """
    trainer, sets, logging = session.trainer, session.sets, session.trainer.logging
    if standing.step > session.saver.saved_step:
        save(session, standing)
    clock, report, epoch = session.report.clock, session.report, session.plan.epoch(standing.step)
    began_s = clock.read()
    stopped = (lambda: False) if stop is None else stop.requested
    with shipped_detector(session.trainee, session.average) as detector:
        metrics = evaluate(session.fabric, detector, sets, trainer, stopped)
        best = standing.record(metrics, trainer.checkpoint.metric, logging.early_stop)
        report.evaluation(standing.step, epoch, began_s, clock.read() - began_s, metrics)
        if session.experiment.writes and logging.tensorboard:
            drawn = drawn_pictures(detector, sets, trainer.data, logging.picture_threshold)
            report.events.pictures(standing.step, list(islice(drawn, logging.pictures)))
        if best:
            write_weights(session, detector, BEST)
    ended_s = clock.read()
    report.leave_out(ended_s - began_s)
    standing.elapsed_s = standing.evaluated_s = session.fabric.broadcast(ended_s)
    if trainer.empty_gpu_mem_cache_after_eval and session.fabric.device.type == "cuda":
        torch.cuda.empty_cache()


def save(session: Session, standing: Standing, keep_as_epoch: int | None = None) -> None:
    if not session.trainer.skip_saving_ckpts:
        micro_batch = standing.step * session.micro_batches
        session.saver.save(standing, micro_batch, keep_as_epoch)


def write_weights(session: Session, detector: Detector, name: str) -> None:
    if session.experiment.writes and not session.trainer.skip_saving_ckpts:
        path = session.experiment.checkpoints / name
        save_weights(detector, path, session.metadata, half=True)
        session.report.say(f"weights: {path}")

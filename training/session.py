"""Everything a run needs before its first step."""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning.fabric import Fabric
from torch.optim import AdamW

from sam3_edge.training.activation_checkpointing import checkpoint_activations
from sam3_edge.training.cached_pictures import cache_pictures
from sam3_edge.training.checkpoint import Fingerprint
from sam3_edge.training.config.schema import RunConfig, TrainerSection
from sam3_edge.training.data.data_sources import described, training_sources
from sam3_edge.training.data.mixture import Mixture
from sam3_edge.training.data.targets import Batch
from sam3_edge.training.ema import WeightAverage
from sam3_edge.training.evaluation.pictures import JudgedPictures
from sam3_edge.training.experiment import Experiment
from sam3_edge.training.freeze import freeze
from sam3_edge.training.memory_plan import MemoryPlan, plan_memory
from sam3_edge.training.model.config import ModelConfig
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.weights import WeightsMetadata
from sam3_edge.training.objective import Objective, freeze_unreached, probe_batch
from sam3_edge.training.optim import parameter_groups
from sam3_edge.training.plan import Plan, make_plan
from sam3_edge.training.progress_report import ProgressReport
from sam3_edge.training.saving import Saver
from sam3_edge.training.step import Trainee


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """peaks: the highest rate of each of the optimizer's groups. mixture: where this process's
    micro-batches come from, from the run's first one on.
    """

    trainer: TrainerSection
    trainee: Trainee
    average: WeightAverage | None
    peaks: tuple[float, ...]
    mixture: Mixture
    worker_context: str
    plan: Plan
    sets: dict[str, JudgedPictures]
    saver: Saver
    memory: MemoryPlan
    experiment: Experiment
    report: ProgressReport
    metadata: WeightsMetadata

    @property
    def fabric(self) -> Fabric:
        return self.trainee.fabric

    @property
    def micro_batches(self) -> int:
        """Of one step, over all processes."""
        return self.trainer.gradient_accumulation_steps * self.fabric.world_size


def open_session(
    config: RunConfig,
    fabric: Fabric,
    detector: Detector,
    sets: dict[str, JudgedPictures],
    experiment: Experiment,
    report: ProgressReport,
    recipe: str | None,
) -> Session:
    """Raises Sam3EdgeError."""
    trainer = config.trainer
    mixture = _mixture(trainer, fabric, detector.config)
    plan = make_plan(trainer, mixture.epoch_samples, fabric.world_size)
    fabric.to_device(detector)
    report.say(freeze(detector, trainer.model.freeze).line())
    if trainer.model.activation_checkpointing:
        checkpoint_activations(detector)
    objective = Objective(detector, trainer.loss)
    freeze_unreached(objective, _probe(fabric, detector, trainer))
    memory = plan_memory(fabric, detector, trainer)
    for line in memory.lines():
        report.say(line)
    if trainer.data.feature_cache is not None:
        cache_pictures(detector, trainer.data)
    trainee, peaks = _trainee(fabric, objective, trainer)
    decay = trainer.optim.ema.decay
    average = WeightAverage(detector, decay) if decay > 0.0 else None
    saver = Saver(
        experiment.checkpoints,
        trainer.checkpoint,
        trainee,
        average,
        fingerprint(trainer, mixture.epoch_samples, fabric.world_size),
    )
    return Session(
        trainer=trainer,
        trainee=trainee,
        average=average,
        peaks=peaks,
        mixture=mixture,
        worker_context=config.launcher.multiprocessing_context,
        plan=plan,
        sets=sets,
        saver=saver,
        memory=memory,
        experiment=experiment,
        report=report,
        metadata=WeightsMetadata(
            preset=detector.config.preset,
            image_size=detector.config.image_size,
            recipe=recipe or " ".join(["sam3-edge", *sys.argv[1:]]),
            data=tuple(trainer.checkpoint.origin) or described(trainer.data),
            licence=trainer.checkpoint.licence,
        ),
    )


def fingerprint(trainer: TrainerSection, epoch_samples: int, processes: int) -> Fingerprint:
    """A run may continue in another number of processes, if its steps have the same pictures."""
    pictures = trainer.data.batch_size * trainer.gradient_accumulation_steps * processes
    sizes = trainer.data.image_sizes
    of_sizes = f" at {', '.join(map(str, sizes))} px" if sizes else ""
    sources = ", ".join(
        f"{name}={one.kind}:{Path(one.annotations or '').name}:{one.weight:g}"
        for name, one in trainer.data.train.items()
    )
    return {
        "trainer.seed_value": str(trainer.seed_value),
        "trainer.data.batch_size": f"{trainer.data.batch_size}{of_sizes}",
        "pictures a step (batch size, accumulation, processes)": str(pictures),
        "trainer.data.train": sources,
        "trainer.data.epoch_samples": str(epoch_samples),
        "trainer.model.freeze": ", ".join(trainer.model.freeze) or "nothing",
        "trainer.optim.ema": "on" if trainer.optim.ema.decay > 0.0 else "off",
    }


def _mixture(trainer: TrainerSection, fabric: Fabric, model: ModelConfig) -> Mixture:
    sizes = trainer.data.image_sizes
    return Mixture(
        training_sources(trainer.data, max(sizes, default=model.image_size)),
        seed=trainer.seed_value,
        batch_size=trainer.data.batch_size,
        image_size=model.image_size,
        mask_side=4 * model.tokens_per_side,
        first=fabric.global_rank,
        stride=fabric.world_size,
        epoch_samples=trainer.data.epoch_samples,
        image_sizes=sizes,
        step_batches=trainer.gradient_accumulation_steps * fabric.world_size,
    )


def _probe(fabric: Fabric, detector: Detector, trainer: TrainerSection) -> Batch:
    return probe_batch(
        detector,
        pictures=1,
        phrases=2,
        exemplars=trainer.data.exemplars.probability > 0.0,
        device=fabric.device,
    )


def _trainee(
    fabric: Fabric, objective: Objective, trainer: TrainerSection
) -> tuple[Trainee, tuple[float, ...]]:
    objective.train()
    objective.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    groups = parameter_groups(objective.detector, trainer.optim)
    first, second = trainer.optim.betas
    module, optimizer = fabric.setup(objective, AdamW(groups, betas=(first, second), fused=True))
    trainee = Trainee(
        fabric=fabric,
        objective=objective,
        module=module,
        optimizer=optimizer,
        max_norm=trainer.optim.gradient_clip.max_norm,
    )
    return trainee, tuple(float(group["lr"]) for group in groups)

"""Values that have the right type and still cannot be meant. What is wrong is one line."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from sam3_edge.errors import DatasetError, UsageError
from sam3_edge.training.config.schema import Mode, RunConfig, SourceSection
from sam3_edge.training.data.groups import PARTS, grouping_path
from sam3_edge.training.model.config import preset

# Names that stand for weights, besides files.
BUNDLED = "bundled"
NAMED = {"weights": (BUNDLED,), "backbone": ("lite0", "lite1", "lite2")}
LAYOUTS = ("odinw13", "roboflow100")


@dataclass(frozen=True, slots=True)
class _Rule:
    """fits: whether a value is meant; never asked about None, which is "not set"."""

    fits: Callable[[Any], bool]
    expected: str


def _at_least(least: float) -> _Rule:
    return _Rule(lambda value: bool(value >= least), f"{least} or more")


def _one_of(*values: str) -> _Rule:
    return _Rule(lambda value: value in values, f"one of {', '.join(values)}")


_POSITIVE = _Rule(lambda value: value > 0, "more than 0")
_SHARE = _Rule(lambda value: 0 <= value <= 1, "0 to 1")
_ABOVE_ZERO_TO_ONE = _Rule(lambda value: 0 < value <= 1, "above 0, up to 1")
_BELOW_ONE = _Rule(lambda value: 0 <= value < 1, "0 or more and less than 1")

_RULES = {
    "launcher.num_nodes": _at_least(1),
    "launcher.gpus_per_node": _at_least(1),
    "launcher.multiprocessing_context": _one_of("spawn", "fork", "forkserver"),
    "submitit.timeout_hour": _POSITIVE,
    "submitit.cpus_per_task": _at_least(1),
    "submitit.mem_gb": _at_least(1),
    "submitit.port_range": _Rule(
        lambda ports: len(ports) == 2 and 1024 <= ports[0] <= ports[1] <= 65535,
        "[first, last] within 1024 to 65535",
    ),
    "submitit.job_array.layout": _one_of(*LAYOUTS),
    "submitit.job_array.max_parallel": _at_least(1),
    "trainer.max_epochs": _at_least(1),
    "trainer.max_steps": _at_least(1),
    "trainer.max_minutes": _POSITIVE,
    "trainer.accelerator": _one_of("auto", "cpu", "cuda"),
    "trainer.seed_value": _at_least(0),
    "trainer.val_epoch_freq": _at_least(1),
    "trainer.val_minutes": _POSITIVE,
    "trainer.gradient_accumulation_steps": _at_least(1),
    "trainer.num_threads": _at_least(0),
    "trainer.few_shot_seeds": _Rule(
        lambda seeds: len(set(seeds)) == len(seeds) and all(seed >= 0 for seed in seeds),
        "different numbers, 0 or more",
    ),
    "trainer.data.batch_size": _at_least(1),
    "trainer.data.val_batch_size": _at_least(1),
    "trainer.data.num_workers": _at_least(0),
    "trainer.data.max_phrases": _at_least(2),
    "trainer.data.hard_negatives": _at_least(0),
    "trainer.data.foreign_negatives": _SHARE,
    "trainer.data.paraphrase": _SHARE,
    "trainer.data.epoch_samples": _at_least(1),
    "trainer.data.limit_val": _at_least(1),
    "trainer.data.exemplars.probability": _SHARE,
    "trainer.data.exemplars.positive": _at_least(0),
    "trainer.data.exemplars.negative": _at_least(0),
    "trainer.data.exemplars.jitter": _at_least(0),
    "trainer.loss.ce_over": _one_of("queries", "objects"),
    "trainer.loss.presence_balance": _SHARE,
    "trainer.loss.denoising.queries": _at_least(2),
    "trainer.loss.denoising.groups": _at_least(1),
    "trainer.loss.denoising.box_noise": _POSITIVE,
    "trainer.loss.pairwise_threshold": _ABOVE_ZERO_TO_ONE,
    "trainer.loss.pairwise_share": _ABOVE_ZERO_TO_ONE,
    "trainer.optim.rates.layer_decay": _ABOVE_ZERO_TO_ONE,
    "trainer.optim.schedule.kind": _one_of("inverse_sqrt", "cosine"),
    "trainer.optim.schedule.warmup": _at_least(0),
    "trainer.optim.schedule.cooldown": _at_least(0),
    "trainer.optim.schedule.timescale": _at_least(1),
    "trainer.optim.schedule.final_share": _SHARE,
    "trainer.optim.weight_decay": _at_least(0),
    "trainer.optim.betas": _Rule(
        lambda betas: len(betas) == 2 and all(0 <= beta < 1 for beta in betas),
        "two numbers, 0 or more and less than 1",
    ),
    "trainer.optim.gradient_clip.max_norm": _at_least(0),
    "trainer.optim.ema.decay": _BELOW_ONE,
    "trainer.checkpoint.save_freq": _at_least(0),
    "trainer.checkpoint.save_minutes": _POSITIVE,
    "trainer.checkpoint.save_steps": _at_least(1),
    "trainer.logging.log_freq": _at_least(1),
    "trainer.logging.pictures": _at_least(0),
    "trainer.logging.picture_threshold": _SHARE,
    "trainer.logging.early_stop.patience": _at_least(0),
    "trainer.distributed.backend": _one_of("nccl", "gloo"),
    "trainer.distributed.strategy": _one_of("ddp", "fsdp"),
    "trainer.distributed.timeout_mins": _POSITIVE,
}
_SOURCE_RULES = {
    "kind": _one_of("coco", "scene"),
    "weight": _POSITIVE,
    "limit_ids": _at_least(1),
    "shots": _at_least(1),
    "shots_seed": _at_least(0),
    "part": _one_of(*PARTS),
}


def check_config(config: RunConfig) -> None:
    """Raises UsageError for the first value that cannot be meant, or file that is not there."""
    for key, rule in _RULES.items():
        _check(key, attrgetter(key)(config), rule)
    trainer = config.trainer
    _check_all("trainer.data.augment", asdict(trainer.data.augment), _SHARE)
    _check_all("trainer.loss", asdict(trainer.loss), _at_least(0))
    _check_all("trainer.optim.rates", asdict(trainer.optim.rates), _at_least(0))
    _check_weights(config)
    for name, source in trainer.data.train.items():
        _check_source(f"trainer.data.train.{name}", source)
        _check_trained_on(f"trainer.data.train.{name}", source)
    check_validation(config)
    _check_present(config)


def check_validation(config: RunConfig) -> None:
    """As `check_config`, of the validation sets alone. Raises UsageError."""
    data = config.trainer.data
    for name, source in data.val.items():
        _check_source(f"trainer.data.val.{name}", source)
    if data.threshold_set is not None and data.threshold_set not in data.val:
        raise UsageError(
            f"trainer.data.threshold_set: expected one of {', '.join(data.val) or 'no sets'}, got "
            f"{data.threshold_set!r}; name a validation set"
        )


def _check(key: str, value: Any, rule: _Rule) -> None:
    if value is not None and not rule.fits(value):
        raise UsageError(f"{key}: expected {rule.expected}, got {value!r}")


def _check_all(key: str, values: Mapping[str, Any], rule: _Rule) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping):
            _check_all(f"{key}.{name}", value, rule)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            _check(f"{key}.{name}", value, rule)


def _check_weights(config: RunConfig) -> None:
    model = config.trainer.model
    for size in (model.image_size, *config.trainer.data.image_sizes):
        preset(model.preset, image_size=size, overrides=model.overrides)
    for key, path in (("weights", model.weights), ("backbone", model.backbone)):
        if path is not None and path not in NAMED[key]:
            _check_file(f"trainer.model.{key}", path)
    if config.trainer.mode is Mode.val and model.weights is None:
        raise UsageError(
            "trainer.model.weights: expected weights to evaluate in mode val, got null; add "
            f"trainer.model.weights=FILE.safetensors, or {BUNDLED}"
        )


def _check_source(key: str, source: SourceSection) -> None:
    for name, rule in _SOURCE_RULES.items():
        _check(f"{key}.{name}", getattr(source, name), rule)
    if source.kind == "scene":
        _check_scene(key, source)
        return
    if source.annotations is None:
        raise UsageError(
            f"{key}.annotations: expected a file in COCO's format, got none; add "
            f"{key}.annotations=FILE.json"
        )
    _check_file(f"{key}.annotations", source.annotations)
    if source.images is not None and not Path(source.images).is_dir():
        raise UsageError(
            f"{key}.images: expected a folder of pictures, found none: {source.images}"
        )
    if source.masks is not None:
        _check_file(f"{key}.masks", source.masks)
    _check_groups(key, source)


def _check_scene(key: str, source: SourceSection) -> None:
    """What a set that is rendered cannot have."""
    for name in ("groups", "masks", "ask"):
        if getattr(source, name):
            raise UsageError(
                f"{key}.{name}: expected it of kind coco, got kind scene; leave it out"
            )


def _check_groups(key: str, source: SourceSection) -> None:
    if source.groups is None and source.part != "all":
        raise UsageError(
            f"{key}.groups: expected a grouping for part {source.part}, got none; add "
            f"{key}.groups=NAME"
        )
    if source.groups is not None:
        try:
            grouping_path(source.groups)
        except DatasetError as error:
            raise UsageError(f"{key}.{error}") from error


def _check_trained_on(key: str, source: SourceSection) -> None:
    """What only a validation set may say."""
    for name in ("masks", "ask"):
        if getattr(source, name):
            raise UsageError(
                f"{key}.{name}: expected it of a validation set, got it for training; leave it out"
            )


def _check_file(key: str, path: str) -> None:
    if not Path(path).is_file():
        raise UsageError(f"{key}: expected a file, found none: {path}; set {key} or paths.data")


def _check_present(config: RunConfig) -> None:
    mode, data = config.trainer.mode, config.trainer.data
    needed = {"train": mode is not Mode.val, "val": mode is not Mode.train_only}
    for kind, is_needed in needed.items():
        if is_needed and not getattr(data, kind):
            raise UsageError(
                f"trainer.data.{kind}: expected a data set in mode {mode.value}, got none; add "
                f"trainer.data.{kind}.NAME.annotations=FILE.json"
            )

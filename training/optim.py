"""What AdamW is given: groups of parameters with their peak rates, and how the rates run."""

import math
import re
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sam3_edge.errors import UsageError
from sam3_edge.training.config.schema import OptimSection, RatesSection, ScheduleSection
from sam3_edge.training.model.detector import Detector

TRUNK = "backbone.vision_backbone.trunk."
LANGUAGE = "backbone.language_backbone."
SCHEDULES = ("inverse_sqrt", "cosine")

_BLOCK = re.compile(re.escape(TRUNK) + r"blocks\.(\d+)\.")
_NEVER_DECAYED = (nn.Embedding, nn.LayerNorm, nn.GroupNorm, _BatchNorm)


def parameter_groups(model: Detector, section: OptimSection) -> list[dict[str, Any]]:
    """Groups for AdamW, in the order of the model: params, lr (the peak), weight_decay, name.

    Every parameter that is trained is in exactly one. A block of the trunk has the vision rate
    times layer_decay to the power of the blocks above it; what comes before the first block (stem,
    positions, norm) counts as one more layer below. Source: BEiT (arXiv:2106.08254).
    Raises UsageError where nothing is trained.
    """
    undecayed = _undecayed(model)
    depth = len(model.backbone.vision_backbone.trunk.blocks)
    groups: dict[str, dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        part, rate = _part_and_rate(name, section.rates, depth)
        decays = name not in undecayed
        key = part if decays else f"{part}, no decay"
        decay = section.weight_decay if decays else 0.0
        new = {"params": [], "lr": rate, "weight_decay": decay, "name": key}
        groups.setdefault(key, new)["params"].append(parameter)
    if not groups:
        raise UsageError(
            "trainer.model.freeze: expected something left to train, got a model that is frozen "
            "throughout; freeze less"
        )
    return list(groups.values())


def schedule_share(section: ScheduleSection, step: int, num_steps: int) -> float:
    """The factor on every peak rate at `step`, 0 .. num_steps - 1, of a run of `num_steps`.

    inverse_sqrt, source: facebookresearch/sam3, InverseSquareRootParamScheduler. With warm-up w,
    timescale T and cool-down c: min(1, step / w) / sqrt(1 + max(step - w, 0) / T)
    * min(1, (num_steps - step) / c), the last factor over `final_share`. Here the warm-up counts
    from one, since a first step at rate 0 would be lost.
    cosine (arXiv:1608.03983): from the warm-up's end down to `final_share` at the run's; its
    cool-down is the cosine itself. Raises UsageError for another kind.
    """
    if section.kind not in SCHEDULES:
        raise UsageError(
            f"trainer.optim.schedule.kind: expected one of {', '.join(SCHEDULES)}, got "
            f"{section.kind!r}; choose one of them"
        )
    warmup = _in_steps(section.warmup, num_steps)
    rising = rising_share(section.warmup, step, num_steps)
    after = max(step - warmup, 0.0)
    if section.kind == "cosine":
        progress = min(after / max(num_steps - warmup, 1.0), 1.0)
        return rising * _above(section.final_share, 0.5 * (1.0 + math.cos(math.pi * progress)))
    cooldown = _in_steps(section.cooldown, num_steps)
    left = max(num_steps - step, 0)
    falling = min(1.0, left / cooldown) if cooldown else 1.0
    root = math.sqrt(1.0 + after / max(section.timescale, 1))
    return rising / root * _above(section.final_share, falling)


def rising_share(warmup: float, step: int, num_steps: int) -> float:
    """From 0 to 1 over the warm-up, in steps or, below 1, a share of the run; never 0."""
    steps = _in_steps(warmup, num_steps)
    return min(1.0, (step + 1) / steps) if steps else 1.0


def _above(lowest: float, share: float) -> float:
    """Share 0..1, squeezed into lowest..1."""
    return lowest + (1.0 - lowest) * share


def _in_steps(value: float, num_steps: int) -> float:
    return value * num_steps if value < 1.0 else value


def _part_and_rate(name: str, rates: RatesSection, depth: int) -> tuple[str, float]:
    if name.startswith(LANGUAGE):
        return "language", rates.language
    if not name.startswith(TRUNK):
        return "transformer", rates.transformer
    block = _BLOCK.match(name)
    if block is None:
        return "vision stem", rates.vision * rates.layer_decay**depth
    number = int(block[1])
    return f"vision block {number}", rates.vision * rates.layer_decay ** (depth - 1 - number)


def _undecayed(model: nn.Module) -> set[str]:
    """Names of biases, scales of norms, embeddings, positions and single numbers."""
    names = {n for n, p in model.named_parameters() if p.ndim < 2 or _is_embedding(n)}
    for path, module in model.named_modules():
        if isinstance(module, _NEVER_DECAYED):
            names.update(f"{path}.{own}" for own, _ in module.named_parameters(recurse=False))
    return names


def _is_embedding(name: str) -> bool:
    """Of parameters that are no module's: `pos_embed`, `positional_embedding`."""
    return name.endswith(("embed", "embedding"))

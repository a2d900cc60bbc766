"""How much memory a training step will take, and what to do where there is too little."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sam3_edge.errors import TrainingError
from sam3_edge.training.activation_checkpointing import is_checkpointed, without_checkpointing
from sam3_edge.training.config.schema import Precision
from sam3_edge.training.data.targets import Batch
from sam3_edge.training.freeze import MOMENTS, keep_frozen_in_eval, unchanged_state
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.outputs import DetectorOutput
from sam3_edge.training.saved_tensors import SavedStorage, count_saved

# In the backward pass a gradient comes in and one goes out while everything else is still there.
GRADIENTS_IN_FLIGHT = 2
# Of what is free, so much may be planned for: allocators do not pack perfectly.
USABLE = 0.9

_CPU_ALLOCATOR = ("DefaultCPUAllocator", "not enough memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """Bytes of one device at the height of a training step: after the forward pass, with the
    gradients and moments of AdamW that all but the first step find there.

    activations: what autograd keeps of `batch_size` pictures of `image_size` px. transient: what
    the backward pass needs besides, at its widest. checkpointing_saves, freezing_trunk_saves: what
    the total would lose; 0 where that is done already. image_size_step: sizes are multiples of it.
    several_sizes: image_size is the largest of trainer.data.image_sizes.
    """

    weights: int
    gradients: int
    optimizer: int
    ema: int
    activations: int
    transient: int
    batch_size: int
    image_size: int
    image_size_step: int
    checkpointing_saves: int
    freezing_trunk_saves: int
    several_sizes: bool = False

    @property
    def fixed(self) -> int:
        """What does not depend on the batch."""
        return self.weights + self.gradients + self.optimizer + self.ema

    @property
    def total(self) -> int:
        return self.fixed + self.activations + self.transient

    def lines(self) -> list[str]:
        """A table for printing, in MiB."""
        rows = {
            "weights": self.weights,
            "gradients": self.gradients,
            "optimizer": self.optimizer,
            "moving average": self.ema,
            f"activations of {self.batch_size} pictures": self.activations,
            "backward pass": self.transient,
            "total": self.total,
        }
        return [f"{name:<28}{size / 2**20:>10.1f} MiB" for name, size in rows.items()]


def estimate_memory(
    model: Detector,
    batch: Batch,
    loss: Callable[[DetectorOutput], Tensor],
    *,
    precision: Precision,
    ema: bool,
    batch_size: int,
    several_sizes: bool = False,
) -> MemoryEstimate:
    """The model, its batch and its loss as they will be trained, on their device; the batch may be
    smaller (one or two pictures) and is scaled up to batch_size. The model is left as it was.
    """
    checkpointed = is_checkpointed(model)
    with unchanged_state(model), without_checkpointing(model):
        model.train()
        keep_frozen_in_eval(model)
        saved = count_saved(model, batch, loss, precision)
    share = batch_size / len(batch.images)
    activations = sum(s.bytes_at(share) for s in saved if s.outside or not checkpointed)
    height = backward_height(saved, share, checkpointed=checkpointed)
    lower = backward_height(saved, share, checkpointed=True)
    beyond = [s for s in saved if s.beyond_trunk]
    without_trunk = backward_height(beyond, share, checkpointed=checkpointed)
    trunk = model.backbone.vision_backbone.trunk.parameters()
    trunk_bytes = sum(_size(p) for p in trunk if p.requires_grad)
    trained = sum(_size(p) for p in model.parameters() if p.requires_grad)
    weights = sum(_size(t) for t in (*model.parameters(), *model.buffers()))
    return MemoryEstimate(
        weights=weights,
        gradients=trained,
        optimizer=MOMENTS * trained,
        ema=weights if ema else 0,
        activations=activations,
        transient=height - activations,
        batch_size=batch_size,
        image_size=batch.images.shape[1],
        image_size_step=model.config.trunk.stride,
        checkpointing_saves=height - lower,
        freezing_trunk_saves=(1 + MOMENTS) * trunk_bytes + height - without_trunk,
        several_sizes=several_sizes,
    )


def backward_height(saved: Sequence[SavedStorage], share: float, *, checkpointed: bool) -> int:
    """The most bytes that are there at one moment of the backward pass, weights and what belongs to
    them aside. It frees in reverse what the forward pass saved in this order; a checkpointed block
    is filled again when its turn comes.
    """
    below = sum(s.bytes_at(share) for s in saved if s.held)
    height = below
    filled: dict[int, int] = {}
    for one in saved:
        size = one.bytes_at(share)
        if checkpointed and not one.outside:
            for block in one.blocks:
                filled[block] = filled.get(block, 0) + size
                height = max(height, below + filled[block] + GRADIENTS_IN_FLIGHT * size)
            continue
        below += 0 if one.held else size
        height = max(height, below + GRADIENTS_IN_FLIGHT * size)
    return height


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def advice(estimate: MemoryEstimate, available: int | None) -> str:
    """One line: what to reduce and by how much, to stay within `available` bytes; None where
    nobody knows, as after a step that failed, takes half of the estimate.
    """
    needed = f"training needs about {_amount(estimate.total)} ({_run(estimate)})"
    limit = int((estimate.total / 2 if available is None else available) * USABLE)
    if available is not None:
        needed += f", {_amount(available)} are free"
        if estimate.total <= limit:
            return f"{needed}: it fits"
    ways = [way for way in _ways(estimate, limit) if way is not None]
    ways = ways or ["choose a smaller trainer.model.preset"]
    return f"{needed}; {'; or '.join(ways)}"


def available_memory(device: torch.device) -> int | None:
    """Bytes this process may still take there, with what torch holds on a GPU already counted as
    free; None where the system does not say. On CPUs within the limits of the control group.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device)
    return host_memory(Path("/proc"), Path("/sys/fs/cgroup")) if device.type == "cpu" else None


def host_memory(proc: Path, groups: Path) -> int | None:
    """The least of MemAvailable and what the control groups (version 1 or 2) leave; None without
    either. proc, groups: where the kernel shows them.
    """
    left = list(_left_in_groups(proc, groups))
    known = proc / "meminfo"
    for line in known.read_text().splitlines() if known.exists() else ():
        if line.startswith("MemAvailable:"):
            left.append(int(line.split()[1]) * 1024)
    return max(min(left), 0) if left else None


def translate_out_of_memory(error: BaseException, advice: str) -> TrainingError:
    """The error to raise from torch's, with what was asked for and the advice. Anything but a lack
    of memory is raised as it is.
    """
    message = str(error)
    scarce = isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in message for words in _CPU_ALLOCATOR)
    )
    if not scarce:
        raise error
    first = message.splitlines()[0] if message else type(error).__name__
    return TrainingError(f"training: expected enough memory, got: {first}; {advice}")


def _ways(estimate: MemoryEstimate, limit: int) -> Iterator[str | None]:
    """Each with what is needed then, those first that cost no accuracy."""
    yield _smaller_batch(estimate, limit)
    for saves, what in (
        (estimate.checkpointing_saves, "trainer.model.activation_checkpointing=true"),
        (estimate.freezing_trunk_saves, "trainer.model.freeze=[trunk]"),
    ):
        if saves:
            left = estimate.total - saves
            alone = "" if left <= limit else ", not enough alone"
            yield f"{what} saves {_amount(saves)}{alone}"
    yield _smaller_pictures(estimate, limit)


def _smaller_batch(estimate: MemoryEstimate, limit: int) -> str | None:
    """The largest part of the batch that fits, so often that the step stays the same."""
    one = (estimate.activations + estimate.transient) / estimate.batch_size
    for size in range(estimate.batch_size - 1, 0, -1):
        if estimate.batch_size % size == 0 and estimate.fixed + size * one <= limit:
            times = estimate.batch_size // size
            return (
                f"trainer.data.batch_size={size} with {times} times the "
                f"trainer.gradient_accumulation_steps needs {_amount(estimate.fixed + size * one)}"
            )
    least = estimate.fixed + one
    if estimate.batch_size == 1:
        return None
    return f"trainer.data.batch_size=1 needs {_amount(least)}, not enough alone"


def _smaller_pictures(estimate: MemoryEstimate, limit: int) -> str | None:
    """Activations grow at least with the area, so what is left is at most this."""
    changing, step = estimate.activations + estimate.transient, estimate.image_size_step
    for size in range(estimate.image_size - step, step - 1, -step):
        needed = estimate.fixed + changing * (size / estimate.image_size) ** 2
        if needed <= limit:
            if estimate.several_sizes:
                return f"trainer.data.image_sizes of at most {size} need {_amount(needed)}"
            return f"trainer.model.image_size={size} needs {_amount(needed)}"
    return None


def _run(estimate: MemoryEstimate) -> str:
    return f"batch size {estimate.batch_size}, {estimate.image_size} px"


def _amount(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def _left_in_groups(proc: Path, groups: Path) -> Iterator[int]:
    """Limit less use of this process's group and of those around it."""
    listed = proc / "self" / "cgroup"
    for line in listed.read_text().splitlines() if listed.exists() else ():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, limit, used, cached = groups, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            root, limit, used = groups / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cached = "total_inactive_file"
        else:
            continue
        inner = root / path.strip("/")
        for folder in (inner, *inner.parents):
            if folder == root.parent:
                break
            yield from _left_in_group(folder, limit, used, cached)


def _left_in_group(folder: Path, limit: str, used: str, cached: str) -> Iterator[int]:
    """Nothing where the group has no limit. Files that can be read again count as free."""
    if not ((folder / limit).exists() and (folder / used).exists()):
        return
    most = (folder / limit).read_text().strip()
    if not most.isdigit():
        return
    statistics = folder / "memory.stat"
    lines = statistics.read_text().splitlines() if statistics.exists() else []
    reclaimable = sum(int(n) for key, n in map(str.split, lines) if key == cached)
    yield int(most) - int((folder / used).read_text()) + reclaimable

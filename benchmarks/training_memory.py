"""The memory a training step takes, as estimated and as measured, for a few configurations.

    python benchmarks/training_memory.py [PRESET:SIZE:BATCH[:PRECISION[:checkpointing]] ...]

Each is measured in a process of its own: the highest resident memory during two steps with AdamW,
less what was there before the model was built (after a step of a very small model, so that torch's
code and threads are not counted). Linux only.
"""

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from sam3_edge.errors import Sam3EdgeError
from sam3_edge.runtime.tokenizer import Tokenizer
from sam3_edge.training.activation_checkpointing import checkpoint_activations
from sam3_edge.training.config.schema import LossSection, Precision
from sam3_edge.training.data.augment import plain_sample
from sam3_edge.training.data.scene_dataset import SceneDataset
from sam3_edge.training.data.targets import Batch, collate
from sam3_edge.training.losses.detector_losses import detector_losses
from sam3_edge.training.losses.loss_counts import target_counts
from sam3_edge.training.memory_estimate import MemoryEstimate, estimate_memory
from sam3_edge.training.model.config import preset
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.outputs import DetectorOutput

DEFAULTS = ("tiny:252:8", "nano:336:4")
# What is freed goes back at once, so that the peak is that of the tensors.
QUIET = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
    "OMP_NUM_THREADS": "1",
}
# A size that every preset's patches divide.
WARM_UP_SIZE = 112


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    preset: str
    image_size: int
    batch_size: int
    precision: Precision = Precision.fp32
    checkpointing: bool = False

    @classmethod
    def parse(cls, text: str) -> "Case":
        """The form above. Raises click.BadParameter."""
        parts = text.split(":")
        known = [p.value for p in Precision]
        if (
            not 3 <= len(parts) <= 5
            or not (parts[1] + parts[2]).isdigit()
            or (len(parts) > 3 and parts[3] not in known)
            or (len(parts) > 4 and parts[4] != "checkpointing")
        ):
            form = f"PRESET:SIZE:BATCH[:{'|'.join(known)}[:checkpointing]]"
            raise click.BadParameter(f"expected {form}, got {text!r}")
        return cls(
            preset=parts[0],
            image_size=int(parts[1]),
            batch_size=int(parts[2]),
            precision=Precision(parts[3]) if len(parts) > 3 else Precision.fp32,
            checkpointing=len(parts) > 4,
        )

    def text(self) -> str:
        parts = [self.preset, str(self.image_size), str(self.batch_size), self.precision.value]
        return ":".join([*parts, "checkpointing"] if self.checkpointing else parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Bytes. lines: the estimate as a table."""

    estimated: int
    peak: int
    lines: list[str]


def measure(case: Case) -> Measured:
    """In a new process. Raises click.ClickException with what that one said, if it fails."""
    done = subprocess.run(
        [sys.executable, __file__, "--alone", case.text()],
        env={**os.environ, **QUIET},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise click.ClickException(f"{case.text()}: {done.stderr.strip()}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def measure_here(case: Case) -> Measured:
    """In this process, which should have done nothing else."""
    torch.set_num_threads(1)
    warm_up = build(case, WARM_UP_SIZE)
    train(warm_up, scene_batch(warm_up, 1), case.precision, steps=1)
    del warm_up
    gc.collect()
    before = resident_bytes("VmRSS")
    model = build(case, case.image_size)
    train(model, scene_batch(model, case.batch_size), case.precision, steps=2)
    peak = resident_bytes("VmHWM") - before
    estimate = estimated(model, case)
    return Measured(estimated=estimate.total, peak=peak, lines=estimate.lines())


def build(case: Case, image_size: int) -> Detector:
    torch.manual_seed(0)
    model = Detector(preset(case.preset, image_size=image_size)).train()
    if case.checkpointing:
        checkpoint_activations(model)
    return model


def train(model: Detector, batch: Batch, precision: Precision, *, steps: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    dtype = torch.float16 if precision is Precision.fp16 else torch.bfloat16
    for _ in range(steps):
        with torch.autocast("cpu", dtype, enabled=precision is not Precision.fp32):
            output = model(batch.images, batch.token_ids, batch.image_index)
        total = loss_of(batch)(output)
        optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def estimated(model: Detector, case: Case) -> MemoryEstimate:
    """From one picture, or two."""
    few = scene_batch(model, min(2, case.batch_size))
    return estimate_memory(
        model,
        few,
        loss_of(few),
        precision=case.precision,
        ema=False,
        batch_size=case.batch_size,
    )


def loss_of(batch: Batch) -> Callable[[DetectorOutput], Tensor]:
    def loss(output: DetectorOutput) -> Tensor:
        counts = target_counts(batch.targets)
        parts = detector_losses(output, batch.targets, LossSection(), counts)
        return torch.stack(list(parts.values())).sum()

    return loss


def scene_batch(model: Detector, count: int) -> Batch:
    """`count` demo scenes, each asked for all that scenes show."""
    side, mask_side = model.config.image_size, 4 * model.config.tokens_per_side
    scenes, rng = SceneDataset("train", side), np.random.default_rng(0)
    samples = [plain_sample(scenes.picture(i, rng), side, mask_side) for i in range(count)]
    return collate(samples, Tokenizer(), mask_side)


def resident_bytes(kind: str) -> int:
    """kind: VmRSS, what is resident, or VmHWM, the most that ever was."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1024
    raise click.ClickException(f"/proc/self/status: expected {kind}, got none; this needs Linux")


@click.command()
@click.argument("cases", nargs=-1)
@click.option("--tolerance", type=float, help="Fail where the ratio is further from 1.")
@click.option("--alone", is_flag=True, hidden=True, help="Measure here, and print JSON.")
def main(cases: tuple[str, ...], tolerance: float | None, alone: bool) -> None:
    parsed = [Case.parse(text) for text in cases or DEFAULTS]
    if alone:
        click.echo(json.dumps(asdict(measure_here(parsed[0]))))
        return
    console = Console()
    table = Table("configuration", "estimated, MiB", "measured, MiB", "ratio", box=None)
    far = []
    for case in parsed:
        found = measure(case)
        console.print("\n".join([case.text(), *found.lines, ""]))
        ratio = found.estimated / found.peak
        sizes = (f"{size / 2**20:.0f}" for size in (found.estimated, found.peak))
        table.add_row(case.text(), *sizes, f"{ratio:.2f}")
        if tolerance is not None and abs(ratio - 1.0) > tolerance:
            far.append(case.text())
    console.print(table)
    if far:
        raise click.ClickException(f"expected ratios within {tolerance} of 1: {', '.join(far)}")


if __name__ == "__main__":
    try:
        main()
    except Sam3EdgeError as error:
        raise SystemExit(f"training_memory: error: {error}") from error

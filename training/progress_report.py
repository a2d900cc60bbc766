"""What a run says while it runs: a bar and lines for people, JSON lines, TensorBoard."""

import resource
import sys
from collections.abc import Mapping
from types import TracebackType

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sam3_edge.training.event_log import EventLog
from sam3_edge.training.experiment import Experiment
from sam3_edge.training.step import StepOutcome
from sam3_edge.training.training_clock import TrainingClock

# Of the metrics, what a line for people shows.
SHOWN = ("bbox/AP", "bbox/AP50", "segm/AP", "cgF1")


class ProgressReport:
    """Open as a context. In all processes but the first it says nothing."""

    def __init__(
        self,
        experiment: Experiment,
        events: EventLog,
        device: torch.device,
        clock: TrainingClock,
    ) -> None:
        self.experiment, self.events, self.device = experiment, events, device
        self.clock = clock
        self.console = Console(quiet=not experiment.writes)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not (self.console.is_terminal and experiment.writes),
        )
        self._pictures, self._since = 0, clock.read()
        self._task = self._bar.add_task("training", total=1.0)

    def __enter__(self) -> "ProgressReport":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        self.console.print(line, soft_wrap=True, highlight=False, markup=False)

    def advance(self, step: int, progress: float) -> None:
        self._bar.update(self._task, completed=progress, description=f"step {step}")

    def step(
        self,
        step: int,
        epoch: int,
        elapsed_s: float,
        outcome: StepOutcome,
        rates: Mapping[str, float],
        *,
        pictures: int,
        every: int,
    ) -> None:
        """To be called after every step; says something about every so many. rates: current
        learning rates, by part of the model. pictures: of this step, and of every step before.
        """
        self._pictures += pictures
        if step % every:
            return
        now = self.clock.read()
        images_per_s = self._pictures / (now - self._since)
        self._pictures, self._since = 0, now
        memory = _most_memory(self.device)
        self.experiment.append(
            {
                "step": step,
                "epoch": epoch,
                "elapsed_s": round(elapsed_s, 1),
                "pictures": step * pictures,
                "images_per_s": round(images_per_s, 2),
                "norm": outcome.norm,
                "memory_bytes": memory,
                "loss": outcome.total,
                **outcome.losses,
                **{f"rate/{name}": rate for name, rate in rates.items()},
            }
        )
        self.events.scalars(
            step,
            {
                "loss/total": outcome.total,
                **{f"loss/{name}": value for name, value in outcome.losses.items()},
                **{f"rate/{name}": rate for name, rate in rates.items()},
                "run/images_per_s": images_per_s,
                "run/gradient_norm": outcome.norm,
                "run/memory_gib": memory / 2**30,
            },
        )
        parts = "  ".join(f"{name} {value:.3f}" for name, value in outcome.losses.items())
        left_out = "" if outcome.taken else "  (left out: FP16 overflow)"
        self.say(
            f"epoch {epoch}  step {step}  {images_per_s:.1f} images/s  "
            f"rate {max(rates.values()):.2e}  norm {outcome.norm:.3g}  loss {outcome.total:.3f}  "
            f"{parts}{left_out}"
        )

    def begin(self) -> None:
        """The first step is about to be taken: the rate of pictures counts from here."""
        self._since = self.clock.read()

    def leave_out(self, seconds: float) -> None:
        """Of the rate of pictures: an evaluation took so long."""
        self._since += seconds

    def evaluation(
        self,
        step: int,
        epoch: int,
        elapsed_s: float,
        evaluation_s: float,
        metrics: Mapping[str, float],
    ) -> None:
        """elapsed_s: of the run, when the evaluation began. evaluation_s: what it took."""
        times = {"elapsed_s": round(elapsed_s, 1), "evaluation_s": round(evaluation_s, 1)}
        self.experiment.append({"step": step, "epoch": epoch, **times, **metrics})
        self.events.scalars(step, {f"val/{name}": value for name, value in metrics.items()})
        # Of a single set every metric has two names.
        shown = [n for n in SHOWN if n in metrics] or [
            n for n in metrics if n.partition("/")[2] in SHOWN
        ]
        line = "  ".join(f"{name} {metrics[name]:.4f}" for name in shown)
        self.say(f"epoch {epoch}  step {step}  evaluated in {evaluation_s:.0f} s: {line}")


def _most_memory(device: torch.device) -> int:
    """The most that was held so far, bytes: of a GPU by torch, else by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

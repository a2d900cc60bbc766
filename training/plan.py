"""How long a run is: epochs, steps or minutes, whichever ends first."""

import math
from dataclasses import dataclass

from sam3_edge.training.config.schema import TrainerSection


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """steps_per_epoch: one pass over `epoch_samples`, rounded up. num_steps: of all epochs, or
    max_steps. max_minutes: of wall time, that of earlier parts of the run and of evaluations
    included.
    """

    steps_per_epoch: int
    num_steps: int
    max_minutes: float | None

    def is_over(self, step: int, elapsed_s: float) -> bool:
        late = self.max_minutes is not None and elapsed_s >= 60.0 * self.max_minutes
        return step >= self.num_steps or late

    def expected_steps(self, step: int, elapsed_s: float) -> int:
        """What the schedule is stretched over. Where minutes end the run, the steps done so far
        over the share of the time that has passed, so that the rate cools down with the clock.
        """
        if self.max_minutes is None or step == 0 or elapsed_s <= 0.0:
            return self.num_steps
        share = elapsed_s / (60.0 * self.max_minutes)
        return min(self.num_steps, max(round(step / share), step + 1))

    def progress(self, step: int, elapsed_s: float) -> float:
        """0..1"""
        by_time = 0.0 if self.max_minutes is None else elapsed_s / (60.0 * self.max_minutes)
        return min(max(step / self.num_steps, by_time), 1.0)

    def ends_epoch(self, step: int) -> bool:
        """Whether the step that is now done was an epoch's last."""
        return step % self.steps_per_epoch == 0

    def epoch(self, step: int) -> int:
        """Whole epochs done."""
        return step // self.steps_per_epoch


def make_plan(section: TrainerSection, epoch_samples: int, processes: int) -> Plan:
    pictures = section.data.batch_size * section.gradient_accumulation_steps * processes
    steps = math.ceil(epoch_samples / pictures)
    whole = steps * section.max_epochs
    return Plan(
        steps_per_epoch=steps,
        num_steps=whole if section.max_steps is None else min(whole, section.max_steps),
        max_minutes=section.max_minutes,
    )

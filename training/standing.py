"""How far a run has come: what changes from step to step besides the weights."""

import math
from dataclasses import dataclass, field

from sam3_edge.training.config.schema import EarlyStopSection


@dataclass(slots=True, kw_only=True)
class Standing:
    """step: optimizer steps done. elapsed_s: time of the whole run, evaluations included and pauses
    not, by the first process.

    evaluated: the step of the last evaluation, -1 before any; evaluated_s: when it was over;
    metrics: what it gave. best: the highest checkpoint metric. top, waited: the highest early-stop
    metric that counted as a gain, and evaluations since.
    """

    step: int = 0
    elapsed_s: float = 0.0
    evaluated: int = -1
    evaluated_s: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    best: float | None = None
    top: float | None = None
    waited: int = 0

    def record(self, metrics: dict[str, float], metric: str, early: EarlyStopSection) -> bool:
        """Notes an evaluation at the current step; whether it is the best so far by `metric`.

        A metric that is not defined (no objects at all) is no gain.
        """
        self.evaluated, self.metrics = self.step, metrics
        watched = metrics.get(early.metric, -math.inf)
        if self.top is None or watched > self.top + early.least_gain:
            self.top, self.waited = watched, 0
        else:
            self.waited += 1
        value = metrics.get(metric)
        if value is None or (self.best is not None and value <= self.best):
            return False
        self.best = value
        return True

    def should_stop(self, early: EarlyStopSection) -> bool:
        return early.patience > 0 and self.waited >= early.patience

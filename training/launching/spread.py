"""What several runs came to: mean and spread over seeds, and the mean over data sets."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sam3_edge.errors import TrainingError
from sam3_edge.training.config.files import write_whole
from sam3_edge.training.launching.planned_runs import PlannedGroup

METRICS = "metrics.json"
FEW_SHOT = "few_shot.json"
DATASETS = "datasets.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """values: one a run. spread: their sample standard deviation, 0 of a single one."""

    mean: float
    spread: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        return cls(mean=statistics.fmean(values), spread=spread, values=tuple(values))


def read_metrics(folder: Path) -> dict[str, float]:
    """The final metrics of a run. Raises TrainingError."""
    path = folder / METRICS
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): float(value) for name, value in found.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise TrainingError(
            f"{path}: expected the final metrics of a run, got none that can be read; continue the "
            "run until it ends"
        ) from error


def spreads(metrics: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """By name, of the metrics that every run has; a run where one is NaN does not have it."""
    if not metrics:
        return {}
    names = [name for name in metrics[0] if all(_has(one, name) for one in metrics)]
    return {name: Spread.of([one[name] for one in metrics]) for name in names}


def write_few_shot(group: PlannedGroup) -> list[str]:
    """few_shot.json of a group with seeds; one line a metric, for printing."""
    found = spreads([read_metrics(Path(run.config.paths.experiment)) for run in group.runs])
    said = {
        "seeds": list(group.seeds),
        "metrics": {name: asdict(spread) for name, spread in found.items()},
    }
    write_whole(group.folder / FEW_SHOT, json.dumps(said, indent=1) + "\n")
    return [f"over {len(group.seeds)} seeds:", *_lines(found)]


def write_datasets(experiment: Path, groups: Sequence[PlannedGroup]) -> list[str]:
    """datasets.json of the data sets that are done so far; lines with the mean over them."""
    done = {str(group.dataset): _result(group) for group in groups if _is_done(group)}
    found = spreads(list(done.values()))
    said = {"datasets": done, "mean": {name: spread.mean for name, spread in found.items()}}
    write_whole(experiment / DATASETS, json.dumps(said, indent=1) + "\n")
    return [f"over {len(done)} of {len(groups)} data sets:", *_lines(found)]


def _result(group: PlannedGroup) -> dict[str, float]:
    found = spreads([read_metrics(Path(run.config.paths.experiment)) for run in group.runs])
    return {name: spread.mean for name, spread in found.items()}


def _is_done(group: PlannedGroup) -> bool:
    return all((Path(run.config.paths.experiment) / METRICS).is_file() for run in group.runs)


def _has(metrics: Mapping[str, float], name: str) -> bool:
    return name in metrics and not math.isnan(metrics[name])


def _lines(found: Mapping[str, Spread]) -> list[str]:
    width = max((len(name) for name in found), default=0)
    return [f"  {name:<{width}}  {one.mean:.4f} +- {one.spread:.4f}" for name, one in found.items()]

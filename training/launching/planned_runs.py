"""The runs that one configuration asks for: one for every data set and, few-shot, every seed."""

from dataclasses import dataclass
from pathlib import Path

from sam3_edge.errors import UsageError
from sam3_edge.training.config.compose import ComposedConfig, changed
from sam3_edge.training.config.schema import RunConfig
from sam3_edge.training.data.layouts import Layout, annotation_files, dataset_names


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedGroup:
    """The runs of one data set, which one job trains one after the other.

    folder: <experiment>, or <experiment>/<dataset>; the runs write there, or into its seed_N.
    dataset: None where the configuration is about one data set by itself. seeds: () for one run.
    """

    folder: Path
    dataset: str | None
    seeds: tuple[int, ...]
    runs: tuple[ComposedConfig, ...]


def planned_groups(composed: ComposedConfig) -> tuple[PlannedGroup, ...]:
    """Raises UsageError and DatasetError for data sets that are not where the layout has them."""
    config = composed.config
    root = Path(config.paths.experiment)
    names = _datasets(config)
    if not names:
        return (_group(composed, root, None),)
    return tuple(_group(_about(composed, name), root / name, name) for name in names)


def _datasets(config: RunConfig) -> tuple[str, ...]:
    array = config.submitit.job_array
    if array.layout is None:
        return tuple(array.datasets)
    known = dataset_names(_layout(array.layout), Path(config.paths.data))
    for name in array.datasets:
        if name not in known:
            raise UsageError(
                f"submitit.job_array.datasets: expected some of {', '.join(known)}, got {name!r}"
            )
    return tuple(array.datasets) or known


def _about(composed: ComposedConfig, dataset: str) -> ComposedConfig:
    """The same configuration for one data set, in a folder of its own."""
    config = composed.config
    values = {
        "scratch.dataset": dataset,
        "paths.experiment": f"{config.paths.experiment}/{dataset}",
    }
    if config.submitit.job_array.layout is not None:
        layout, root = _layout(config.submitit.job_array.layout), Path(config.paths.data)
        for split in ("train", "valid"):
            (file,) = annotation_files(layout, root, dataset, split)
            values[f"scratch.{split}"] = str(file)
    return changed(composed, values)


def _group(composed: ComposedConfig, folder: Path, dataset: str | None) -> PlannedGroup:
    seeds = tuple(composed.config.trainer.few_shot_seeds)
    # Seeds keep their list: whoever reads a run's configuration sees that it was one of several.
    runs = tuple(
        changed(
            composed,
            {"trainer.seed_value": seed, "paths.experiment": f"{folder}/seed_{seed}"},
        )
        for seed in seeds
    )
    return PlannedGroup(folder=folder, dataset=dataset, seeds=seeds, runs=runs or (composed,))


def _layout(name: str) -> Layout:
    return "odinw13" if name == "odinw13" else "roboflow100"

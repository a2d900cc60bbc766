"""`sam3-edge train`: from a configuration to weights."""

import os
from collections.abc import Iterable
from pathlib import Path

import click
from rich.console import Console
from rich.syntax import Syntax

from sam3_edge.errors import UsageError
from sam3_edge.training.config.compose import ComposedConfig, changed, compose_config, quoted
from sam3_edge.training.config.names import listed
from sam3_edge.training.data.coco_annotations import find_faults
from sam3_edge.training.data.held_out import find_splits, hold_out
from sam3_edge.training.launching.launch import check_all, launch
from sam3_edge.training.launching.planned_runs import planned_groups
from sam3_edge.training.launching.run_group import is_first

# Option -> the key that it is another way to write.
FLAG_KEYS = {
    "num_gpus": "launcher.gpus_per_node",
    "num_nodes": "launcher.num_nodes",
    "use_cluster": "submitit.use_cluster",
    "partition": "submitit.partition",
    "account": "submitit.account",
    "qos": "submitit.qos",
    "out": "paths.experiment",
    "resume": "trainer.checkpoint.resume",
}
# The ready configuration that --data fills in.
SIMPLE = "simple"


@click.command()
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("-c", "--config", metavar="NAME", help="A ready configuration, or a YAML file.")
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help=f"Without -c: a data set in COCO's format, with the configuration {SIMPLE}.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    help="Folder of the run; paths.experiment.  [default: runs/NAME]",
)
@click.option(
    "--num-gpus",
    type=click.IntRange(min=1),
    help="Processes on each machine, also without GPUs; launcher.gpus_per_node.",
)
@click.option("--num-nodes", type=click.IntRange(min=1), help="Machines; launcher.num_nodes.")
@click.option(
    "--use-cluster",
    type=click.IntRange(0, 1),
    help="1: submit to SLURM and return; submitit.use_cluster.",
)
@click.option("--partition", help="Of the cluster; submitit.partition.")
@click.option("--account", help="On the cluster; submitit.account.")
@click.option("--qos", help="On the cluster; submitit.qos.")
@click.option(
    "--resume/--fresh",
    default=None,
    help="Go on from the folder's last checkpoint, or begin anew; trainer.checkpoint.resume.",
)
@click.option("--check-data", is_flag=True, help="Only list what is wrong with the data sets.")
@click.option("--print-config", is_flag=True, help="Only print the whole configuration.")
@click.option("--list", "list_", is_flag=True, help="Only name the configurations there are.")
def train(
    overrides: tuple[str, ...],
    config: str | None,
    data: Path | None,
    check_data: bool,
    print_config: bool,
    list_: bool,
    **flags: str | int | bool | None,
) -> int:
    """Train a detector: as configuration NAME says, with KEY=VALUE over it.

    NAME is a path, NAME.yaml in this folder or in configs/, or a ready one; `--list` shows them.
    Keys are dotted (trainer.max_epochs=5) and checked; options that name a key are short for it.
    A category's name is the phrase that finds it. Boxes are enough; masks are learned where there
    are masks. The run continues where it was stopped. Exit status with --check-data: 1 for faults.
    Needs: pip install 'sam3-edge[train]'.

    \b
    Examples:
      sam3-edge train -c debug
      sam3-edge train --data reef --out runs/reef
      sam3-edge train -c nano_aquarium paths.data=data trainer.max_epochs=5
      sam3-edge train -c reef.yaml --num-gpus 8 --use-cluster 1 --partition gpu
    """
    console = Console(soft_wrap=True, highlight=False)
    if list_:
        _print_list(console)
        return 0
    composed = _composed(config, data, [*_flag_overrides(flags), *overrides])
    if print_config:
        _print_config(console, composed)
        return 0
    if check_data:
        return _print_faults(console, composed)
    if is_first(os.environ):
        _print_config(console, composed)
    launch(composed, report=console.print)
    return 0


def _flag_overrides(flags: dict[str, str | int | bool | None]) -> list[str]:
    given = {FLAG_KEYS[name]: value for name, value in flags.items() if value is not None}
    return [
        f"{key}={quoted(value) if isinstance(value, str) else str(value).lower()}"
        for key, value in given.items()
    ]


def _composed(config: str | None, data: Path | None, overrides: list[str]) -> ComposedConfig:
    if (config is None) == (data is None):
        got = "neither" if config is None else "both"
        names = ", ".join(one.name for one in listed())
        raise UsageError(f"expected one of -c NAME and --data, got {got}; NAME is one of: {names}")
    if data is None:
        return compose_config(str(config), overrides)
    name = quoted(data.resolve().stem)
    composed = compose_config(SIMPLE, [f"scratch.name={name}", *overrides])
    splits = find_splits(data)
    if splits.valid is None:
        splits = hold_out(splits.train, Path(composed.config.paths.experiment) / "data")
    return changed(
        composed, {"scratch.train": str(splits.train), "scratch.valid": str(splits.valid)}
    )


def _print_list(console: Console) -> None:
    found = listed()
    width = max(len(one.name) for one in found)
    for one in found:
        where = "" if one.ready else f"  ({os.path.relpath(one.path)})"
        console.print(f"{one.name:<{width}}  {one.summary}{where}", markup=False)


def _print_config(console: Console, composed: ComposedConfig) -> None:
    text = composed.resolved_yaml.rstrip()
    if console.is_terminal:
        console.print(Syntax(text, "yaml", background_color="default", word_wrap=True))
    else:
        click.echo(text)


def _print_faults(console: Console, composed: ComposedConfig) -> int:
    """Of every file of annotations once; 1 where there are faults."""
    check_all(planned_groups(composed))
    total = 0
    for annotations, images in dict.fromkeys(_data_sets(composed)):
        report = find_faults(annotations, images=images)
        total += report.total
        for line in report.lines():
            console.print(line, markup=False)
    return 1 if total else 0


def _data_sets(composed: ComposedConfig) -> Iterable[tuple[Path, Path | None]]:
    """Annotations, and the folder of their pictures where it is given."""
    for group in planned_groups(composed):
        data = group.runs[0].config.trainer.data
        for source in (*data.train.values(), *data.val.values()):
            if source.annotations is not None:
                images = None if source.images is None else Path(source.images)
                yield Path(source.annotations), images

"""Pictures a second that training takes in, of this tree and of an earlier commit, in turns.

    python benchmarks/training_speed.py --data DATA [KEY=VALUE ...]

DATA is the folder with aquarium/ in it, as for the configuration nano_aquarium, which both train.
The earlier commit comes from git and is installed beside this one, into a temporary folder. What is
timed is `sam3-edge train` as a user runs it, loading of pictures included, less its first steps.
The default commit is the last one before training on processors was made faster.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
import yaml
from rich.console import Console
from rich.table import Table

from sam3_edge.errors import Sam3EdgeError, UsageError

ROOT = Path(__file__).parents[1]
BEFORE = "5feedcd"
# Steps that are not timed: threads, caches and the optimizer's state come into being.
WARM_UP = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A tree of the project. package: a folder to import sam3_edge from; None for this one."""

    name: str
    package: Path | None


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of aquarium/.")
@click.option("--before", default=BEFORE, show_default=True, help="The commit to compare with.")
@click.option("--config", default="nano_aquarium", show_default=True, help="What both train.")
@click.option("--steps", default=8, show_default=True, help="Steps that are timed in each run.")
@click.option("--rounds", default=2, show_default=True, help="How often they take turns.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE ...]")
def main(
    data: Path,
    before: str,
    config: str,
    steps: int,
    rounds: int,
    json_path: Path | None,
    overrides: tuple[str, ...],
) -> None:
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        trees = [
            Tree(name=before, package=_installed(before, work)),
            Tree(name="this tree", package=None),
        ]
        rates: dict[str, list[float]] = {tree.name: [] for tree in trees}
        for number in range(rounds):
            for tree in trees:
                folder = work / f"run-{number}-{tree.name.replace(' ', '-')}"
                rates[tree.name].append(_rate(tree, folder, data, config, steps, overrides))
                console.print(
                    f"round {number + 1}: {tree.name} {rates[tree.name][-1]:.2f} pictures/s"
                )
    table = Table("tree", box=None, header_style="bold")
    table.add_column("pictures/s (median)", justify="right")
    table.add_column("ratio", justify="right")
    first = median(rates[before])
    for name, values in rates.items():
        table.add_row(name, f"{median(values):.2f}", f"{median(values) / first:.2f}")
    console.print(table)
    if json_path is not None:
        json_path.write_text(json.dumps({"pictures_per_s": rates}, indent=1) + "\n")


def _installed(commit: str, work: Path) -> Path:
    """The package of a commit, compiled, in a folder of its own. Raises UsageError."""
    source, package = work / "source", work / "package"
    _do(["git", "clone", "--quiet", str(ROOT), str(source)], "a clone of this checkout")
    _do(["git", "-C", str(source), "checkout", "--quiet", commit], f"the commit {commit}")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    _do([*pip, "--target", str(package), str(source)], f"to install {commit}")
    return package


def _rate(
    tree: Tree, folder: Path, data: Path, config: str, steps: int, overrides: tuple[str, ...]
) -> float:
    """Pictures a second, from the end of the warm-up to the last step."""
    command = [
        sys.executable, "-m", "sam3_edge", "train", "-c", config, f"paths.data={data.resolve()}",
        f"paths.experiment={folder}", "trainer.mode=train_only", "trainer.logging.log_freq=1",
        f"trainer.max_steps={steps + WARM_UP}", "trainer.logging.tensorboard=false",
        "trainer.skip_saving_ckpts=true", *overrides,
    ]  # fmt: skip
    path = {} if tree.package is None else {"PYTHONPATH": str(tree.package)}
    _do(command, f"{tree.name} to train", {**os.environ, **path})
    lines = (folder / "logs/log.jsonl").read_text(encoding="utf-8").splitlines()
    elapsed = {row["step"]: row["elapsed_s"] for row in map(json.loads, lines) if "loss" in row}
    section = yaml.safe_load((folder / "config_resolved.yaml").read_text())["trainer"]
    pictures = section["data"]["batch_size"] * section["gradient_accumulation_steps"]
    rate: float = steps * pictures / (elapsed[steps + WARM_UP] - elapsed[WARM_UP])
    return rate


def _do(command: list[str], wanted: str, environment: dict[str, str] | None = None) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if ran.returncode:
        last = (ran.stderr.strip() or ran.stdout.strip() or "nothing").splitlines()[-1]
        raise UsageError(f"expected {wanted}, got status {ran.returncode}: {last}")


if __name__ == "__main__":
    try:
        main()
    except Sam3EdgeError as error:
        raise SystemExit(f"training_speed: error: {error}") from error

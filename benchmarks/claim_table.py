"""What the benchmarks beside this file print: a claim, its limit, what was measured, what cannot be
undercut; and the machine."""

import os
import platform
from dataclasses import dataclass
from datetime import date

import numpy as np
import onnxruntime
from rich.console import Console
from rich.table import Table

from sam3_edge.bench.machine import read_cpu_model
from sam3_edge.engines.onnxruntime_session import available_processors


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """figure, limit: in `unit`. limit: the highest allowed; None for a figure that stands beside a
    claim. floor: what no code here could undercut, and of what; "" where nothing is known."""

    name: str
    figure: float
    unit: str
    limit: float | None = None
    floor: str = ""

    @property
    def verdict(self) -> str:
        if self.limit is None:
            return ""
        return "holds" if self.figure <= self.limit else "MISSED"


def open_console() -> Console:
    """Wide enough for the tables where nobody says how wide it is, as in a pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=130)


def print_claims(console: Console, claims: list[Claim], *, quick: bool) -> None:
    table = Table("figure", box=None, header_style="bold")
    for name in ("measured", "limit", ""):
        table.add_column(name, justify="right")
    table.add_column("floor")
    for claim in claims:
        limit = "" if claim.limit is None else f"{claim.limit:.4g} {claim.unit}"
        measured = f"{claim.figure:.{_digits(claim.figure)}f} {claim.unit}"
        table.add_row(claim.name, measured, limit, claim.verdict, claim.floor)
    console.print(table)
    if quick:
        console.print("--quick: it runs; the figures are of too few rounds to quote")


def machine_text() -> str:
    """Processor, cores, versions, date: one line."""
    cores = f"{available_processors()} of {os.cpu_count()} cores"
    versions = (
        f"Python {platform.python_version()}, NumPy {np.__version__}, "
        f"ONNX Runtime {onnxruntime.__version__}"
    )
    return f"{read_cpu_model() or platform.machine()}, {cores}, {versions}, {date.today()}"


def _digits(value: float) -> int:
    """Three significant ones, where that is not silly."""
    return 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2

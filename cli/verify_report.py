"""What `sam3-edge verify` prints for people."""

from rich.console import Console
from rich.table import Table

from sam3_edge.engines.manifest import Manifest
from sam3_edge.export.bisection import Bisection
from sam3_edge.export.verdict import Measured, findings, tolerance_of

_BEFORE, _AFTER = 3, 3


def show_measured(console: Console, manifest: Manifest, measured: Measured) -> None:
    """Every output of every graph, then every other figure that has a limit."""
    table = Table("output", box=None, header_style="bold", pad_edge=False)
    for heading in ("largest", "relative L2", "at most", "cosine"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for name, output in measured.outputs.items():
        limit, error = tolerance_of(manifest, name), output.relative_l2
        wrong = error is None or (limit is not None and error > limit)
        table.add_row(
            name, _figure(output.max_abs), _figure(error),
            "-" if limit is None else f"{limit:g}",
            "-" if output.cosine is None else f"{output.cosine:.6f}", _mark(not wrong),
        )  # fmt: skip
    console.print(table)
    console.print()
    console.print(_figures_table(manifest, measured))
    console.print()


def _figures_table(manifest: Manifest, measured: Measured) -> Table:
    agreed = measured.detections
    table = Table("figure", box=None, header_style="bold", pad_edge=False)
    table.add_column("measured", justify="right")
    table.add_column("expected", justify="right")
    table.add_column("")
    table.add_row("reference detections", str(agreed.reference_detections), "20 or more", "")
    for finding in findings(manifest, measured):
        if finding.name.endswith("relative L2 error"):
            continue
        bound = "at least" if finding.at_least else "at most"
        table.add_row(
            finding.name, _figure(finding.value), f"{bound} {finding.limit:g}",
            _mark(finding.passed),
        )  # fmt: skip
    if agreed.box_iou is not None:
        table.add_row("boxes median IoU", _figure(agreed.box_iou), "", "")
    if measured.ap is not None:
        table.add_row("box AP", _figure(measured.ap), "", "")
        table.add_row("box AP of the reference", _figure(measured.reference_ap), "", "")
    return table


def show_bisection(console: Console, bisection: Bisection | None) -> None:
    """One line, and the tensors around the first that is wrong."""
    if bisection is None:
        console.print("bisect: every output is within its tolerance: no layer to look for")
        return
    if bisection.first is None:
        console.print(
            f"bisect: no inner tensor of the {bisection.graph} graph leaves {bisection.tolerance:g}"
        )
        return
    found = bisection.compared[bisection.first]
    console.print(
        f"bisect: the first to leave {bisection.tolerance:g} in the {bisection.graph} graph is "
        f"{found.node} ({found.op}), tensor {found.tensor}"
    )
    table = Table("layer", "operation", "tensor", box=None, header_style="bold", pad_edge=False)
    table.add_column("relative L2", justify="right")
    table.add_column("")
    start = max(0, bisection.first - _BEFORE)
    for one in bisection.compared[start : bisection.first + _AFTER + 1]:
        wrong = one.leaves(bisection.tolerance)
        table.add_row(one.node, one.op, one.tensor, _figure(one.relative_l2), _mark(not wrong))
    console.print(table)


def _figure(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.3g}"


def _mark(good: bool) -> str:
    return "ok" if good else "FAILS"

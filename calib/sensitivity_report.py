"""Sensitivities for a person: rows, a CSV file, a picture."""

import csv
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import onnx

from sam3_edge.calib.calibration import Calibration
from sam3_edge.calib.quantise import named_nodes, quantisable_layers
from sam3_edge.engines.bundle import Bundle
from sam3_edge.errors import CalibrationError

_BAR_INCHES = 0.16


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """One layer in one scheme. low, high: range of what it reads. error: relative L2, alone."""

    scheme: str
    graph: str
    layer: str
    op: str
    low: float
    high: float
    error: float


def layer_rows(bundle: Bundle, calibration: Calibration) -> tuple[LayerRow, ...]:
    """Worst first within each scheme and graph."""
    nodes = {name: _layers(bundle, name) for name in calibration.ranges}
    rows = []
    for scheme, graphs in calibration.sensitivity.items():
        for graph, errors in graphs.items():
            for layer in sorted(errors, key=lambda name: -errors[name]):
                op, tensor = nodes[graph][layer]
                low, high = calibration.ranges[graph][tensor]
                rows.append(
                    LayerRow(
                        scheme=scheme,
                        graph=graph,
                        layer=layer,
                        op=op,
                        low=low,
                        high=high,
                        error=errors[layer],
                    )
                )
    return tuple(rows)


def write_report(folder: Path, rows: Sequence[LayerRow]) -> tuple[Path, ...]:
    """sensitivity.csv, and sensitivity_<scheme>_<graph>.png of each. Raises CalibrationError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / "sensitivity.csv"]
        with written[0].open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow([field.name for field in fields(LayerRow)])
            writer.writerows(map(astuple, rows))
        for scheme, graph in dict.fromkeys((row.scheme, row.graph) for row in rows):
            shown = [row for row in rows if (row.scheme, row.graph) == (scheme, graph)]
            written.append(folder / f"sensitivity_{scheme}_{graph}.png")
            _draw(written[-1], shown)
    except OSError as error:
        raise CalibrationError(
            f"cannot write {folder}: {error.strerror}; check free space and permissions"
        ) from error
    return tuple(written)


def _draw(path: Path, rows: Sequence[LayerRow]) -> None:
    """A bar for each layer in the order of `rows`, on a logarithmic axis: errors span decades."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 1.5 + _BAR_INCHES * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    labels = [f"{row.layer}  {row.op} [{row.low:.3g}, {row.high:.3g}]" for row in rows]
    smallest = min((row.error for row in rows if row.error > 0), default=1e-6)
    axes.barh(range(len(rows)), [max(row.error, smallest) for row in rows], height=0.7)
    axes.set_yticks(range(len(rows)), labels, fontsize=7)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.set_xlabel("relative L2 error of the graph's outputs, this layer alone in INT8")
    axes.set_title(f"{rows[0].graph} graph, {rows[0].scheme}", loc="left")
    axes.grid(axis="x", which="both", linewidth=0.3)
    axes.set_axisbelow(True)
    figure.savefig(path, dpi=110)


def _layers(bundle: Bundle, graph: str) -> dict[str, tuple[str, str]]:
    """By layer: its operator and the tensor it reads."""
    model = onnx.load(bundle.graph_path(graph), load_external_data=False)
    names = set(quantisable_layers(model, "symmetric_int8"))
    return {
        name: (node.op_type, node.input[0])
        for name, node in named_nodes(model).items()
        if name in names
    }

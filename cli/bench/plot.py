"""The picture of a report: stages, the spread of the latency, and what more prompts cost."""

import io
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sam3_edge.bench.figures import STAGES
from sam3_edge.bench.report import Report, write_whole

_BLUE, _ORANGE, _GREY = "#2f6fa8", "#d9822b", "#8a8a8a"
_BINS = 40


def write_plot(path: Path, report: Report, total_ms: tuple[float, ...]) -> None:
    """A PNG. total_ms: of every measured frame. Raises SinkError."""
    figure = Figure(figsize=(14, 4.6), layout="constrained")  # without pyplot: no display is asked
    axes = figure.subplots(1, 3)
    figure.suptitle(_title(report), fontsize=10)
    _draw_stages(axes[0], report)
    _draw_histogram(axes[1], report, total_ms)
    _draw_prompts(axes[2], report)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_whole(path, buffer.getvalue())


def _title(report: Report) -> str:
    machine = report.machine
    where = machine.gpu.name if machine.gpu else machine.board or machine.cpu or "this machine"
    mode = f", {machine.power_mode}" if machine.power_mode else ""
    size = report.configuration
    frames = f", {size.width}x{size.height}" if size.width else ", engine alone"
    return (
        f"{report.bundle.name} {report.bundle.precision} on {where}{mode}{frames}: "
        f"{report.throughput_fps:.1f} frames/s"
    )


def _draw_stages(axes: Axes, report: Report) -> None:
    """Median bars with a whisker up to p99."""
    found = {name: report.latency_ms[name] for name in STAGES if report.latency_ms[name]}
    for place, (name, each) in enumerate(found.items()):
        assert each is not None
        axes.barh(place, each.p50, color=_ORANGE if name == "total" else _BLUE)
        axes.plot([each.p50, each.p99], [place, place], color="black", linewidth=1)
        axes.plot(each.p99, place, "|", color="black", markersize=8)
        axes.annotate(f"{each.p50:.2f} ({each.p99:.2f})", (each.p99, place), (5, 0), textcoords="offset points",
                      va="center", fontsize=8)  # fmt: skip
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.margins(x=0.3)
    axes.set_xlim(left=0)
    axes.set_xlabel("ms a frame")
    axes.set_title("stages: median (and p99, the line)", fontsize=10)


def _draw_histogram(axes: Axes, report: Report, total_ms: tuple[float, ...]) -> None:
    found = report.latency_ms["total"]
    axes.set_title("latency: preprocess to sink", fontsize=10)
    if not total_ms or found is None:
        _say(axes, "measured only with frames:\nleave --engine-only out")
        return
    axes.hist(total_ms, bins=min(_BINS, max(8, len(total_ms) // 5)), color=_BLUE)
    for name, value, style in (("p50", found.p50, "-"), ("p99", found.p99, "--")):
        axes.axvline(value, color=_ORANGE, linestyle=style, label=f"{name} {value:.1f} ms")
    axes.set_xlabel("ms")
    axes.set_ylabel("frames")
    axes.legend(fontsize=8)


def _draw_prompts(axes: Axes, report: Report) -> None:
    counts = {report.configuration.num_prompts: report.latency_ms["total"]}
    for row in report.sweeps:
        if row.varied == "num_prompts":
            counts[int(row.value)] = row.figures.latency_ms["total"]
    points = sorted((count, found) for count, found in counts.items() if found is not None)
    axes.set_title("prompts and latency", fontsize=10)
    if len(points) < 2:
        _say(axes, "not measured: add\n--num-prompts 1,2,4,8,16")
        return
    numbers = [count for count, _ in points]
    axes.plot(numbers, [found.p50 for _, found in points], "o-", color=_BLUE, label="p50")
    axes.plot(numbers, [found.p99 for _, found in points], "^--", color=_GREY, label="p99")
    axes.set_xticks(numbers)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("prompts")
    axes.set_ylabel("ms a frame")
    axes.legend(fontsize=8)


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", color=_GREY, transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])

"""Two reports side by side: every figure, its ratio, and in what they are not comparable."""

from collections.abc import Iterator
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from sam3_edge.bench.report import Report

Row = tuple[str, float | None, float | None]


def show_comparison(
    console: Console, names: tuple[str, str], reports: tuple[Report, Report]
) -> None:
    """names: of the files, the first of which is the measure of the other."""
    first, second = reports
    console.print(f"A: {names[0]}, {first.created_utc}", soft_wrap=True)
    console.print(f"B: {names[1]}, {second.created_utc}", soft_wrap=True)
    console.print()
    table = Table("figure", box=None, header_style="bold", pad_edge=False)
    for name in ("A", "B", "B / A"):
        table.add_column(name, justify="right")
    for name, a, b in figure_rows(first, second):
        ratio = f"{b / a:.2f}" if a and b is not None else "-"
        table.add_row(name, _number(a), _number(b), ratio)
    console.print(table)
    console.print()
    for line in differences(first, second) or ["same machine, bundle and command"]:
        console.print(line, soft_wrap=True)


def figure_rows(first: Report, second: Report) -> list[Row]:
    """Every figure that one of them has, by its place in the JSON."""
    a, b = dict(_figures(first)), dict(_figures(second))
    return [(name, a.get(name), b.get(name)) for name in dict.fromkeys([*a, *b])]


def differences(first: Report, second: Report) -> list[str]:
    """One line for everything but the figures in which they differ."""
    pairs = (
        ("machine", asdict(first.machine), asdict(second.machine)),
        ("bundle", asdict(first.bundle), asdict(second.bundle)),
        ("configuration", asdict(first.configuration), asdict(second.configuration)),
        ("command", {"": first.command}, {"": second.command}),
        ("warm_up_frames", {"": first.warm_up_frames}, {"": second.warm_up_frames}),
        ("throttled", {"": first.board.throttled}, {"": second.board.throttled}),
    )
    return [
        f"{name}{'.' if key else ''}{key} differs: A {a[key]!r}, B {b[key]!r}"
        for name, a, b in pairs
        for key in a
        if a[key] != b[key]
    ]


def _figures(report: Report) -> Iterator[tuple[str, float]]:
    value = asdict(report)
    top = (
        "throughput_fps", "engine_only_fps", "latency_ms", "frame_age_ms", "dropped",
        "cpu_ms_per_frame", "memory", "startup", "energy",
    )  # fmt: skip
    for name in top:
        yield from _numbers(name, value[name])
    for row in report.sweeps:
        place = f"{row.varied} {row.value}"
        yield f"{place}: throughput_fps", row.figures.throughput_fps
        yield from _numbers(f"{place}: total", asdict(row.figures)["latency_ms"]["total"])


def _numbers(name: str, value: object) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(f"{name}.{key}", item)
    elif isinstance(value, (int, float)):
        yield name, float(value)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 10_000 else f"{value:.4g}"

"""What `sam3-edge bench` prints for people."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from sam3_edge.bench.figures import CpuMs, Figures, Memory, Percentiles
from sam3_edge.bench.report import Report, SweepRow

_RANKS = ("p50", "p90", "p95", "p99", "max", "jitter")


def show_report(console: Console, report: Report) -> None:
    for line in _head(report):
        console.print(line, soft_wrap=True)
    console.print()
    console.print(latency_table(report))
    console.print()
    for line in _lines(report):
        console.print(line, soft_wrap=True)
    if report.sweeps:
        console.print()
        console.print(_sweep_table(report))


def latency_table(figures: Figures) -> Table:
    table = _table("ms a frame")
    for name in _RANKS:
        table.add_column(name, justify="right")
    rows = {**figures.latency_ms, "frame age": figures.frame_age_ms}
    for name, found in rows.items():
        if found is not None:
            table.add_row(name, *(f"{getattr(found, rank):.2f}" for rank in _RANKS))
    return table


def cpu_text(cpu: CpuMs) -> str:
    if cpu.engine is None or cpu.source is None or cpu.outside is None:
        return "processor time by thread: not told by this system"
    return (
        f"processor ms a frame: engine {cpu.engine:.2f}, source {cpu.source:.2f}, "
        f"all else {cpu.outside:.2f}"
    )


def _head(report: Report) -> list[str]:
    machine, bundle, what = report.machine, report.bundle, report.configuration
    where = machine.board or machine.cpu or machine.architecture
    if machine.gpu is not None:
        where = f"{machine.gpu.name}, {where}"
    mode = f", {machine.power_mode}" if machine.power_mode else ""
    prompts = "1 prompt" if what.num_prompts == 1 else f"{what.num_prompts} prompts"
    threads = "all threads" if what.threads is None else f"{what.threads} threads"
    frames = f"frames of {what.width}x{what.height}" if what.width else "pictures"
    measured = f"{report.frames} {frames} ({_source_text(report)})"
    return [
        f"{bundle.name}, {bundle.precision}, {bundle.backend}, {bundle.image_size} px",
        f"{where}{mode}, {machine.usable_cores} of {machine.cores} cores",
        f"{measured} after {report.warm_up_frames} of warm-up, {prompts}, {threads}",
    ]


def _source_text(report: Report) -> str:
    what = report.configuration
    if not what.width:
        return "the engine alone"
    return f"{what.source}, {what.fps:g} a second" if what.fps else what.source


def _lines(report: Report) -> list[str]:
    lines = [_rate_text(report), cpu_text(report.cpu_ms_per_frame), _memory_text(report.memory)]
    if report.memory_modes is not None:
        modes = report.memory_modes
        lines.append(
            f"engine in mapped memory {modes.mapped_fps:.1f} frames/s, copied "
            f"{modes.copied_fps:.1f}: {modes.faster} is faster"
        )
    if report.startup is not None:
        lines.append(_startup_text(report))
    if report.energy is not None:
        energy = report.energy
        lines.append(
            f"energy: {energy.joules_per_frame:.3f} J a frame at {energy.watts:.2f} W "
            f"({' + '.join(energy.rails)})"
        )
    return [*lines, *_board_lines(report)]


def _rate_text(report: Report) -> str:
    rate, alone = report.throughput_fps, report.engine_only_fps
    if report.latency_ms["source"] is None:
        return f"{rate:.1f} frames/s, the engine alone"
    text = f"{rate:.1f} frames/s, {report.dropped} dropped"
    if alone is None:
        return text
    text += f"; the engine alone {alone:.1f}"
    if report.configuration.live:  # the rate is the source's own
        return text
    return f"{text} (end to end is {rate / alone:.0%} of it)"


def _memory_text(memory: Memory) -> str:
    known = (
        ("resident", memory.rss_bytes),
        ("at most", memory.peak_bytes),
        ("of the GPU's", memory.device_bytes),
    )
    parts = [f"{count / 1e6:.0f} MB {name}" for name, count in known if count is not None]
    return f"memory: {', '.join(parts) or 'not told by this system'}"


def _startup_text(report: Report) -> str:
    start = report.startup
    assert start is not None
    return (
        f"start-up: first result after {start.total_ms:.0f} ms: Python {start.interpreter_ms:.0f}, "
        f"libraries {start.libraries_ms:.0f}, import {start.import_ms:.0f}, bundle "
        f"{start.bundle_ms:.0f}, first frame {start.first_result_ms:.0f}"
    )


def _board_lines(report: Report) -> list[str]:
    board, lines = report.board, []
    if board.hottest_celsius is not None:
        lines.append(f"hottest part afterwards: {board.hottest_celsius:.0f} °C")
    if board.throttled:
        lines.append(f"SLOWED DOWN by {', '.join(board.throttled)}: these are not its best figures")
    elif board.throttled is not None:
        lines.append("nothing slowed it down")
    for name, events in board.over_current.items():
        lines.append(f"{name}: {events} events while measuring")
    return lines


def _sweep_table(report: Report) -> Table:
    """Each thing that was varied, its first value before the others."""
    table = _table()
    table.add_column("", no_wrap=True)
    for name in ("frames/s", "p50 ms", "p99 ms", "age p50", "engine", "all else", "J/frame"):
        table.add_column(name, justify="right", no_wrap=True)
    what = report.configuration
    firsts = {
        "num_prompts": str(what.num_prompts),
        "threads": "all" if what.threads is None else str(what.threads),
        "size": f"{what.width}x{what.height}",
        "bundle": report.bundle.path,
    }
    for varied in dict.fromkeys(row.varied for row in report.sweeps):
        _add_row(table, SweepRow(varied=varied, value=firsts[varied], figures=report))
        for row in report.sweeps:
            if row.varied == varied:
                _add_row(table, row)
    return table


def _add_row(table: Table, row: SweepRow) -> None:
    figures = row.figures
    total, cpu, energy = figures.latency_ms["total"], figures.cpu_ms_per_frame, figures.energy
    table.add_row(
        _varied_text(row), f"{figures.throughput_fps:.1f}", _rank(total, "p50"),
        _rank(total, "p99"), _rank(figures.frame_age_ms, "p50"),
        _optional(cpu.engine, 1), _optional(cpu.outside, 2),
        _optional(energy.joules_per_frame if energy else None, 3),
    )  # fmt: skip


def _varied_text(row: SweepRow) -> str:
    """ "2 prompts", "4 threads", "640x480", "reef_int8"."""
    if row.varied == "bundle":
        return Path(row.value).name
    if row.varied == "size":
        return row.value
    noun = row.varied.removeprefix("num_")
    return f"{row.value} {noun.removesuffix('s') if row.value == '1' else noun}"


def _rank(found: Percentiles | None, name: str) -> str:
    return "-" if found is None else f"{getattr(found, name):.2f}"


def _optional(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _table(*headings: str) -> Table:
    return Table(*headings, box=None, header_style="bold", pad_edge=False)

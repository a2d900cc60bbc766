"""Everything `sam3-edge bench` does once the command line is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click
import cv2
from rich.console import Console

from sam3_edge.bench.compare import show_comparison
from sam3_edge.bench.plan import Plan, make_plan, parse_counts, parse_size, plan_text
from sam3_edge.bench.report import read_report, write_report
from sam3_edge.bench.request import default_prompt
from sam3_edge.bench.startup import ROUNDS
from sam3_edge.bench.suite import Outcome, Suite, SuiteOptions
from sam3_edge.bench.table import show_report
from sam3_edge.engines.bundle import Bundle, default_bundle_path
from sam3_edge.engines.load import open_bundle
from sam3_edge.engines.strict_json import to_json_text
from sam3_edge.errors import Sam3EdgeError, UsageError
from sam3_edge.run_stop import StopSignal
from sam3_edge.runtime.allocator import limit_arenas
from sam3_edge.runtime.prompts import check_prompt_texts
from sam3_edge.runtime.sinks.places import check_file_place
from sam3_edge.runtime.text_cache import default_cache_folder
from sam3_edge.runtime.tokenizer import Tokenizer

FRAMES, WARM_UP, SIZE = 200, 20, (1280, 720)
_QUICK_FRAMES, _QUICK_WARM_UP = 30, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """The command line; command: the line itself. None, (): not given."""

    bundles: tuple[Path, ...]
    source: str | None
    prompts: tuple[str, ...]
    sizes: tuple[str, ...]
    fps: float | None
    frames: int | None
    warm_up: int | None
    threads: tuple[int, ...]
    num_prompts: str | None
    engine_only: bool
    jsonl: str | None
    json_path: str | None
    plot: Path | None
    text_cache: Path | None
    unverified: bool
    no_startup: bool
    quick: bool
    command: str


def run_bench(options: BenchOptions) -> None:
    """What can be refused without measuring is refused before."""
    _check(options)
    cv2.setNumThreads(1)  # as `run` does: its threads would take the processors from the engine's
    limit_arenas()
    bundles = _open_bundles(options)
    texts = options.prompts or (default_prompt(next(iter(bundles.values()))),)
    check_prompt_texts(texts, Tokenizer())
    plan = _plan(options, tuple(bundles), len(texts))
    suite = _suite_options(options, plan, bundles, texts)
    to_stderr = "-" in (options.json_path, options.jsonl)
    with StopSignal() as stop:
        _say(plan_text(plan, suite.frames, suite.warm_up))
        outcome = _measure(suite, stop)
    _write(options, outcome)
    show_report(Console(stderr=to_stderr, highlight=False, markup=False), outcome.report)


def compare_reports(first: Path, second: Path) -> None:
    """Raises UsageError for files that are no reports."""
    reports = read_report(first), read_report(second)
    console = Console(highlight=False, markup=False)
    show_comparison(console, (str(first), str(second)), reports)


def _check(options: BenchOptions) -> None:
    of_frames = {"--size": options.sizes, "--fps": options.fps}
    if options.source is not None:
        _refuse(of_frames, "--source", "they are for synthetic frames")
    if options.engine_only:
        _refuse(
            {"--source": options.source, **of_frames, "--jsonl": options.jsonl},
            "--engine-only",
            "the engine alone has no frames and no outputs",
        )
    if options.plot is not None:
        _check_plot(options.plot)
    for path in (options.plot, options.json_path):
        if path is not None and str(path) != "-":
            check_file_place(Path(path))


def _refuse(given: Mapping[str, object], beside: str, why: str) -> None:
    for name, value in given.items():
        if value:
            raise UsageError(f"{name}: expected it without {beside}, got both; {why}")


def _check_plot(path: Path) -> None:
    if path.suffix.lower() != ".png":
        raise UsageError(
            f"--plot: expected a name ending in .png, got {path.suffix or 'no ending'}; "
            "try --plot bench.png"
        )
    if find_spec("matplotlib") is None:
        raise Sam3EdgeError(
            "--plot needs matplotlib, which is not installed; "
            "install with: pip install 'sam3-edge[build]'"
        )


def _open_bundles(options: BenchOptions) -> dict[str, Bundle]:
    paths = options.bundles or (default_bundle_path(),)
    return {str(path): open_bundle(path, verified_only=not options.unverified) for path in paths}


def _plan(options: BenchOptions, bundles: tuple[str, ...], num_texts: int) -> Plan:
    return make_plan(
        bundles=bundles,
        source=options.source,
        sizes=tuple(dict.fromkeys(map(parse_size, options.sizes))) or (SIZE,),
        fps=options.fps,
        num_prompts=parse_counts(options.num_prompts) if options.num_prompts else (num_texts,),
        threads=tuple(dict.fromkeys(options.threads)) or (None,),
    )


def _suite_options(
    options: BenchOptions, plan: Plan, bundles: dict[str, Bundle], texts: tuple[str, ...]
) -> SuiteOptions:
    quick = options.quick
    rounds = 1 if quick else ROUNDS
    return SuiteOptions(
        plan=plan,
        bundles=bundles,
        texts=texts,
        frames=options.frames or (_QUICK_FRAMES if quick else FRAMES),
        warm_up=options.warm_up or (_QUICK_WARM_UP if quick else WARM_UP),
        engine_only=options.engine_only,
        jsonl=options.jsonl,
        text_cache=options.text_cache or default_cache_folder(),
        startup_rounds=0 if options.no_startup else rounds,
        command=options.command,
    )


def _measure(suite: SuiteOptions, stop: StopSignal) -> Outcome:
    """With a line that says what is being measured on a terminal, nothing in a file."""
    console = Console(stderr=True, markup=False)
    if not console.is_terminal:
        return Suite(suite, say=_ignore, warn=_warn, should_stop=stop.requested).run()
    with console.status("loading") as status:
        return Suite(suite, say=status.update, warn=_warn, should_stop=stop.requested).run()


def _write(options: BenchOptions, outcome: Outcome) -> None:
    if options.json_path == "-":
        click.echo(to_json_text(outcome.report), nl=False)
    elif options.json_path is not None:
        write_report(Path(options.json_path), outcome.report)
    if options.plot is not None:
        from sam3_edge.bench.plot import write_plot

        write_plot(options.plot, outcome.report, outcome.total_ms)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _warn(message: str) -> None:
    click.echo(f"sam3-edge: warning: {message}", err=True)


def _ignore(_line: str) -> None:
    pass

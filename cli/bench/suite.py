"""Everything `sam3-edge bench` measures, one configuration after the other."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import click

from sam3_edge.bench.board import find_power_sensors, record_board
from sam3_edge.bench.cpu import ThreadOwners
from sam3_edge.bench.engine import MemoryModes, compare_modes, measure_engine
from sam3_edge.bench.figures import Figures
from sam3_edge.bench.load import Loaded, load_warm
from sam3_edge.bench.machine import describe_machine
from sam3_edge.bench.plan import Configuration, Plan, Variation
from sam3_edge.bench.report import SCHEMA, ConfigurationFacts, Report, SweepRow, describe_bundle
from sam3_edge.bench.run import Measured, measure_pipeline
from sam3_edge.bench.source import SyntheticSource, render_pictures
from sam3_edge.bench.startup import Startup, measure_startup
from sam3_edge.bench.window import Window
from sam3_edge.engines.backend import Backend
from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.load import load_backend
from sam3_edge.errors import EngineError
from sam3_edge.jetson.snapshot import take_snapshot
from sam3_edge.runtime.sinks.jsonl import JsonlSink


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteOptions:
    """bundles: opened, by the path the plan has. texts: prompts, at least one. jsonl: where each
    run writes its lines, replacing those before. startup_rounds: 0 leaves the start-up out. root:
    what stands for `/` where the board is read. command: to repeat it by."""

    plan: Plan
    bundles: dict[str, Bundle]
    texts: tuple[str, ...]
    frames: int
    warm_up: int
    engine_only: bool
    jsonl: str | None
    text_cache: Path
    startup_rounds: int
    command: str
    root: Path = Path("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """report, and total_ms of every measured frame of its configuration, for the histogram."""

    report: Report
    total_ms: tuple[float, ...]


class Suite:
    """say: takes a line about what is done now. warn: a warning. should_stop: asked now and then."""

    def __init__(
        self,
        options: SuiteOptions,
        *,
        say: Callable[[str], None],
        warn: Callable[[str], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._options = options
        self._say = say
        self._warn = warn
        self._should_stop = should_stop
        self._owners = ThreadOwners()
        self._power = find_power_sensors(options.root)

    def run(self) -> Outcome:
        """Raises Sam3EdgeError; click.Abort where it should stop."""
        options, first = self._options, self._options.plan.first
        bundle = options.bundles[first.bundle]
        before = take_snapshot(options.root)
        measured, engine_fps = self._measure_first(first)
        modes = self._memory_modes(first) if options.engine_only else None
        sweeps = tuple(self._measure_variation(each) for each in options.plan.variations)
        startup = self._measure_startup(first) if options.startup_rounds else None
        after = take_snapshot(options.root)
        report = Report(
            **{field.name: getattr(measured.figures, field.name) for field in fields(Figures)},
            schema=SCHEMA,
            created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            command=options.command,
            configuration=self._facts(first, measured),
            bundle=describe_bundle(bundle),
            machine=describe_machine(after, bundle.manifest.backend, options.root),
            board=record_board(before, after),
            engine_only_fps=engine_fps,
            memory_modes=modes,
            startup=startup,
            sweeps=sweeps,
        )
        return Outcome(report=report, total_ms=measured.total_ms)

    def _measure_first(self, first: Configuration) -> tuple[Measured, float]:
        """Its figures, and the frames a second of the engine alone, both of one loaded engine."""
        with self._load(first) as loaded:
            if not self._options.engine_only:
                self._say("the whole pipeline")
                measured = self._measure_pipeline(first, loaded)
                self._say("the engine alone")
                return measured, self._measure_engine(loaded).figures.throughput_fps
            self._say("the engine alone")
            measured = self._measure_engine(loaded)
            return measured, measured.figures.throughput_fps

    def _measure_variation(self, variation: Variation) -> SweepRow:
        self._say(f"{variation.varied.replace('_', ' ')} {variation.value}")
        with self._load(variation.configuration) as loaded:
            if self._options.engine_only:
                measured = self._measure_engine(loaded)
            else:
                measured = self._measure_pipeline(variation.configuration, loaded)
        return SweepRow(varied=variation.varied, value=variation.value, figures=measured.figures)

    def _memory_modes(self, first: Configuration) -> MemoryModes | None:
        """Both measured where the engine is a GPU's: which is faster depends on the machine."""
        bundle = self._options.bundles[first.bundle]
        if bundle.manifest.backend == "onnxruntime":
            return None
        from sam3_edge.engines.tensorrt_backend import TensorRTBackend

        fps = []
        for zero_copy in (True, False):
            self._say("mapped memory" if zero_copy else "copied memory")
            with self._load(first, partial(TensorRTBackend, zero_copy=zero_copy)) as loaded:
                fps.append(self._measure_engine(loaded).figures.throughput_fps)
        return compare_modes(*fps)

    def _measure_startup(self, first: Configuration) -> Startup:
        options = self._options
        self._say("the start-up")
        try:
            return measure_startup(
                options.bundles[first.bundle].path,
                options.texts[0],
                options.text_cache,
                first.threads,
                options.startup_rounds,
            )
        except EngineError as error:
            if self._should_stop():  # the same Ctrl-C ended the process that was started
                raise click.Abort from error
            raise

    def _measure_pipeline(self, configuration: Configuration, loaded: Loaded) -> Measured:
        synthetic = configuration.source is None
        return measure_pipeline(
            configuration,
            loaded,
            self._window(loaded),
            pictures=render_pictures(*configuration.size) if synthetic else (),
            sink=JsonlSink(self._options.jsonl or os.devnull),
            should_stop=self._should_stop,
        )

    def _measure_engine(self, loaded: Loaded) -> Measured:
        figures = measure_engine(loaded, self._window(loaded), self._should_stop)
        return Measured(figures=figures)

    def _window(self, loaded: Loaded) -> Window:
        return Window(
            warm_up=self._options.warm_up,
            frames=self._options.frames,
            owners=self._owners,
            calls_ns=lambda: loaded.backend.calls_ns,
            power=self._power,
        )

    def _load(
        self, configuration: Configuration, make: Callable[[Bundle], Backend] | None = None
    ) -> AbstractContextManager[Loaded]:
        bundle = self._options.bundles[configuration.bundle]
        make = make or partial(load_backend, num_threads=configuration.threads)
        return load_warm(
            bundle,
            partial(make, bundle),
            self._options.texts,
            configuration.num_prompts,
            owners=self._owners,
            text_cache=self._options.text_cache,
            warn=self._warn,
        )

    def _facts(self, first: Configuration, measured: Measured) -> ConfigurationFacts:
        return ConfigurationFacts(
            source="none" if self._options.engine_only else first.source or SyntheticSource.name,
            live=measured.live,
            width=measured.width,
            height=measured.height,
            fps=first.fps,
            prompts=self._options.texts,
            num_prompts=first.num_prompts,
            threads=first.threads,
        )

"""Everything `sam3-edge run` does once the command line is read."""

import os
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import click
import cv2

from sam3_edge.engines.backend import Backend
from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.load import load_backend, open_bundle
from sam3_edge.engines.references import read_references
from sam3_edge.errors import UsageError
from sam3_edge.run_report import RunReport
from sam3_edge.run_stop import StopSignal
from sam3_edge.runtime.capture import Capture, Pace
from sam3_edge.runtime.decoder import prompt_batch
from sam3_edge.runtime.pipeline import Request, deliver, detect
from sam3_edge.runtime.postprocess import Suppression
from sam3_edge.runtime.prompts import (
    Prompt,
    check_prompt_texts,
    choose_thresholds,
    unknown_phrase_warning,
)
from sam3_edge.runtime.self_check import SelfCheck
from sam3_edge.runtime.sinks import Sink
from sam3_edge.runtime.sinks.images import ImagesSink
from sam3_edge.runtime.sinks.jsonl import JsonlSink
from sam3_edge.runtime.sinks.video import VideoSink
from sam3_edge.runtime.sinks.window import WindowSink
from sam3_edge.runtime.sources import Source, open_source
from sam3_edge.runtime.tally import Tally
from sam3_edge.runtime.text_cache import TextCache
from sam3_edge.runtime.tokenizer import Tokenizer

DEMO_FRAMES = 300  # the demo would go on for ever
_FPS_WITHOUT_RATE = 10.0  # of a video made from pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The command line. source: as `open_source` takes it. threshold: None takes the bundle's."""

    source: str
    prompts: tuple[str, ...]
    threshold: float | None
    bundle: Path
    unverified: bool
    save: Path | None
    jsonl: str | None
    images: Path | None
    every_image: int
    show: bool
    frames: int | None
    every: int
    max_fps: float | None
    deadline: float | None
    suppression: Suppression | None
    no_crop_masks: bool
    threads: int | None
    text_cache: Path
    no_self_check: bool
    quiet: bool
    debug: bool


def run_detection(options: RunOptions) -> None:
    """What can be refused without the engine is refused before it is loaded."""
    if not options.debug:
        _quiet_opencv()
    tokenizer = Tokenizer()
    check_prompt_texts(options.prompts, tokenizer)
    # Its threads would take the processors from the engine's, for pictures that one thread draws.
    cv2.setNumThreads(1)
    with ExitStack() as stack:
        source = open_source(options.source)
        capture = stack.enter_context(closing(_capture(options, source)))
        sinks = make_sinks(options, source)
        bundle = open_bundle(options.bundle, verified_only=not options.unverified)
        prompts = choose_thresholds(options.prompts, options.threshold, bundle.manifest)
        for prompt in prompts:
            _warn(unknown_phrase_warning(prompt.text, bundle.manifest.vocabulary))
        backend = stack.enter_context(closing(load_backend(bundle, num_threads=options.threads)))
        request, self_check = _prepare(options, bundle, backend, tokenizer, prompts)
        request = replace(request, mask_bits=any(sink.draws for sink in sinks))
        stop = stack.enter_context(StopSignal())
        report = stack.enter_context(_report(options, source, Tally(request.texts)))
        results = detect(capture, backend, request, self_check, stop.requested)
        unwritten = deliver(
            results, sinks, report.add, live=source.live, should_stop=stop.requested
        )
        report.finish([sink.written for sink in sinks], live=source.live, unwritten=unwritten)


def make_sinks(options: RunOptions, source: Source) -> list[Sink]:
    """Raises SinkError or UsageError where one of them cannot write."""
    for path in (options.save, options.jsonl):
        if path is not None and path != "-" and _same_file(Path(path), Path(options.source)):
            raise UsageError(
                f"{path}: expected an output of its own, got the source; choose another"
            )
    sinks: list[Sink] = []
    if options.jsonl is not None:
        sinks.append(JsonlSink(options.jsonl))
    if options.save is not None:
        sinks.append(VideoSink(options.save, source.fps or _FPS_WITHOUT_RATE))
    if options.images is not None:
        sinks.append(ImagesSink(options.images, options.every_image))
    if options.show:
        sinks.append(WindowSink())
    return sinks


def _prepare(
    options: RunOptions,
    bundle: Bundle,
    backend: Backend,
    tokenizer: Tokenizer,
    prompts: tuple[Prompt, ...],
) -> tuple[Request, SelfCheck | None]:
    """Prove the engine, then encode the prompts: wrong features must not reach the cache."""
    model = bundle.manifest.model
    cache = TextCache(
        options.text_cache,
        graph_sha256=bundle.manifest.graphs["text"].sha256,
        shape=(model.context_length, model.d_model),
        warn=_warn,
    )
    self_check = None if options.no_self_check else _self_check(bundle)
    if self_check is not None:
        self_check.run(backend, encode_text=bool(cache.missing([p.text for p in prompts])))
    batch = prompt_batch(
        prompts,
        backend=backend,
        tokenizer=tokenizer,
        text_cache=cache,
        num_exemplars=model.num_exemplars,
    )
    request = Request(
        prompts=prompts,
        batch=batch,
        crop_masks=not options.no_crop_masks,
        suppression=options.suppression,
    )
    return request, self_check


def _self_check(bundle: Bundle) -> SelfCheck | None:
    if bundle.references_path is None:
        _warn(
            f"{bundle.path} has no reference pictures: its engine cannot be checked while it runs"
        )
        return None
    return SelfCheck(read_references(bundle.references_path), bundle.manifest.precision)


def _capture(options: RunOptions, source: Source) -> Capture:
    if options.deadline is not None and not source.live:
        source.close()
        raise UsageError(
            f"expected a camera beside --deadline, got {source.name}, whose frames are never late; "
            "leave --deadline out"
        )
    pace = Pace(every=options.every, max_fps=options.max_fps, deadline_ms=options.deadline)
    return Capture(source, pace, limit=_frame_limit(source, options))


def _frame_limit(source: Source, options: RunOptions) -> int | None:
    if options.frames is None and source.name.partition(":")[0] == "demo":
        return DEMO_FRAMES
    return options.frames


def _report(options: RunOptions, source: Source, tally: Tally) -> RunReport:
    num_taken = None if source.num_frames is None else -(-source.num_frames // options.every)
    limits = [n for n in (num_taken, _frame_limit(source, options)) if n is not None]
    has_output = options.show or any(
        output is not None for output in (options.save, options.jsonl, options.images)
    )
    return RunReport(
        tally,
        total=min(limits, default=None),
        live=not has_output,
        quiet=options.quiet,
        to_stderr=options.jsonl == "-",
    )


def _same_file(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.samefile(other)


def _warn(message: str | None) -> None:
    if message is not None:
        click.echo(f"sam3-edge: warning: {message}", err=True)


def _quiet_opencv() -> None:
    """OpenCV and FFmpeg print lines of their own beside our one-line errors."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

"""Everything `sam3-edge run` does once the command line is read."""

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import cv2

from sam3_edge.engines.backend import Backend
from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.load import load_backend, open_bundle
from sam3_edge.engines.references import read_references
from sam3_edge.errors import UsageError
from sam3_edge.run_report import RunReport, warn
from sam3_edge.run_stop import StopSignal
from sam3_edge.runtime.allocator import limit_arenas
from sam3_edge.runtime.asking import Asking
from sam3_edge.runtime.capture import Pace
from sam3_edge.runtime.captures import Captures
from sam3_edge.runtime.control import answer
from sam3_edge.runtime.control_server import InputControl, SocketControl
from sam3_edge.runtime.pipeline import deliver, detect
from sam3_edge.runtime.postprocess import Suppression
from sam3_edge.runtime.prompts import check_prompt_texts, split_threshold
from sam3_edge.runtime.self_check import SelfCheck
from sam3_edge.runtime.sinks import Sink
from sam3_edge.runtime.sinks.images import ImagesSink
from sam3_edge.runtime.sinks.jsonl_socket import open_jsonl
from sam3_edge.runtime.sinks.mqtt_address import parse_mqtt_address
from sam3_edge.runtime.sinks.video import VideoSink
from sam3_edge.runtime.sinks.window import WindowSink
from sam3_edge.runtime.sources import CameraWish, Source
from sam3_edge.runtime.sources.opening import open_sources
from sam3_edge.runtime.tally import Tally
from sam3_edge.runtime.text_cache import TextCache
from sam3_edge.runtime.tokenizer import Tokenizer

DEMO_FRAMES = 300  # the demo would go on for ever
_FPS_WITHOUT_RATE = 10.0  # of a video made from pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The command line. sources: as `open_source` takes them. threshold: None takes the bundle's.

    retries: attempts to open a live source again; None: for ever.
    prompts: each may have a threshold of its own: "fish:0.4". control: "-", or a socket's path.
    """

    sources: tuple[str, ...]
    wish: CameraWish
    retries: int | None
    prompts: tuple[str, ...]
    threshold: float | None
    bundle: Path
    unverified: bool
    save: Path | None
    jsonl: str | None
    images: Path | None
    every_image: int
    show: bool
    mqtt: str | None
    rtsp_out: str | None
    frames: int | None
    every: int
    max_fps: float | None
    deadline: float | None
    suppression: Suppression | None
    control: str | None
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
    check_prompt_texts([split_threshold(text)[0] for text in options.prompts], Tokenizer())
    # Its threads would take the processors from the engine's, for pictures that one thread draws.
    cv2.setNumThreads(1)
    limit_arenas()
    with ExitStack() as stack:
        sources = open_sources(
            options.sources,
            stack=stack,
            wish=options.wish,
            retries=options.retries,
            deadline_ms=options.deadline,
        )
        limit = _frame_limit(options, sources)
        undelivered = stack.enter_context(ExitStack())
        sinks = make_sinks(options, sources, undelivered)
        bundle = open_bundle(options.bundle, verified_only=not options.unverified)
        backend = stack.enter_context(closing(load_backend(bundle, num_threads=options.threads)))
        asking = _asking(options, bundle, backend, draws=any(sink.draws for sink in sinks))
        self_check = None if options.no_self_check else _self_check(bundle)
        if self_check is not None:  # before a text is encoded: wrong features must not be kept
            may_encode = options.control is not None or asking.missing(options.prompts)
            self_check.run(backend, encode_text=may_encode)
        texts = asking.ask(options.prompts, options.threshold).texts
        stop = stack.enter_context(StopSignal())
        report = stack.enter_context(_report(options, sources, limit, Tally(texts)))
        _control(options, asking, stack)
        capture = stack.enter_context(closing(Captures(sources, _pace(options), limit=limit)))
        undelivered.pop_all()  # `deliver` closes the sinks
        results = stack.enter_context(  # ends before the engine is closed
            closing(detect(capture, backend, lambda: asking.current, self_check, stop.requested))
        )

        def finish(unwritten: int) -> None:
            written = [sink.written for sink in sinks]
            report.finish(written, live=capture.is_live, unwritten=unwritten)

        deliver(
            results,
            sinks,
            report.add,
            on_event=report.tell,
            on_end=finish,
            warn=warn,
            live=capture.is_live,
            should_stop=stop.requested,
        )


def make_sinks(
    options: RunOptions, sources: Sequence[Source], undelivered: ExitStack
) -> list[Sink]:
    """undelivered: closes them. Raises SinkError or UsageError where one of them cannot write."""
    _check_outputs(options, sources)
    fps = sources[0].fps or _FPS_WITHOUT_RATE
    sinks: list[Sink] = []

    def add(sink: Sink) -> None:
        undelivered.callback(sink.close)
        sinks.append(sink)

    if options.jsonl is not None:
        add(open_jsonl(options.jsonl, warn))
    if options.save is not None:
        add(VideoSink(options.save, fps))
    if options.images is not None:
        add(ImagesSink(options.images, options.every_image))
    if options.show:
        add(WindowSink())
    if options.mqtt is not None:
        from sam3_edge.runtime.sinks.mqtt import MqttSink

        add(MqttSink(parse_mqtt_address(options.mqtt), warn))
    if options.rtsp_out is not None:
        from sam3_edge.runtime.sinks.rtsp import RtspSink

        add(RtspSink(options.rtsp_out, fps))
    return sinks


def _check_outputs(options: RunOptions, sources: Sequence[Source]) -> None:
    outputs = [Path(path) for path in (options.save, options.jsonl) if path and path != "-"]
    if len(outputs) == 2 and outputs[0].absolute() == outputs[1].absolute():
        raise UsageError(f"--save and --jsonl: expected two files, got {outputs[0]} twice")
    for path, source in product(outputs, options.sources):
        if _same_file(path, Path(source)):
            raise UsageError(
                f"{path}: expected an output of its own, got the source; choose another"
            )
    pictures = (options.save, options.images, options.rtsp_out)
    for name, output in zip(("--save", "--images", "--rtsp-out"), pictures, strict=True):
        if output is not None and len(sources) > 1:
            raise UsageError(
                f"expected one source beside {name}, got {len(sources)}; write JSON lines, where "
                "each says which source it is of"
            )


def _asking(options: RunOptions, bundle: Bundle, backend: Backend, *, draws: bool) -> Asking:
    model = bundle.manifest.model
    cache = TextCache(
        options.text_cache,
        graph_sha256=bundle.manifest.graphs["text"].sha256,
        shape=(model.context_length, model.d_model),
        warn=warn,
    )
    return Asking(
        bundle,
        backend,
        cache,
        warn=warn,
        crop_masks=not options.no_crop_masks,
        mask_bits=draws,
        suppression=options.suppression,
    )


def _control(options: RunOptions, asking: Asking, stack: ExitStack) -> None:
    if options.control is None:
        return

    def answer_line(line: bytes) -> str:
        return answer(asking, line, options.threshold)

    control: InputControl | SocketControl
    if options.control == "-":
        # Standard output may be full of results.
        control = InputControl(answer_line, sys.stderr if options.jsonl == "-" else sys.stdout)
    else:
        control = SocketControl(answer_line, Path(options.control.removeprefix("unix:")))
    stack.callback(control.close)


def _self_check(bundle: Bundle) -> SelfCheck | None:
    if bundle.references_path is None:
        warn(f"{bundle.path} has no reference pictures: its engine cannot be checked while it runs")
        return None
    return SelfCheck(read_references(bundle.references_path), bundle.manifest.precision)


def _pace(options: RunOptions) -> Pace:
    return Pace(every=options.every, max_fps=options.max_fps, deadline_ms=options.deadline)


def _frame_limit(options: RunOptions, sources: Sequence[Source]) -> int | None:
    """Of each source."""
    is_endless = any(source.name.partition(":")[0] == "demo" for source in sources)
    return DEMO_FRAMES if options.frames is None and is_endless else options.frames


def _report(
    options: RunOptions, sources: Sequence[Source], limit: int | None, tally: Tally
) -> RunReport:
    totals = [_num_taken(source, options.every, limit) for source in sources]
    known = [total for total in totals if total is not None]
    outputs = (options.save, options.jsonl, options.images, options.mqtt, options.rtsp_out)
    has_output = options.show or any(output is not None for output in outputs)
    return RunReport(
        tally,
        total=sum(known) if len(known) == len(totals) else None,
        live=not has_output,
        quiet=options.quiet,
        to_stderr=options.jsonl == "-",
    )


def _num_taken(source: Source, every: int, limit: int | None) -> int | None:
    num_there = None if source.num_frames is None else -(-source.num_frames // every)
    return min((count for count in (num_there, limit) if count is not None), default=None)


def _same_file(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except (OSError, ValueError):  # one of them is no file
        return False


def _quiet_opencv() -> None:
    """OpenCV and FFmpeg print lines of their own beside our one-line errors."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

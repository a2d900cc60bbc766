"""sam3-edge as a library: a loaded model that looks at arrays, or at streams."""

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from sam3_edge.engines.backend import Backend
from sam3_edge.engines.bundle import Bundle, default_bundle_path
from sam3_edge.engines.load import load_backend, open_bundle
from sam3_edge.engines.references import read_references
from sam3_edge.errors import UsageError
from sam3_edge.model_input import (
    ArrayFormat,
    Look,
    MaskForm,
    as_texts,
    check_numbers,
    check_threshold,
    frame_of_array,
    source_texts,
)
from sam3_edge.model_stream import ModelStream
from sam3_edge.runtime.asking import Asking
from sam3_edge.runtime.capture import Pace
from sam3_edge.runtime.captures import Captures
from sam3_edge.runtime.one_frame import Request, finish, submit
from sam3_edge.runtime.picture_memory import PICTURES
from sam3_edge.runtime.postprocess import Suppression
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.self_check import SelfCheck
from sam3_edge.runtime.source_event import SourceEvent
from sam3_edge.runtime.sources import CameraWish
from sam3_edge.runtime.sources.opening import open_sources
from sam3_edge.runtime.text_cache import TextCache, default_cache_folder

_log = logging.getLogger("sam3_edge")


def load(
    bundle: str | Path | None = None,
    *,
    threads: int | None = None,
    verified_only: bool = True,
    text_cache: str | Path | None = None,
    self_check: bool = True,
) -> "Model":
    """bundle: a folder; None: the model that comes with sam3-edge.

    threads: processors for the engine; None: all. verified_only: refuse a bundle that did not pass
    its verification. text_cache: the folder where encoded prompts are kept; None:
    ~/.cache/sam3-edge. self_check: replay a reference picture now and once an hour.
    Raises UsageError, BundleError, EngineError.
    """
    check_numbers(threads=threads)
    opened = open_bundle(
        default_bundle_path() if bundle is None else Path(bundle), verified_only=verified_only
    )
    backend = load_backend(opened, num_threads=threads)
    try:
        check = _self_check(opened) if self_check else None
        if check is not None:
            check.run(backend)
    except BaseException:
        backend.close()
        raise
    cache = default_cache_folder() if text_cache is None else Path(text_cache)
    return Model(opened, backend, text_cache=cache, self_check=check)


class Model:
    """One engine: one picture or one stream at a time. `ask` and `close` may be called from any
    thread beside a stream. Warnings go to the logger "sam3_edge"."""

    def __init__(
        self, bundle: Bundle, backend: Backend, *, text_cache: Path, self_check: SelfCheck | None
    ) -> None:
        """Use `load`. The backend is closed here."""
        model, warnings = bundle.manifest.model, _Warnings()
        cache = TextCache(
            text_cache,
            graph_sha256=bundle.manifest.graphs["text"].sha256,
            shape=(model.context_length, model.d_model),
            warn=warnings.tell,
        )
        self._backend = backend
        self._asking = Asking(bundle, backend, cache, warn=warnings.tell)
        self._asked: tuple[tuple[str, ...], float | None] | None = None
        self._self_check = self_check
        self._stream: ModelStream | None = None
        self._is_closed = False
        # Reentrant: a stream that nobody refers to any more ends wherever memory is collected.
        self._engine = RLock()  # which of us has it
        self._text = RLock()  # is encoding: not to be closed under its feet

    def detect(
        self,
        image: NDArray[Any],
        prompts: str | Sequence[str],
        *,
        threshold: float | None = None,
        format: ArrayFormat = "BGR",  # noqa: A002
        crop_masks: bool = True,
        masks: MaskForm = "rle",
        suppression: Suppression | None = None,
    ) -> FrameResult:
        """image: (H, W, 3) uint8, or (H, W, 4) for "BGRx" and "RGBA"; the result refers to it. (Any:
        what OpenCV returns has no type of pixels.)

        prompts: phrases, each with a threshold of its own if it has one: "fish:0.4". threshold,
        0..1: of the others; None: what the bundle found best for each. crop_masks: keep of each
        mask only what lies inside its box. masks: what is made now; the other is made when it is
        asked for. suppression: of objects that overlap keep the best.
        Raises UsageError, PromptError, EngineError.
        """
        frame = frame_of_array(image, format)
        look = Look(crop_masks=crop_masks, masks=masks, suppression=suppression)
        with self._engine:
            self._check_free()
            request = look.at(self._ask(as_texts(prompts), threshold))
            if self._self_check is not None and self._self_check.is_due():
                self._self_check.run(self._backend)
            return finish(submit(frame, self._backend, 0, request))

    def stream(
        self,
        source: str | Path | Sequence[str | Path],
        prompts: str | Sequence[str],
        *,
        threshold: float | None = None,
        width: int | None = None,
        height: int | None = None,
        fps: float | None = None,
        pixel_format: str | None = None,
        every: int = 1,
        max_fps: float | None = None,
        deadline_ms: float | None = None,
        retries: int | None = None,
        frames: int | None = None,
        crop_masks: bool = True,
        masks: MaskForm = "rle",
        suppression: Suppression | None = None,
        on_event: Callable[[SourceEvent], None] | None = None,
    ) -> Generator[FrameResult, None, None]:
        """The results of every frame, as soon as they are known.

        source: what `--source` takes ("camera:0", "rtsp://...", a file); several in a list are
        served in turn. width, height, fps, pixel_format: asked of cameras on this machine, as
        `CameraWish` has them. every, max_fps, deadline_ms: as `Pace` has them. retries: attempts to open
        a lost live source again; None: for ever. frames: of each source, at most. on_event: told
        when a source is lost or comes back, on the thread that takes the results. The others: as
        `detect` has them.

        It ends with its last frame, by its `close`, when nobody refers to it, and with the model;
        then its threads have ended and its sources are closed. Raises what `detect` raises, and
        SourceError, here or after the results of the frames before.
        """
        check_numbers(
            every=every, max_fps=max_fps, deadline_ms=deadline_ms, frames=frames, retries=retries,
            width=width, height=height, fps=fps,
        )  # fmt: skip
        wish = CameraWish(width=width, height=height, fps=fps, pixel_format=pixel_format)
        pace = Pace(every=every, max_fps=max_fps, deadline_ms=deadline_ms)
        look = Look(crop_masks=crop_masks, masks=masks, suppression=suppression)
        with self._engine, ExitStack() as stack:
            self._check_free()
            self._ask(as_texts(prompts), threshold)
            sources = open_sources(
                source_texts(source),
                stack=stack,
                wish=wish,
                retries=retries,
                deadline_ms=deadline_ms,
            )
            capture = stack.enter_context(closing(Captures(sources, pace, limit=frames)))
            stream = ModelStream(capture, on_event=on_event or _tell, on_end=self._let_go)
            results = stream.start(
                self._backend, lambda: look.at(self._asking.current), self._self_check
            )
            stack.pop_all()  # the results close it now
            self._stream = stream
        return results

    def ask(self, prompts: str | Sequence[str], *, threshold: float | None = None) -> None:
        """Change what a running stream looks for, from the first frame after this returns.

        From any thread; until then the old prompts are answered. Raises UsageError, PromptError,
        EngineError; then the old ones stay.
        """
        with self._text:
            self._check_open()
            if self._stream is None:
                raise UsageError("expected a running stream to ask, got none; call stream() first")
            check_threshold(threshold)
            self._asked = None
            texts = as_texts(prompts)
            self._prove_text(texts)
            self._asking.ask(texts, threshold)

    def close(self) -> None:
        """End the stream and its threads, and free the engine. Safe to call twice."""
        with self._engine:
            self._is_closed = True
            stream = self._stream
            if stream is None:
                self._free()
        if stream is not None:
            stream.end()

    def __enter__(self) -> "Model":
        self._check_open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _let_go(self) -> None:
        with self._engine:
            self._stream = None
            if self._is_closed:
                self._free()

    def _free(self) -> None:
        with self._text:
            self._backend.close()
        PICTURES.let_go()

    def _ask(self, prompts: tuple[str, ...], threshold: float | None) -> Request:
        with self._text:  # an `ask` that began beside the stream before ends first
            if self._asked != (prompts, threshold):
                check_threshold(threshold)
                self._asked = None
                self._prove_text(prompts)
                self._asking.ask(prompts, threshold)
                self._asked = prompts, threshold
            return self._asking.current

    def _prove_text(self, prompts: tuple[str, ...]) -> None:
        """Before the text graph is used: wrong features must not reach the cache."""
        if self._self_check is not None and self._asking.missing(prompts):
            self._self_check.run_text(self._backend)

    def _check_open(self) -> None:
        if self._is_closed:
            raise UsageError("expected an open model, got one that was closed; load() it again")

    def _check_free(self) -> None:
        self._check_open()
        if self._stream is not None:
            raise UsageError(
                "expected a model that is free, got one with a stream that has not ended: one "
                "engine serves one; close() the stream, give it several sources, or load() another"
            )


class _Warnings:
    """Each is told once: the same prompts may be asked of every picture."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def tell(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            _log.warning("%s", message)


def _tell(event: SourceEvent) -> None:
    if event.state == "lost":
        _log.warning("%s", event.reason)


def _self_check(bundle: Bundle) -> SelfCheck | None:
    if bundle.references_path is None:
        _log.warning(
            "%s has no reference pictures: its engine cannot be checked while it runs", bundle.path
        )
        return None
    return SelfCheck(read_references(bundle.references_path), bundle.manifest.precision)

"""sam3-edge as a library: what a program gets, and that everything ends."""

import gc
import logging
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import sam3_edge
from sam3_edge.engines.backend import Backend, Pending, PromptBatch
from sam3_edge.errors import BundleError, EngineError, PromptError, SourceError, UsageError
from sam3_edge.runtime.frame import Frame, bgr_frame
from sam3_edge.runtime.picture_memory import PICTURES
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.self_check import SelfCheck
from sam3_edge.runtime.source_event import SourceEvent
from sam3_edge.runtime.sources import CameraWish

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.fixture
def model(stand_in: Path, tmp_path: Path) -> Generator[sam3_edge.Model, None, None]:
    with sam3_edge.load(stand_in, threads=1, text_cache=tmp_path / "cache") as opened:
        yield opened
    assert own_threads() == []


def own_threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith(("sam3-edge", "onnxruntime"))]


def stream_threads() -> list[str]:
    return [name for name in own_threads() if name.startswith("sam3-edge")]


def test_the_import_is_light_and_the_names_are_there() -> None:
    script = (
        "import sys, sam3_edge\n"
        "heavy = {'numpy', 'cv2', 'onnxruntime', 'click', 'tokenizers'}\n"
        "assert not heavy & {*sys.modules}, heavy & {*sys.modules}\n"
        "assert {*sam3_edge.__all__} <= {*dir(sam3_edge)}\n"
        "assert sam3_edge.__version__\n"
        "assert not hasattr(sam3_edge, 'nothing')\n"
        "for name in sam3_edge.__all__: getattr(sam3_edge, name)\n"
        "assert 'click' not in sys.modules\n"
        "assert sam3_edge.load is sam3_edge.model.load\n"
        "assert not {'torch', 'onnx', 'scipy', 'gi', 'rich', 'tokenizers'} & {*sys.modules}\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_an_array_and_its_file_give_the_same(model: sam3_edge.Model, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), IMAGE)
    one = model.detect(IMAGE, ["fish", "crab"])
    (other,) = model.stream(tmp_path / "photo.png", ["fish", "crab"])
    # Fish needs 0.6 and crab 0.3, as the bundle's vocabulary says: one of fish, two of crab.
    assert [one.prompts[k] for k in one.detections.prompt_index] == ["fish", "crab", "crab"]
    np.testing.assert_array_equal(one.frame.bgr(), other.frame.bgr())
    np.testing.assert_array_equal(one.detections.boxes, other.detections.boxes)
    np.testing.assert_array_equal(one.detections.scores, other.detections.scores)
    assert [m.counts for m in one.detections.masks] == [m.counts for m in other.detections.masks]
    assert one.timing.total_ms > 0
    assert one.age_ms >= one.timing.vision_ms


def test_the_picture_is_referred_to(model: sam3_edge.Model) -> None:
    assert np.shares_memory(model.detect(IMAGE, "fish").frame.bgr(), IMAGE)


def four(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.dstack((image, np.full(image.shape[:2], 7, np.uint8)))


def read_only(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    copy = image.copy()
    copy.flags.writeable = False
    return copy


@pytest.mark.parametrize(
    ("image", "format"),
    [
        (IMAGE, "BGR"),
        (IMAGE[..., ::-1].copy(), "RGB"),
        (IMAGE[..., ::-1], "RGB"),
        (four(IMAGE), "BGRx"),
        (four(IMAGE[..., ::-1]), "RGBA"),
        (IMAGE[::-1].copy()[::-1], "BGR"),
        (np.repeat(IMAGE, 2, axis=1)[:, ::2], "BGR"),
        (np.asfortranarray(IMAGE), "BGR"),
        (read_only(IMAGE), "BGR"),
        (IMAGE[:, ::-1].copy()[:, ::-1], "BGR"),
    ],
)
def test_formats_and_strides(model: sam3_edge.Model, image: NDArray[np.uint8], format: Any) -> None:  # noqa: A002
    result = model.detect(image, "fish", format=format)
    np.testing.assert_array_equal(result.frame.bgr(), IMAGE)
    slot: NDArray[np.uint8] = model._backend.image_slot(0).copy()
    model.detect(IMAGE, "fish")
    np.testing.assert_array_equal(slot, model._backend.image_slot(0))


@pytest.mark.parametrize(
    ("image", "format", "message"),
    [
        (IMAGE.astype(np.float32), "BGR", r"uint8 for BGR, got float32; scale"),
        (IMAGE[..., 0], "BGR", r"\(H, W, 3\) of uint8 for BGR, got \(48, 64\)"),
        (IMAGE, "RGBA", r"\(H, W, 4\) of uint8 for RGBA, got \(48, 64, 3\)"),
        (IMAGE[:0], "BGR", r"got \(0, 64, 3\)"),
        ("photo.jpg", "BGR", "got str; read a file with stream"),
        (IMAGE, "NV12", "format of BGR, RGB, BGRx, RGBA, got 'NV12'"),
        (np.zeros((1, 32769, 3), np.uint8), "BGR", "at most 32768 pixels a side, got 32769x1"),
        (np.zeros((32769, 1, 3), np.uint8), "BGR", "at most 32768 pixels a side, got 1x32769"),
    ],
)
def test_no_picture(model: sam3_edge.Model, image: Any, format: Any, message: str) -> None:  # noqa: A002
    with pytest.raises(UsageError, match=message):
        model.detect(image, "fish", format=format)


def test_prompts_and_thresholds(model: sam3_edge.Model) -> None:
    def found(prompts: Any, threshold: float | None = None) -> list[str]:
        result = model.detect(IMAGE, prompts, threshold=threshold)
        return [result.prompts[index] for index in result.detections.prompt_index]

    assert found("fish") == found(["fish"]) == ["fish"]
    assert found(["fish:0.4"]) == ["fish", "fish"]
    assert found(["fish"], 0.95) == []
    assert found(["fish:0.4", "crab"], 0.6) == ["fish", "crab", "fish"]
    assert found(["fish"]) == ["fish"]  # the same words with another threshold are another question
    with pytest.raises(PromptError, match="at least one prompt"):
        found([])
    with pytest.raises(UsageError, match="prompts as text, got 3"):
        found(["fish", 3])
    with pytest.raises(UsageError, match="prompts as text, got None"):
        found(None)
    with pytest.raises(PromptError, match="expected text in UTF-8"):
        found("\udcff")
    thresholds: list[Any] = [2, -1, float("nan"), "0.5", True]
    for threshold in thresholds:
        with pytest.raises(UsageError, match="from 0 to 1, got "):
            found("fish", threshold)
    assert found("fish", np.float32(0.95)) == []  # type: ignore[arg-type]  # a number all the same
    assert found("fish") == ["fish"]


def test_masks_and_suppression(model: sam3_edge.Model) -> None:
    as_rle = model.detect(IMAGE, "crab")
    as_bits = model.detect(IMAGE, "crab", masks="bits")
    assert [mask._bits is None for mask in as_rle.detections.masks] == [True, True]
    assert [mask._bits is None for mask in as_bits.detections.masks] == [False, False]
    assert [m.counts for m in as_rle.detections.masks] == [
        m.counts for m in as_bits.detections.masks
    ]
    whole = model.detect(IMAGE, "crab", crop_masks=False)
    streamed = next(model.stream("demo", "crab", masks="bits"))
    assert [mask._bits is None for mask in streamed.detections.masks] == [False, False]
    assert [m.full().all() for m in as_rle.detections.masks] == [False, False]
    assert [m.full().all() for m in whole.detections.masks] == [True, True]
    best = sam3_edge.Suppression(iou=0.5, of="boxes")
    assert len(model.detect(IMAGE, ["fish", "crab"], suppression=best).detections) == 2
    with pytest.raises(UsageError, match='masks: expected "rle" or "bits", got \'png\''):
        model.detect(IMAGE, "crab", masks="png")  # type: ignore[arg-type]  # that is the test
    wrong: list[Any] = [0.5, sam3_edge.Suppression(iou=5, of="boxes")]
    for suppression in wrong:
        with pytest.raises(UsageError, match="suppression: expected "):
            model.stream("demo", "crab", suppression=suppression)


def test_results_are_frozen(model: sam3_edge.Model) -> None:
    result = model.detect(IMAGE, "fish")
    for value in (result, result.frame, result.detections, result.timing):
        for name in ("age_ms", "index", "boxes", "vision_ms", "another"):
            with pytest.raises((AttributeError, TypeError)):
                setattr(value, name, 0)


def test_what_is_written_into_one_result_stays_there(model: sam3_edge.Model) -> None:
    first = model.detect(IMAGE, "fish", masks="bits")
    boxes, counts = first.detections.boxes.copy(), first.detections.masks[0].counts
    first.detections.boxes[...] = 0
    first.detections.masks[0].bits[...] = False
    second = model.detect(IMAGE, "fish", masks="bits")
    np.testing.assert_array_equal(second.detections.boxes, boxes)
    assert second.detections.masks[0].counts == counts


def test_every_row_of_the_same_memory(model: sam3_edge.Model) -> None:
    image = np.broadcast_to(np.uint8(9), (20, 30, 3))
    np.testing.assert_array_equal(model.detect(image, "fish").frame.bgr(), image)


def test_a_stream(model: sam3_edge.Model) -> None:
    every: Any = np.int64(3)
    results = list(model.stream("demo", ["fish"], every=every, frames=4))
    assert [result.frame.index for result in results] == [0, 3, 6, 9]
    assert {result.prompts for result in results} == {("fish",)}
    assert stream_threads() == []


def test_several_sources(model: sam3_edge.Model) -> None:
    results = list(model.stream(["demo", "demo:1"], "fish", frames=3))
    assert sorted(r.frame.source for r in results) == ["demo"] * 3 + ["demo:1"] * 3


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ([], {}, r"a source or a list of them, got \[\]"),
        (0, {}, 'got 0; try "camera:0"'),
        ([0], {}, 'source as text, got 0; try "camera:0"'),
        (["demo", "demo"], {}, "different sources, got demo twice"),
        ("demo", {"deadline_ms": 50}, "never late; leave the deadline out"),
        ("demo", {"width": 640}, "a camera beside a width"),
        ("camera:0", {"height": 0}, "height: expected a whole number from 1, got 0"),
        ("camera:0", {"fps": -1}, "fps: expected a number above 0, got -1"),
        ("demo", {"every": 0}, "every: expected a whole number from 1, got 0"),
        ("demo", {"every": 1.5}, "every: expected a whole number from 1, got 1.5"),
        ("demo", {"frames": 0}, "frames: expected a whole number from 1"),
        ("demo", {"retries": -1}, "retries: expected a whole number from 0, got -1"),
        ("demo", {"max_fps": 0}, "max_fps: expected a number above 0, got 0"),
        ("demo", {"max_fps": float("nan")}, "max_fps: expected a number above 0, got nan"),
        ("demo", {"max_fps": "5"}, "max_fps: expected a number above 0, got '5'"),
        ("demo", {"frames": True}, "frames: expected a whole number from 1, got True"),
    ],
)
def test_streams_that_are_refused(
    model: sam3_edge.Model, source: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        model.stream(source, "fish", **options)
    assert len(list(model.stream("demo", "fish", frames=1))) == 1  # the engine is free


def test_a_source_that_is_not_there(model: sam3_edge.Model, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="found none"):
        model.stream(tmp_path / "nothing.mp4", "fish")
    assert len(model.detect(IMAGE, "fish").detections) == 1


def test_one_engine_serves_one(model: sam3_edge.Model) -> None:
    results = model.stream("demo", "fish")
    with pytest.raises(UsageError, match="has not ended"):  # although nothing was taken yet
        model.stream("demo", "fish")
    next(results)
    with pytest.raises(UsageError, match="has not ended"):
        model.detect(IMAGE, "fish")
    results.close()
    assert stream_threads() == []
    assert len(model.detect(IMAGE, "fish").detections) == 1


def test_a_stream_that_is_left_ends(model: sam3_edge.Model) -> None:
    for result in model.stream("demo", "fish"):
        if result.frame.index == 2:
            break
    gc.collect()
    assert stream_threads() == []
    assert len(list(model.stream("demo", "fish", frames=1))) == 1


class Camera:
    """Two frames, then it breaks off."""

    live, may_reopen, fps, num_frames = False, False, None, None

    def __init__(self, name: str, wish: CameraWish) -> None:
        self.name = name
        self.wish = wish
        self.num_closed = 0

    def frames(self) -> Iterator[Frame]:
        for index in range(2):
            yield bgr_frame(
                IMAGE, source=self.name, index=index, time_s=0.0, captured_ns=0, utc_ns=0
            )
        raise SourceError(f"{self.name}: unplugged")

    def stop(self) -> None:
        pass

    def close(self) -> None:
        self.num_closed += 1


@pytest.fixture
def cameras(monkeypatch: pytest.MonkeyPatch) -> dict[str, Camera]:
    """By name: those that were opened."""
    opened: dict[str, Camera] = {}

    def open_camera(text: str, wish: CameraWish) -> Camera:
        if text == "gone":
            raise SourceError("gone: not there")
        return opened.setdefault(text, Camera(text, wish))

    monkeypatch.setattr("sam3_edge.runtime.sources.opening.open_source", open_camera)
    return opened


def test_a_source_that_breaks_off(model: sam3_edge.Model, cameras: dict[str, Camera]) -> None:
    taken: list[FrameResult] = []
    with pytest.raises(SourceError, match="a: unplugged"):
        taken.extend(model.stream("a", "fish"))
    with pytest.raises(SourceError, match="a: unplugged"):
        taken.extend(model.stream("a", "fish"))
    assert [result.frame.index for result in taken] == [0, 1, 0, 1]
    assert cameras["a"].num_closed >= 2
    assert stream_threads() == []


def test_a_camera_is_asked_for_its_mode(model: sam3_edge.Model, cameras: dict[str, Camera]) -> None:
    model.stream("camera:0", "fish", width=640, height=480, fps=15, pixel_format="MJPG").close()
    wish = CameraWish(width=640, height=480, fps=15, pixel_format="MJPG")
    assert cameras["camera:0"].wish == wish


def test_events(
    model: sam3_edge.Model, cameras: dict[str, Camera], caplog: pytest.LogCaptureFixture
) -> None:
    """The last source's loss is the error that is raised."""
    events: list[SourceEvent] = []
    with pytest.raises(SourceError, match="unplugged") as raised:
        list(model.stream(["a", "b"], "fish", on_event=events.append))
    assert sorted([events[0].reason, str(raised.value)]) == ["a: unplugged", "b: unplugged"]
    assert len(events) == 1
    assert caplog.messages == []
    with pytest.raises(SourceError, match="unplugged") as raised:
        list(model.stream(["a", "b"], "fish"))
    assert sorted([*caplog.messages, str(raised.value)]) == ["a: unplugged", "b: unplugged"]


def test_what_was_opened_is_closed(model: sam3_edge.Model, cameras: dict[str, Camera]) -> None:
    with pytest.raises(SourceError, match="not there"):
        model.stream(["a", "gone"], "fish")
    assert cameras["a"].num_closed > 0
    model.stream(["b"], "fish").close()  # nothing was taken
    assert cameras["b"].num_closed > 0
    model.stream(["c"], "fish")  # not even kept
    gc.collect()
    assert cameras["c"].num_closed > 0
    assert len(model.detect(IMAGE, "fish").detections) == 1


def test_asking_something_else_meanwhile(model: sam3_edge.Model) -> None:
    results = model.stream("demo", "fish", masks="bits")
    assert next(results).prompts == ("fish",)
    model.ask(["crab:0.1", "fish"])
    with pytest.raises(PromptError):
        model.ask([])
    seen = [next(results) for _ in range(8)]
    assert seen[-1].prompts == ("crab", "fish")
    assert {result.prompts for result in seen} <= {("fish",), ("crab", "fish")}
    assert [result.prompts for result in seen] == sorted(
        (result.prompts for result in seen), key=len
    )
    results.close()
    with pytest.raises(UsageError, match="running stream to ask, got none"):
        model.ask("fish")
    # What is asked next is not taken for what was asked last.
    assert model.detect(IMAGE, "fish").prompts == ("fish",)


def test_closing_inside_the_loop_ends_it(model: sam3_edge.Model) -> None:
    taken = 0
    for _ in model.stream("demo", "fish"):
        taken += 1
        model.close()
        assert own_threads() == []
    assert taken == 1
    model.close()
    for use in (
        lambda: model.detect(IMAGE, "fish"),
        lambda: model.stream("demo", "fish"),
        lambda: model.ask("fish"),
        lambda: model.__enter__(),
    ):
        with pytest.raises(UsageError, match="open model, got one that was closed"):
            use()


def test_the_engine_is_freed_when_nothing_uses_it_any_more(
    model: sam3_edge.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[list[str]] = []
    close, submit = model._backend.close, model._backend.submit

    def slow(slot: int, prompts: PromptBatch) -> Pending:
        time.sleep(0.2)
        return submit(slot, prompts)

    def recorded() -> None:
        threads.append(stream_threads())
        close()

    monkeypatch.setattr(model._backend, "submit", slow)
    monkeypatch.setattr(model._backend, "close", recorded)
    results = model.stream("demo", "fish")
    next(results)
    model.close()
    assert threads == [[]]


def test_closing_from_another_thread(model: sam3_edge.Model) -> None:
    results = model.stream("demo", "fish", max_fps=20)
    next(results)
    closing = threading.Timer(0.1, model.close)
    closing.start()
    for _ in results:
        pass
    closing.join()
    assert own_threads() == []


def test_closing_while_a_thread_takes_no_more(model: sam3_edge.Model) -> None:
    """It has its last result and never comes back for another."""
    results = model.stream("demo", "fish", max_fps=5)
    taking = threading.Thread(target=lambda: [next(results, None) for _ in range(3)])
    taking.start()
    time.sleep(0.1)
    model.close()
    assert own_threads() == []
    taking.join()
    assert list(results) == []


def test_closing_in_on_event(model: sam3_edge.Model, cameras: dict[str, Camera]) -> None:
    with pytest.raises(SourceError, match="unplugged"):
        list(model.stream(["a", "b"], "fish", on_event=lambda _: model.close()))
    assert own_threads() == []


def test_an_error_in_on_event_ends_the_stream(
    model: sam3_edge.Model, cameras: dict[str, Camera]
) -> None:
    def fail(event: SourceEvent) -> None:
        raise RuntimeError(event.source)

    with pytest.raises(RuntimeError):
        list(model.stream(["a", "b"], "fish", on_event=fail))
    assert stream_threads() == []
    assert len(model.detect(IMAGE, "fish").detections) == 1


def test_a_closed_model_does_not_wait_for_the_collector(stand_in: Path, tmp_path: Path) -> None:
    gc.disable()  # a cycle would keep the engine's memory for minutes
    try:
        opened = sam3_edge.load(stand_in, threads=1, text_cache=tmp_path)
        engine = weakref.ref(opened._backend)
        opened.detect(IMAGE, "teapot")
        for _ in opened.stream("demo", "fish", frames=2):
            pass
        opened.close()
        del opened
        assert engine() is None
    finally:
        gc.enable()


def test_unknown_phrases_are_told_once(
    model: sam3_edge.Model, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        model.detect(IMAGE, "teapot")
        model.detect(IMAGE, "fish")
    assert len(caplog.records) == 1
    assert caplog.records[0].name == "sam3_edge"
    assert caplog.records[0].levelno == logging.WARNING
    assert "'teapot' is not a phrase" in caplog.messages[0]


def test_the_text_graph_is_proved_before_it_is_used(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[Backend] = []
    run = SelfCheck.run_text

    def recorded(check: SelfCheck, backend: Backend) -> None:
        checks.append(backend)
        run(check, backend)

    monkeypatch.setattr(SelfCheck, "run_text", recorded)
    for expected in (1, 0):  # the second time they are in the cache
        checks.clear()
        with sam3_edge.load(stand_in, threads=1, text_cache=tmp_path) as model:
            model.detect(IMAGE, "fish")
            model.detect(IMAGE, "fish:0.1")
        assert len(checks) == expected
    checks.clear()
    with sam3_edge.load(stand_in, threads=1, text_cache=tmp_path) as model:
        next(results := model.stream("demo", "fish"))
        assert checks == []
        model.ask("eel")
        assert len(checks) == 1
        results.close()
    checks.clear()
    with sam3_edge.load(stand_in, threads=1, text_cache=tmp_path, self_check=False) as model:
        model.detect(IMAGE, "crab")
    assert checks == []


def test_a_closed_model_keeps_no_pictures(model: sam3_edge.Model, tmp_path: Path) -> None:
    writer = cv2.VideoWriter(
        str(tmp_path / "v.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, IMAGE.shape[1::-1]
    )
    for _ in range(6):
        writer.write(IMAGE)
    writer.release()
    *others, kept = list(model.stream(tmp_path / "v.avi", "fish"))
    picture = kept.frame.bgr().copy()
    del others
    assert len(PICTURES._arrays) > 1
    model.close()
    assert len(PICTURES._arrays) == 1
    np.testing.assert_array_equal(kept.frame.bgr(), picture)


def test_a_load_that_fails_leaves_nothing(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="threads: expected a whole number from 1, got 0"):
        sam3_edge.load(stand_in, threads=0)
    with pytest.raises(BundleError, match="is not a bundle"):
        sam3_edge.load(tmp_path)

    kept, run = [], SelfCheck.run

    def drifts(check: SelfCheck, backend: Backend) -> None:
        run(check, backend)
        kept.append(backend)  # so that it does not end by itself
        raise EngineError("drift")

    monkeypatch.setattr(SelfCheck, "run", drifts)
    with pytest.raises(EngineError, match="drift"):
        sam3_edge.load(stand_in, threads=1)
    assert len(kept) == 1
    assert own_threads() == []

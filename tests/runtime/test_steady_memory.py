"""In steady state no picture, feature map or mask is allocated: buffers go round."""

import tracemalloc
import weakref
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_edge.engines.backend import Backend, PromptBatch
from sam3_edge.engines.bundle import default_bundle_path
from sam3_edge.engines.load import load_backend, open_bundle
from sam3_edge.engines.references import read_references
from sam3_edge.runtime.capture import Capture
from sam3_edge.runtime.one_frame import Request
from sam3_edge.runtime.pipeline import deliver, detect
from sam3_edge.runtime.prompts import Prompt
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.scene import Scene
from sam3_edge.runtime.sinks.jsonl import JsonlSink
from sam3_edge.runtime.sources.video import VideoSource

WARM_UP, FRAMES = 20, 60
SMALL_BYTES = 200_000  # a picture of the video has 2.8 MB, the masks of one prompt as many


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "sea.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (1280, 720))
    scene = Scene(0, "held_out")
    pictures = [cv2.resize(scene.frame(10 * k), (1280, 720)) for k in range(3)]
    for number in range(FRAMES):
        writer.write(pictures[number % 3])
    writer.release()
    return path


@pytest.fixture
def backend() -> Iterator[Backend]:
    bundle = open_bundle(default_bundle_path())
    with closing(load_backend(bundle, num_threads=1)) as opened:
        yield opened


@pytest.fixture
def fish() -> Request:
    path = open_bundle(default_bundle_path()).references_path
    assert path is not None
    every = read_references(path).prompts()
    batch = PromptBatch(
        text_features=every.text_features[:1],
        exemplar_features=every.exemplar_features[:1],
        prompt_mask=every.prompt_mask[:1],
    )
    return Request(prompts=(Prompt(text="fish", threshold=0.2),), batch=batch)


class Owners:
    """The arrays that own the memory of what went by, without keeping any."""

    def __init__(self) -> None:
        self._seen: dict[int, weakref.ref[Any]] = {}

    def add(self, array: NDArray[Any]) -> None:
        owner = array if array.base is None else array.base
        self._seen.setdefault(id(owner), weakref.ref(owner))

    @property
    def alive(self) -> list[bool]:
        return [ref() is not None for ref in self._seen.values()]

    @property
    def num_bytes(self) -> int:
        return sum(array.nbytes for ref in self._seen.values() if (array := ref()) is not None)


def test_buffers_go_round(video: Path, backend: Backend, fish: Request, tmp_path: Path) -> None:
    owners = {name: Owners() for name in ("pictures", "logits", "boxes", "masks")}
    peaks: list[int] = []

    def pooled() -> int:
        """A busy machine fills the queues, and with them the pools, later than another."""
        return sum(seen.num_bytes for seen in owners.values())

    def submit(slot: int, prompts: PromptBatch) -> Any:
        pending = backend.submit(slot, prompts)

        def result() -> Any:
            output = pending.result()
            for name in ("logits", "boxes", "masks"):
                owners[name].add(getattr(output, name))
            return output

        return SimpleNamespace(result=result)

    def see(result: FrameResult) -> None:
        owners["pictures"].add(result.frame.bgr())
        if result.frame.index == WARM_UP:
            tracemalloc.reset_peak()
            peaks.append(tracemalloc.get_traced_memory()[0] - pooled())
        elif result.frame.index == FRAMES - 5:  # before the file ends
            peaks.append(tracemalloc.get_traced_memory()[1] - pooled())

    watched: Any = SimpleNamespace(
        num_slots=backend.num_slots, image_slot=backend.image_slot, submit=submit
    )
    tracemalloc.start()
    try:
        with closing(Capture(VideoSource(video))) as capture:
            deliver(detect(capture, watched, fish), [JsonlSink(str(tmp_path / "x.jsonl"))], see)
            for name, seen in owners.items():
                assert all(seen.alive[1:]), f"{name}: freed, so made anew"  # [0]: OpenCV's first
                assert len(seen.alive) <= 12, f"{name}: more than are ever in use"
    finally:
        tracemalloc.stop()
    assert len((tmp_path / "x.jsonl").read_text().splitlines()) == FRAMES
    before, peak = peaks
    assert peak - before < SMALL_BYTES


def test_the_watch_sees_what_is_made_anew() -> None:
    owners = Owners()
    for _ in range(3):
        owners.add(np.empty((720, 1280, 3), np.uint8)[::2])
    assert not all(owners.alive)

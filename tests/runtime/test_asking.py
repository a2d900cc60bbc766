"""New prompts are encoded beside the stream, and the old ones answered meanwhile."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_edge.engines.backend import Pending, PromptBatch, RawOutput, TextFeatures
from sam3_edge.engines.recorded_backend import RecordedBackend
from sam3_edge.errors import EngineError
from sam3_edge.runtime.asking import Asking
from sam3_edge.runtime.capture import Capture
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.pipeline import detect
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.source_event import SourceEvent
from sam3_edge.runtime.text_cache import TextCache
from tests.runtime.sources_to_test import ListedSource

PATIENCE_S = 20.0


class SlowEncoder(RecordedBackend):
    """Finds nothing, whatever is asked. From the second text on it encodes when it is let."""

    def __init__(self) -> None:
        super().__init__([], image_size=28, d_model=4)
        self.is_encoding, self.may_encode = Event(), Event()
        self.error: EngineError | None = None
        self._is_first = True

    def encode_text(self, token_ids: NDArray[np.int64]) -> TextFeatures:
        if not self._is_first:
            self.is_encoding.set()
            assert self.may_encode.wait(PATIENCE_S)
        self._is_first = False
        if self.error is not None:
            raise self.error
        return super().encode_text(token_ids)

    def submit(self, _slot: int, prompts: PromptBatch) -> Pending:
        output = RawOutput(
            logits=np.full((len(prompts), 9), -9, np.float32),
            presence=np.zeros((len(prompts), 1), np.float32),
            boxes=np.full((len(prompts), 9, 4), 0.5, np.float32),
            masks=np.ones((len(prompts), 9, 8, 8), np.float32),
            vision_ms=0,
            decoder_ms=0,
        )
        return SimpleNamespace(result=lambda: output)


@pytest.fixture
def backend() -> SlowEncoder:
    return SlowEncoder()


@pytest.fixture
def asking(backend: SlowEncoder, tmp_path: Path) -> Asking:
    manifest: Any = SimpleNamespace(
        vocabulary=[], default_threshold=0.5, model=SimpleNamespace(num_exemplars=3)
    )
    bundle: Any = SimpleNamespace(manifest=manifest)
    cache = TextCache(tmp_path, graph_sha256="0", shape=(32, 4), warn=pytest.fail)
    asking = Asking(bundle, backend, cache, warn=lambda _: None)
    asking.ask(["fish"])
    return asking


def asked(result: FrameResult | SourceEvent) -> tuple[str, ...]:
    assert isinstance(result, FrameResult)
    return result.prompts


def test_old_prompts_are_answered_until_new_ones_are_encoded(
    backend: SlowEncoder, asking: Asking, make_frame: Callable[..., Frame]
) -> None:
    capture = Capture(ListedSource([make_frame(index) for index in range(60)]))
    with closing(detect(capture, backend, lambda: asking.current)) as results:
        next(results)
        telling = Thread(target=asking.ask, args=(["fish", "crab"],))
        telling.start()
        assert backend.is_encoding.wait(PATIENCE_S)
        assert {asked(next(results)) for _ in range(30)} == {("fish",)}
        backend.may_encode.set()
        telling.join(PATIENCE_S)
        late = [asked(result) for result in results]
    assert len(late) == 29
    assert late == sorted(late, key=len)
    assert late[4:] == [("fish", "crab")] * 25  # those before were with the engine already


def test_what_was_asked_stays_where_encoding_fails(backend: SlowEncoder, asking: Asking) -> None:
    before = asking.current
    backend.may_encode.set()
    backend.error = EngineError("the text graph failed")
    with pytest.raises(EngineError, match="the text graph failed"):
        asking.ask(["crab"])
    assert asking.current is before
    backend.error = None
    assert asking.ask(["crab"]).texts == ("crab",)

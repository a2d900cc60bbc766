import numpy as np
import pytest

from sam3_edge.engines.backend import Backend, RawOutput
from sam3_edge.engines.recorded_backend import RecordedBackend
from sam3_edge.engines.text_prompts import text_only_prompts
from sam3_edge.errors import EngineError


def output(value: float) -> RawOutput:
    return RawOutput(
        logits=np.full((1, 5), value, np.float32),
        presence=np.full((1, 1), value, np.float32),
        boxes=np.full((1, 5, 4), value, np.float32),
        masks=np.full((1, 5, 8, 8), value, np.float32),
        vision_ms=1.0,
        decoder_ms=2.0,
    )


def test_it_plays_back_what_was_recorded_and_remembers_what_it_got() -> None:
    recorded: list[RawOutput | EngineError] = [output(1), EngineError("out of memory"), output(2)]
    backend: Backend = RecordedBackend(recorded, image_size=28, d_model=4)
    assert isinstance(backend, RecordedBackend)
    ids = np.zeros((1, 32), np.int64)
    ids[0, :2] = 7
    prompts = text_only_prompts(backend.encode_text(ids), 3)
    pending = []
    for number in range(3):
        backend.image_slot(number % backend.num_slots)[...] = number
        pending.append(backend.submit(number % backend.num_slots, prompts))
    assert pending[2].result() is recorded[2]
    assert pending[0].result() is pending[0].result() is recorded[0]
    with pytest.raises(EngineError, match="out of memory"):
        pending[1].result()
    assert [int(image.max()) for image, _ in backend.submitted] == [0, 1, 2]
    assert backend.submitted[1][1] is prompts
    with pytest.raises(EngineError, match="expected at most 3 submits"):
        backend.submit(0, prompts)
    backend.close()
    backend.close()
    assert backend.closed


def test_text_prompts_mask_what_is_not_there() -> None:
    ids = np.zeros((2, 32), np.int64)
    ids[0, :2], ids[1, :5] = 7, 9
    text = RecordedBackend([], image_size=28, d_model=4).encode_text(ids)
    prompts = text_only_prompts(text, 3)
    assert len(prompts) == 2
    attended = ~prompts.prompt_mask
    np.testing.assert_array_equal(attended.sum(axis=1), [2 + 1, 5 + 1])
    assert attended[:, 32].all()
    assert not attended[:, 33:].any()
    assert prompts.exemplar_features.shape == (2, 3, 4)

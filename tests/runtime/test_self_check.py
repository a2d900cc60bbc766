import dataclasses

import numpy as np
import pytest

from sam3_edge.engines.backend import RawOutput
from sam3_edge.engines.recorded_backend import RecordedBackend
from sam3_edge.engines.references import References, record_references
from sam3_edge.errors import EngineError
from sam3_edge.runtime.self_check import SelfCheck


@pytest.fixture
def outputs() -> list[RawOutput]:
    return [
        RawOutput(
            logits=np.full((1, 5), 2 + i, np.float32),
            presence=np.full((1, 1), 3, np.float32),
            boxes=np.full((1, 5, 4), 0.5, np.float32),
            masks=np.ones((1, 5, 8, 8), np.float32),
            vision_ms=0,
            decoder_ms=0,
        )
        for i in range(2)
    ]


@pytest.fixture
def references(outputs: list[RawOutput]) -> References:
    backend = RecordedBackend([], image_size=28, d_model=4)
    ids = np.ones((1, 32), np.int64)
    return record_references(
        images=np.stack([np.full((28, 28, 3), 40 + i, np.uint8) for i in range(2)]),
        phrases=("fish",),
        token_ids=ids,
        text=backend.encode_text(ids),
        num_exemplars=3,
        threshold=0.5,
        outputs=outputs,
    )


def test_once_an_hour_and_another_picture_each_time(
    outputs: list[RawOutput], references: References
) -> None:
    now = 100.0
    check = SelfCheck(references, "fp32", clock=lambda: now)
    backend = RecordedBackend([*outputs, *outputs], image_size=28, d_model=4)
    assert check.is_due()
    check.run(backend)
    assert not check.is_due()
    now += 3599
    assert not check.is_due()
    now += 1
    assert check.is_due()
    check.run(backend, encode_text=True)
    check.run(backend)
    assert [int(image[0, 0, 0]) for image, _ in backend.submitted] == [40, 41, 40]


def test_drift_stops_it(outputs: list[RawOutput], references: References) -> None:
    wrong = dataclasses.replace(outputs[0], logits=outputs[0].logits + np.float32(0.05))
    backend = RecordedBackend([wrong], image_size=28, d_model=4)
    with pytest.raises(EngineError, match="drifted"):
        SelfCheck(references, "fp32").run(backend)

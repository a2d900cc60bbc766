"""Phrases said in other words: the truth stays, and what is off changes nothing."""

import numpy as np
import pytest

from sam3_edge.engines.inflection import ways_to_say
from sam3_edge.training.data.mixture import Mixture, Source
from sam3_edge.training.data.paraphrase import paraphrased
from sam3_edge.training.data.scene_dataset import SceneDataset
from sam3_edge.training.data.targets import PhraseTarget, Sample

NONE = np.zeros((0, 4), np.float32)
SAMPLE = Sample(
    image=np.zeros((4, 4, 3), np.uint8),
    phrases=tuple(
        PhraseTarget(text=text, boxes=boxes, masks=None, ignore=NONE)
        for text, boxes in (("Fish", NONE + 1), ("starfish", NONE), ("the sun", NONE))
    ),
)


def test_each_phrase_is_said_otherwise_as_often_as_asked() -> None:
    rng = np.random.default_rng(0)
    found = [paraphrased(SAMPLE, rng, 0.25) for _ in range(400)]
    for place, phrase in enumerate(("fish", "starfish")):
        texts = [one.phrases[place].text for one in found]
        others = [text for text in texts if text != SAMPLE.phrases[place].text]
        assert len(others) / 400 == pytest.approx(0.25, abs=0.07)
        assert set(others) == set(ways_to_say(phrase))
    assert {one.phrases[2].text for one in found} == {"the sun"}
    assert all(one.phrases[0].boxes is SAMPLE.phrases[0].boxes for one in found)


def test_off_draws_nothing() -> None:
    rng = np.random.default_rng(0)
    assert paraphrased(SAMPLE, rng, 0.0) is SAMPLE
    assert rng.random() == np.random.default_rng(0).random()


def test_only_the_words_of_a_sample_change() -> None:
    plain, said = (
        Mixture(
            [Source(data=SceneDataset("train", 84), weight=1.0, paraphrase=share)],
            seed=0, batch_size=1, image_size=84, mask_side=12,
        ).sample(3)
        for share in (0.0, 1.0)
    )  # fmt: skip
    assert np.array_equal(plain.image, said.image)
    for one, other in zip(plain.phrases, said.phrases, strict=True):
        assert other.text in ways_to_say(one.text)
        assert np.array_equal(one.boxes, other.boxes)

"""Exemplars are boxes of the same picture, near what is true."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_edge.runtime.tokenizer import Tokenizer
from sam3_edge.training.data.exemplars import LEAST_SIDE, Exemplars, jittered, with_exemplars
from sam3_edge.training.data.targets import PhraseTarget, Sample, collate

ALWAYS = Exemplars(probability=1.0, jitter=0.0)


def boxes(*rows: tuple[float, float, float, float]) -> NDArray[np.float32]:
    return np.array(rows, np.float32).reshape(-1, 4)


FISH = boxes((0.2, 0.2, 0.1, 0.1), (0.5, 0.2, 0.2, 0.1), (0.7, 0.7, 0.3, 0.3), (0.1, 0.9, 0.1, 0.1))
# The second is one of the fish by another name.
SHARKS = boxes((0.4, 0.6, 0.1, 0.1), (0.71, 0.7, 0.3, 0.3))


def sample() -> Sample:
    none = boxes()
    return Sample(
        image=np.zeros((28, 28, 3), np.uint8),
        phrases=(
            PhraseTarget(text="fish", boxes=FISH, masks=None, ignore=none),
            PhraseTarget(text="shark", boxes=SHARKS, masks=None, ignore=none),
            PhraseTarget(text="starfish", boxes=none, masks=None, ignore=none),
        ),
    )


def rows(array: NDArray[np.float32]) -> set[tuple[float, ...]]:
    return {tuple(row) for row in array.tolist()}


def test_wanted_ones_are_the_phrases_and_others_are_not() -> None:
    counts = set()
    for seed in range(60):
        shown = with_exemplars(sample(), np.random.default_rng(seed), ALWAYS)
        fish, shark, starfish = shown.phrases
        for phrase, wanted, not_wanted in (
            (fish, FISH, SHARKS[:1]),
            (shark, SHARKS, FISH[[0, 1, 3]]),
            (starfish, boxes(), np.concatenate((FISH, SHARKS))),
        ):
            labels = phrase.exemplar_labels
            assert len(labels) == len(phrase.exemplars) <= 6
            near = [np.round(one, 5) for one in (phrase.exemplars, wanted, not_wanted)]
            assert rows(near[0][labels == 1]) <= rows(near[1])
            assert rows(near[0][labels == 0]) <= rows(near[2])
            assert np.array_equal(phrase.boxes, sample().phrases[shown.phrases.index(phrase)].boxes)
        counts.add((int(fish.exemplar_labels.sum()), len(fish.exemplar_labels)))
    assert {count for count, _ in counts} == {0, 1, 2, 3}


def test_a_probability_of_none_changes_nothing() -> None:
    one = sample()
    assert with_exemplars(one, np.random.default_rng(0), Exemplars()) is one


def test_the_probability_is_how_many_prompts_are_asked() -> None:
    settings = Exemplars(probability=0.3, positive=3, negative=3)
    rng = np.random.default_rng(0)
    shown = [len(with_exemplars(sample(), rng, settings).phrases[0].exemplars) for _ in range(500)]
    # Of those chosen a part draws no box at all: 0 of both kinds.
    assert 0.2 < np.mean(np.array(shown) > 0) < 0.32


@pytest.mark.parametrize("deviation", [0.0, 0.05, 2.0])
def test_a_jittered_box_stays_in_the_picture(deviation: float) -> None:
    many = np.tile(np.concatenate((FISH, boxes((0.999, 0.0, 0.002, 0.001)))), (50, 1))
    moved = jittered(many, np.random.default_rng(0), deviation)
    low, high = moved[:, :2] - moved[:, 2:] / 2, moved[:, :2] + moved[:, 2:] / 2
    assert (low >= -1e-6).all()
    assert (high <= 1 + 1e-6).all()
    assert (moved[:, 2:] >= LEAST_SIDE - 1e-6).all()


def test_the_deviation_is_a_share_of_the_boxs_size() -> None:
    many = np.tile(boxes((0.5, 0.5, 0.2, 0.1)), (2000, 1))
    moved = jittered(many, np.random.default_rng(0), 0.05)
    assert (moved - many)[:, :2].std(axis=0) == pytest.approx([0.01, 0.005], rel=0.1)
    assert (moved / many)[:, 2:].std(axis=0) == pytest.approx([0.05, 0.05], rel=0.1)


def test_a_batch_pads_them() -> None:
    shown = with_exemplars(sample(), np.random.default_rng(3), ALWAYS)
    batch = collate([shown, sample()], Tokenizer(), 8)
    assert batch.exemplars is not None
    counts = [len(phrase.exemplars) for phrase in (*shown.phrases, *sample().phrases)]
    assert max(counts) > min(counts) == 0
    assert batch.exemplars.boxes.shape == (6, max(counts), 4)
    assert (~batch.exemplars.padding).sum(dim=1).tolist() == counts
    for row, phrase in enumerate(shown.phrases):
        count = counts[row]
        assert np.array_equal(batch.exemplars.boxes[row, :count].numpy(), phrase.exemplars)
        assert batch.exemplars.labels[row, :count].tolist() == phrase.exemplar_labels.tolist()


def test_a_batch_without_any_has_none() -> None:
    assert collate([sample()], Tokenizer(), 8).exemplars is None

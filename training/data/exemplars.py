"""Boxes shown together with a phrase: "like this one, not like that one".

They are drawn from the truth about the same picture, after it has been augmented.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sam3_edge.training.data.targets import PhraseTarget, Sample

WANTED, NOT_WANTED = 1, 0
# An object of another phrase that covers a wanted one as much is the same thing by another name.
SAME_OBJECT = 0.5
# No side of a jittered box is smaller, share of the picture's.
LEAST_SIDE = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemplars:
    """probability: how often a prompt comes with boxes. positive, negative: how many at most; each
    number from 0 on is as likely. jitter: standard deviation of centre and size, share of the size.
    """

    probability: float = 0.0
    positive: int = 3
    negative: int = 3
    jitter: float = 0.05


NO_EXEMPLARS = Exemplars()


def with_exemplars(sample: Sample, rng: np.random.Generator, settings: Exemplars) -> Sample:
    """The sample with boxes for some of its prompts. A phrase that is absent can have only boxes of
    what is not wanted.
    """
    if settings.probability == 0.0:
        return sample
    asked = rng.random(len(sample.phrases)) < settings.probability
    phrases = tuple(
        _shown(sample.phrases, index, rng, settings) if chosen else phrase
        for index, (phrase, chosen) in enumerate(zip(sample.phrases, asked, strict=True))
    )
    return replace(sample, phrases=phrases)


def _shown(
    phrases: tuple[PhraseTarget, ...], index: int, rng: np.random.Generator, settings: Exemplars
) -> PhraseTarget:
    phrase = phrases[index]
    others = np.concatenate([one.boxes for one in phrases])  # Its own fall out by their overlap.
    mine = np.concatenate((phrase.boxes, phrase.ignore))
    others = others[(_overlap(others, mine) < SAME_OBJECT).all(axis=1)]
    positive = _drawn(phrase.boxes, settings.positive, rng)
    negative = _drawn(others, settings.negative, rng)
    labels = np.repeat([WANTED, NOT_WANTED], [len(positive), len(negative)])
    return replace(
        phrase,
        exemplars=jittered(np.concatenate((positive, negative)), rng, settings.jitter),
        exemplar_labels=labels.astype(np.int64),
    )


def jittered(
    boxes: NDArray[np.float32], rng: np.random.Generator, deviation: float
) -> NDArray[np.float32]:
    """(E, 4) cxcywh, moved and resized a little, and cut at the picture's edges."""
    noise = rng.normal(0.0, deviation, boxes.shape)
    center = boxes[:, :2] + noise[:, :2] * boxes[:, 2:]
    half = boxes[:, 2:] * np.exp(noise[:, 2:]) / 2
    low = (center - half).clip(0.0, 1.0 - LEAST_SIDE)
    high = np.maximum((center + half).clip(0.0, 1.0), low + LEAST_SIDE)
    return np.concatenate(((low + high) / 2, high - low), axis=1).astype(np.float32)


def _drawn(boxes: NDArray[np.float32], most: int, rng: np.random.Generator) -> NDArray[np.float32]:
    count = int(rng.integers(most + 1))
    return boxes[rng.permutation(len(boxes))[:count]]


def _overlap(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """(A, 4), (B, 4) cxcywh -> (A, B) intersection over union."""
    low = np.maximum((boxes[:, :2] - boxes[:, 2:] / 2)[:, None], others[:, :2] - others[:, 2:] / 2)
    high = np.minimum((boxes[:, :2] + boxes[:, 2:] / 2)[:, None], others[:, :2] + others[:, 2:] / 2)
    common = (high - low).clip(0.0).prod(axis=2)
    union = boxes[:, 2:].prod(axis=1)[:, None] + others[:, 2:].prod(axis=1) - common
    overlap: NDArray[np.float32] = common / np.maximum(union, 1e-9)
    return overlap

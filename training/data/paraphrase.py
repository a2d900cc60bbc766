"""Phrases as people type them: some of a sample's are asked in the plural, or with an article."""

from dataclasses import replace

import numpy as np

from sam3_edge.engines.inflection import ways_to_say
from sam3_edge.runtime.tokenizer import normalise
from sam3_edge.training.data.targets import PhraseTarget, Sample


def paraphrased(sample: Sample, rng: np.random.Generator, probability: float) -> Sample:
    """Each phrase said in another way that means the same, with this probability. What is known of
    the picture stays: ways that mean the same are true and false together.
    """
    if probability == 0.0:
        return sample
    phrases = tuple(_said(phrase, rng, probability) for phrase in sample.phrases)
    return replace(sample, phrases=phrases)


def _said(phrase: PhraseTarget, rng: np.random.Generator, probability: float) -> PhraseTarget:
    ways = ways_to_say(normalise(phrase.text))
    if rng.random() >= probability or not ways:
        return phrase
    return replace(phrase, text=ways[int(rng.integers(len(ways)))])

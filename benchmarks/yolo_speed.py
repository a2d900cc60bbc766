"""How long a picture takes each of the two, from BGR pixels to boxes, taking turns in one run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from yolo_answers import Yolo, decode, letterbox

from sam3_edge.engines.backend import Backend, PromptBatch, RawOutput
from sam3_edge.engines.text_prompts import text_only_prompts
from sam3_edge.runtime.postprocess import postprocess
from sam3_edge.runtime.preprocess import preprocess
from sam3_edge.runtime.tokenizer import Tokenizer

WARM_UP, THRESHOLD = 3, 0.3

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Medians, ms. frame: the picture made ready, the network, the boxes. network: alone."""

    frame: float
    network: float

    @property
    def frames_a_second(self) -> float:
        return 1e3 / self.frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Speeds:
    """all_words: ours, asked for every class; one_word: for one."""

    all_words: Times
    one_word: Times
    yolo: Times


def measure_speeds(
    backend: Backend,
    num_exemplars: int,
    phrases: tuple[str, ...],
    yolo: Yolo,
    pictures: Sequence[Picture],
    rounds: int,
) -> Speeds:
    """pictures: (H, W, 3) uint8 BGR each, one a round. Neither makes masks. Raises EngineError."""
    text = backend.encode_text(Tokenizer().encode(phrases))
    every = text_only_prompts(text, num_exemplars)
    one = replace(
        every,
        text_features=every.text_features[:1],
        exemplar_features=every.exemplar_features[:1],
        prompt_mask=every.prompt_mask[:1],
    )
    contestants: tuple[Callable[[Picture], tuple[float, float]], ...] = (
        lambda picture: _ours(backend, every, picture),
        lambda picture: _ours(backend, one, picture),
        lambda picture: _theirs(yolo, picture),
    )
    taken: list[list[tuple[float, float]]] = [[] for _ in contestants]
    for number in range(WARM_UP + rounds):
        picture = pictures[number % len(pictures)]
        for times, contestant in zip(taken, contestants, strict=True):
            time = contestant(picture)
            if number >= WARM_UP:
                times.append(time)
    all_words, one_word, theirs = map(_medians, taken)
    return Speeds(all_words=all_words, one_word=one_word, yolo=theirs)


def _ours(backend: Backend, prompts: PromptBatch, picture: Picture) -> tuple[float, float]:
    begun = perf_counter()
    preprocess(picture, backend.image_slot(0))
    output = backend.submit(0, prompts).result()
    thresholds = np.full(len(prompts), THRESHOLD, np.float32)
    postprocess(_boxes_alone(output), thresholds, (picture.shape[0], picture.shape[1]))
    return (perf_counter() - begun) * 1e3, output.vision_ms + output.decoder_ms


def _theirs(yolo: Yolo, picture: Picture) -> tuple[float, float]:
    begun = perf_counter()
    pixels, scale = letterbox(picture, yolo.image_size)
    ready = perf_counter()
    output = yolo.run(pixels)
    answered = perf_counter()
    decode(output, scale, (picture.shape[0], picture.shape[1]), THRESHOLD)
    return (perf_counter() - begun) * 1e3, (answered - ready) * 1e3


def _boxes_alone(output: RawOutput) -> RawOutput:
    """Masks of one empty cell."""
    cell = np.broadcast_to(np.float32(0.0), (*output.logits.shape, 1, 1))
    return replace(output, masks=cell)


def _medians(times: list[tuple[float, float]]) -> Times:
    return Times(frame=median(f for f, _ in times), network=median(n for _, n in times))

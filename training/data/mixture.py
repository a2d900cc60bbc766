"""Batches drawn from several data sets. Micro-batch number m of a run is a function of (seed, m).

A run is cut into epochs of `epoch_samples`. Within one, which source a sample comes from is shuffled
by (seed, epoch), and each source hands out its pictures in permutations of its own, which go on from
epoch to epoch: no picture of a source is ever seen twice more than another.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from sam3_edge.errors import DatasetError
from sam3_edge.runtime.tokenizer import Tokenizer
from sam3_edge.training.data.augment import augmented_sample, mosaic
from sam3_edge.training.data.augmentation import DEFAULT, Augmentation
from sam3_edge.training.data.copy_paste import paste_objects
from sam3_edge.training.data.exemplars import NO_EXEMPLARS, Exemplars, with_exemplars
from sam3_edge.training.data.foreign_objects import paste_foreign, unrelated
from sam3_edge.training.data.labelled import LabelledPicture, LabelledPictures
from sam3_edge.training.data.paraphrase import paraphrased
from sam3_edge.training.data.targets import Batch, Sample, collate

MOSAIC_SIDE = 320
# Samples of an epoch where no source has an end.
ENDLESS_EPOCH = 1000
# So many pictures of other sources are looked at for objects that can be cut out.
DONORS = 4
# What a generator is for; with the seed it makes streams that do not meet.
_ORDER, _PERMUTATION, _SAMPLE, _SIZE = range(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A data set and its share of the samples. paraphrase: how often a phrase is said otherwise.

    withheld, related, max_phrases: as in `paste_foreign`, where objects of other sources are pasted.
    """

    data: LabelledPictures
    weight: float
    augmentation: Augmentation = DEFAULT
    exemplars: Exemplars = NO_EXEMPLARS
    withheld: frozenset[str] = frozenset()
    related: Callable[[str, str], bool] = unrelated
    max_phrases: int | None = None
    paraphrase: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """source: (epoch_samples,) int64. place: (epoch_samples,) int64, which of its source's samples,
    counted from the start of the run.
    """

    source: NDArray[np.int64]
    place: NDArray[np.int64]


def pictures_of(sources: Sequence[Source]) -> int:
    """How many pictures the sources that have an end hold, which makes an epoch."""
    return sum(source.data.length or 0 for source in sources) or ENDLESS_EPOCH


def samples_by_source(weights: Sequence[float], samples: int, epochs: int) -> NDArray[np.int64]:
    """(epochs, S): how many of an epoch's samples each source gives; less than one from its share.

    Systematic sampling: an epoch is `samples` marks on a line, a source the stretch of its weight.
    The marks shift from epoch to epoch by the golden ratio, so that a share of less than one sample
    comes up as often as it should.
    """
    edges = np.concatenate(([0.0], np.cumsum(weights))) * (samples / np.sum(weights))
    edges[-1] = samples
    shift = (np.arange(epochs)[:, None] * 0.6180339887498949) % 1.0
    counts: NDArray[np.int64] = np.diff(np.floor(edges + shift).astype(np.int64), axis=1)
    return counts


def plan_epoch(weights: Sequence[float], samples: int, seed: int, epoch: int) -> Epoch:
    counts = samples_by_source(weights, samples, epoch + 1)
    rng = np.random.default_rng((seed, _ORDER, epoch))
    source = rng.permutation(np.repeat(np.arange(len(weights)), counts[-1]))
    place = np.empty(samples, dtype=np.int64)
    for number, before in enumerate(counts[:-1].sum(axis=0)):
        mine = np.flatnonzero(source == number)
        place[mine] = before + np.arange(len(mine))
    return Epoch(source=source, place=place)


class Mixture(IterableDataset[Batch | DatasetError]):
    """An endless stream of the micro-batches `first`, `first + stride`, ..., ended only by data that
    cannot be used. Rank r of R processes takes every R-th from r on.

    epoch_samples: None for `pictures_of(sources)`.
    image_sizes: of the square pictures, pixels; masks have mask_side cells at image_size, and at
    other sizes as many as in proportion. All `step_batches` micro-batches of a step, over all
    processes, have one size, which is a function of (seed, step). Empty: image_size alone.
    The error is yielded, not raised: raised in a worker, it would arrive as a traceback.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        seed: int,
        batch_size: int,
        image_size: int,
        mask_side: int,
        first: int = 0,
        stride: int = 1,
        epoch_samples: int | None = None,
        image_sizes: Sequence[int] = (),
        step_batches: int = 1,
    ) -> None:
        super().__init__()
        self.sources = tuple(sources)
        self.seed, self.batch_size = seed, batch_size
        self.first = first
        self.stride = stride
        self.image_size, self.mask_side = image_size, mask_side
        self.image_sizes = tuple(image_sizes) or (image_size,)
        self.step_batches = step_batches
        self.epoch_samples = epoch_samples or pictures_of(self.sources)
        self._epochs: dict[int, Epoch] = {}
        self._permutations: dict[tuple[int, int], NDArray[np.int64]] = {}

    def __iter__(self) -> Iterator[Batch | DatasetError]:
        cv2.setNumThreads(1)  # The other processors are computing gradients.
        tokenizer = Tokenizer()
        worker = get_worker_info()
        number, count = (0, 1) if worker is None else (worker.id, worker.num_workers)
        batch = self.first + number * self.stride
        while True:
            start = batch * self.batch_size
            try:
                samples = [self.sample(start + i) for i in range(self.batch_size)]
            except DatasetError as error:
                yield error
                return
            yield collate(samples, tokenizer, self.sides(batch)[1])
            batch += count * self.stride

    def sample(self, number: int) -> Sample:
        """Sample `number` of the run."""
        epoch, index = divmod(number, self.epoch_samples)
        chosen, picture_index = self.drawn(number)
        source = self.sources[chosen]
        rng = np.random.default_rng((self.seed, _SAMPLE, epoch, index))
        strength = source.augmentation
        picture = source.data.picture(picture_index, rng)
        if rng.random() < strength.copy_paste:
            donor = self._other(source, picture_index, picture, rng)
            picture = paste_objects(picture, donor, rng, strength)
        if rng.random() < strength.mosaic:
            others = [self._other(source, picture_index, picture, rng) for _ in range(3)]
            picture = mosaic([picture, *others], MOSAIC_SIDE)
        if strength.paste_foreign > 0.0 and rng.random() < strength.paste_foreign:
            picture = self._with_foreign(chosen, picture, rng)
        size, mask_side = self.sides(number // self.batch_size)
        sample = augmented_sample(picture, rng, size, mask_side, strength)
        sample = with_exemplars(sample, rng, source.exemplars)
        return paraphrased(sample, rng, source.paraphrase)

    def sides(self, batch: int) -> tuple[int, int]:
        """Of the pictures, pixels, and of the masks, cells, in this micro-batch."""
        sizes = self.image_sizes
        turn, place = divmod(batch // self.step_batches, len(sizes))
        if len(sizes) > 1:
            place = int(
                np.random.default_rng((self.seed, _SIZE, turn)).permutation(len(sizes))[place]
            )
        return sizes[place], sizes[place] * self.mask_side // self.image_size

    def drawn(self, number: int) -> tuple[int, int]:
        """Which source sample `number` comes from, and which of its pictures it is."""
        epoch, index = divmod(number, self.epoch_samples)
        if epoch not in self._epochs:
            weights = [source.weight for source in self.sources]
            self._epochs.clear()
            self._epochs[epoch] = plan_epoch(weights, self.epoch_samples, self.seed, epoch)
        plan = self._epochs[epoch]
        source, place = int(plan.source[index]), int(plan.place[index])
        length = self.sources[source].data.length
        if length is None:
            return source, place
        return source, int(self._permutation(source, place // length, length)[place % length])

    def _permutation(self, source: int, turn: int, length: int) -> NDArray[np.int64]:
        if (source, turn) not in self._permutations:
            rng = np.random.default_rng((self.seed, _PERMUTATION, source, turn))
            self._permutations.pop((source, turn - 2), None)
            self._permutations[source, turn] = rng.permutation(length)
        return self._permutations[source, turn]

    def _other(
        self, source: Source, index: int, picture: LabelledPicture, rng: np.random.Generator
    ) -> LabelledPicture:
        """Another picture of the source, asked the same."""
        length = source.data.length
        chosen = index if length is None else int(rng.integers(length))
        return source.data.picture(chosen, rng, picture.phrases)

    def _with_foreign(
        self, chosen: int, picture: LabelledPicture, rng: np.random.Generator
    ) -> LabelledPicture:
        """With objects of a source other than the picture's, drawn by weight."""
        source = self.sources[chosen]
        others = self.sources[:chosen] + self.sources[chosen + 1 :]
        shares = np.array([other.weight for other in others])
        for _ in range(DONORS if others else 0):
            data = others[rng.choice(len(others), p=shares / shares.sum())].data
            index = int(rng.integers(ENDLESS_EPOCH if data.length is None else data.length))
            made = paste_foreign(
                picture,
                data.picture(index, rng),
                rng,
                source.augmentation,
                withheld=source.withheld,
                related=source.related,
                max_phrases=source.max_phrases,
            )
            if made is not picture:
                return made
        return picture

"""Batches drawn from several data sets. A batch is a function of (seed, step)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from sam3_edge.errors import DatasetError
from sam3_edge.runtime.tokenizer import Tokenizer
from sam3_edge.training.augment import augmented_sample, mosaic
from sam3_edge.training.labelled import LabelledPicture, LabelledPictures
from sam3_edge.training.targets import Batch, Sample, collate

MOSAIC_SIDE = 320


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A data set and its share of the samples. mosaic: how often four pictures become one."""

    data: LabelledPictures
    weight: float
    mosaic: float = 0.0


class Mixture(IterableDataset[Batch | DatasetError]):
    """An endless stream of batches from `first_step` on, ended only by data that cannot be used.

    The error is yielded, not raised: raised in a worker, it would arrive as a traceback.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        seed: int,
        first_step: int,
        batch_size: int,
        image_size: int,
        mask_side: int,
    ) -> None:
        super().__init__()
        self.sources = tuple(sources)
        self.seed, self.first_step, self.batch_size = seed, first_step, batch_size
        self.image_size, self.mask_side = image_size, mask_side

    def __iter__(self) -> Iterator[Batch | DatasetError]:
        cv2.setNumThreads(1)  # The other processors are computing gradients.
        tokenizer = Tokenizer()
        worker = get_worker_info()
        step = self.first_step + (0 if worker is None else worker.id)
        stride = 1 if worker is None else worker.num_workers
        while True:
            first = step * self.batch_size
            try:
                samples = [self.sample(first + i) for i in range(self.batch_size)]
            except DatasetError as error:
                yield error
                return
            yield collate(samples, tokenizer, self.mask_side)
            step += stride

    def sample(self, index: int) -> Sample:
        """Sample number `index` of the run."""
        rng = np.random.default_rng((self.seed, index))
        weights = np.array([source.weight for source in self.sources])
        source = self.sources[int(rng.choice(len(weights), p=weights / weights.sum()))]
        picture = self._draw(source, index, rng)
        if rng.random() < source.mosaic:
            asked = picture.phrases
            others = [self._draw(source, index, rng, asked) for _ in range(3)]
            picture = mosaic([picture, *others], MOSAIC_SIDE)
        return augmented_sample(picture, rng, self.image_size, self.mask_side)

    def _draw(
        self,
        source: Source,
        index: int,
        rng: np.random.Generator,
        phrases: tuple[str, ...] | None = None,
    ) -> LabelledPicture:
        length = source.data.length
        chosen = index if length is None else int(rng.integers(length))
        return source.data.picture(chosen, rng, phrases)

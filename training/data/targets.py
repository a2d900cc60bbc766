"""What a picture is known to show, phrase by phrase, and how a batch of that looks."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam3_edge.runtime.tokenizer import Tokenizer
from sam3_edge.training.model.detector import ExemplarBoxes
from sam3_edge.training.model.outputs import NoisedBoxes


@dataclass(frozen=True, slots=True, kw_only=True)
class PhraseTarget:
    """One phrase asked about one picture, present or absent.

    boxes: (M, 4) float32, cxcywh in 0..1 of the square picture.
    masks: (K, h, w) float32, share of each cell covered, or None where only boxes are known.
    mask_object: (K,) int64, which objects the masks are of; None for all M in their order.
    ignore: (I, 4) float32, cxcywh in 0..1: places where neither yes nor no is wrong.
    exemplars: (E, 4) float32, cxcywh in 0..1: boxes shown together with the phrase.
    exemplar_labels: (E,) int64, 1 wanted, 0 not wanted.
    """

    text: str
    boxes: NDArray[np.float32]
    masks: NDArray[np.float32] | None
    ignore: NDArray[np.float32]
    mask_object: NDArray[np.int64] | None = None
    exemplars: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    exemplar_labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """image: (S, S, 3) uint8 RGB."""

    image: NDArray[np.uint8]
    phrases: tuple[PhraseTarget, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """The truth about N prompts, T objects in all, standing one after the other.

    boxes: (T, 4) cxcywh in 0..1. prompt: (T,) int64, which prompt each object belongs to.
    masks: (K, h, w) for the objects with one; mask_object: (K,) int64, which those are.
    ignore: (I, 4) cxcywh, ignore_prompt: (I,) int64. num_prompts: N.
    """

    boxes: Tensor
    prompt: Tensor
    masks: Tensor
    mask_object: Tensor
    ignore: Tensor
    ignore_prompt: Tensor
    num_prompts: int

    def present(self) -> Tensor:
        """(N,) float32, 1 where the prompt has an object."""
        present = torch.zeros(self.num_prompts, device=self.boxes.device)
        present[self.prompt] = 1.0
        return present

    def presence_known(self) -> Tensor:
        """(N,) float32, 0 where all that is there are objects to ignore."""
        known = torch.ones(self.num_prompts, device=self.boxes.device)
        known[self.ignore_prompt] = 0.0
        known[self.prompt] = 1.0
        return known


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """images: (B, S, S, 3) uint8. token_ids: (N, 32) int64. image_index: (N,) int64, ascending.

    exemplars: boxes shown with the prompts, or None where no prompt has any.
    noised: boxes to denoise, drawn anew in each step of training that has some.
    """

    images: Tensor
    token_ids: Tensor
    image_index: Tensor
    targets: Targets
    exemplars: ExemplarBoxes | None = None
    noised: NoisedBoxes | None = None


def collate(samples: Sequence[Sample], tokenizer: Tokenizer, mask_side: int) -> Batch:
    """mask_side: h = w, for a batch in which no object has a mask."""
    prompts = [(i, phrase) for i, sample in enumerate(samples) for phrase in sample.phrases]
    texts = [phrase.text for _, phrase in prompts]
    boxes, masks = [], [np.zeros((0, mask_side, mask_side), np.float32)]
    mask_object: list[int] = []
    count = 0
    for _, phrase in prompts:
        boxes.append(phrase.boxes)
        if phrase.masks is not None:
            masks.append(phrase.masks)
            mine = range(len(phrase.boxes)) if phrase.mask_object is None else phrase.mask_object
            mask_object.extend(count + int(one) for one in mine)
        count += len(phrase.boxes)
    return Batch(
        images=torch.from_numpy(np.stack([sample.image for sample in samples])),
        token_ids=torch.from_numpy(tokenizer.encode(texts)),
        image_index=torch.tensor([i for i, _ in prompts], dtype=torch.int64),
        targets=Targets(
            boxes=torch.from_numpy(np.concatenate(boxes)),
            prompt=_owners([len(phrase.boxes) for _, phrase in prompts]),
            masks=torch.from_numpy(np.concatenate(masks)),
            mask_object=torch.tensor(mask_object, dtype=torch.int64),
            ignore=torch.from_numpy(np.concatenate([phrase.ignore for _, phrase in prompts])),
            ignore_prompt=_owners([len(phrase.ignore) for _, phrase in prompts]),
            num_prompts=len(prompts),
        ),
        exemplars=_exemplars([phrase for _, phrase in prompts]),
    )


def _exemplars(phrases: Sequence[PhraseTarget]) -> ExemplarBoxes | None:
    """Side by side, padded to the largest number."""
    most = max(len(phrase.exemplars) for phrase in phrases)
    if most == 0:
        return None
    boxes = np.zeros((len(phrases), most, 4), dtype=np.float32)
    labels = np.zeros((len(phrases), most), dtype=np.int64)
    padding = np.ones((len(phrases), most), dtype=np.bool_)
    for row, phrase in enumerate(phrases):
        count = len(phrase.exemplars)
        boxes[row, :count], labels[row, :count] = phrase.exemplars, phrase.exemplar_labels
        padding[row, :count] = False
    return ExemplarBoxes(
        boxes=torch.from_numpy(boxes),
        labels=torch.from_numpy(labels),
        padding=torch.from_numpy(padding),
    )


def _owners(counts: list[int]) -> Tensor:
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts, dtype=torch.int64))

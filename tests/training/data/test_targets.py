"""A batch holds what its samples hold, in their order."""

from dataclasses import replace

import numpy as np
import torch

from sam3_edge.runtime.tokenizer import Tokenizer
from sam3_edge.training.data.targets import PhraseTarget, Sample, collate

SIDE = 8


def phrase(text: str, objects: int, *, masks: bool, ignore: int = 0) -> PhraseTarget:
    rng = np.random.default_rng(len(text) * 10 + objects)
    return PhraseTarget(
        text=text,
        boxes=rng.random((objects, 4), np.float32),
        masks=rng.random((objects, SIDE, SIDE), np.float32) if masks else None,
        ignore=rng.random((ignore, 4), np.float32),
    )


def sample(*phrases: PhraseTarget) -> Sample:
    return Sample(image=np.full((28, 28, 3), len(phrases), np.uint8), phrases=phrases)


def test_every_object_keeps_its_prompt_and_its_mask() -> None:
    first = sample(phrase("fish", 2, masks=False), phrase("shark", 0, masks=False))
    second = sample(phrase("fish", 1, masks=True, ignore=2), phrase("jellyfish", 3, masks=True))
    tokenizer = Tokenizer()
    batch = collate([first, second], tokenizer, SIDE)
    targets = batch.targets
    assert batch.images[:, 0, 0, 0].tolist() == [2, 2]
    assert batch.image_index.tolist() == [0, 0, 1, 1]
    texts = ["fish", "shark", "fish", "jellyfish"]
    assert np.array_equal(batch.token_ids.numpy(), tokenizer.encode(texts))
    assert targets.num_prompts == 4
    assert targets.prompt.tolist() == [0, 0, 2, 3, 3, 3]
    assert targets.mask_object.tolist() == [2, 3, 4, 5]
    assert targets.ignore_prompt.tolist() == [2, 2]
    assert targets.present().tolist() == [1.0, 0.0, 1.0, 1.0]
    for index, prompt in enumerate((*first.phrases, *second.phrases)):
        mine = targets.prompt == index
        assert np.array_equal(targets.boxes[mine].numpy(), prompt.boxes)
        if prompt.masks is not None:
            rows = torch.isin(targets.mask_object, torch.nonzero(mine)[:, 0])
            assert np.array_equal(targets.masks[rows].numpy(), prompt.masks)


def test_masks_of_some_objects_keep_their_objects() -> None:
    whole = phrase("shark", 3, masks=True)
    assert whole.masks is not None
    some = replace(whole, masks=whole.masks[:2], mask_object=np.array([0, 2]))
    batch = collate([sample(phrase("fish", 2, masks=False), some)], Tokenizer(), SIDE)
    assert batch.targets.mask_object.tolist() == [2, 4]
    assert np.array_equal(batch.targets.masks.numpy(), whole.masks[:2])


def test_only_something_to_ignore_is_neither_present_nor_absent() -> None:
    one = sample(phrase("fish", 0, masks=True, ignore=1), phrase("shark", 0, masks=True))
    targets = collate([one], Tokenizer(), SIDE).targets
    assert targets.present().tolist() == [0.0, 0.0]
    assert targets.presence_known().tolist() == [0.0, 1.0]


def test_a_batch_without_any_object() -> None:
    targets = collate([sample(phrase("fish", 0, masks=False))], Tokenizer(), SIDE).targets
    assert targets.boxes.shape == (0, 4)
    assert targets.masks.shape == (0, SIDE, SIDE)
    assert targets.prompt.dtype == targets.mask_object.dtype == torch.int64

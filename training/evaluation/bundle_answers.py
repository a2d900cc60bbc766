"""What a bundle answers, through the engine, preprocessing and decoding that `sam3-edge run` uses."""

from collections.abc import Iterable, Iterator

import numpy as np

from sam3_edge.engines.backend import Backend, Pending
from sam3_edge.engines.text_prompts import text_only_prompts
from sam3_edge.runtime.preprocess import preprocess
from sam3_edge.runtime.tokenizer import Tokenizer
from sam3_edge.training.evaluation.answers import Answer
from sam3_edge.training.evaluation.pictures import JudgedPicture
from sam3_edge.training.evaluation.raw_answers import raw_answers


def bundle_answers(
    backend: Backend,
    num_exemplars: int,
    phrases: tuple[str, ...],
    pictures: Iterable[JudgedPicture],
    *,
    masks: bool = True,
) -> Iterator[Answer]:
    """Every phrase asked about every picture, whose `phrases` are these.

    num_exemplars: of the bundle's model. masks: judge those too, where they are known.
    A picture is read and prepared while the engine works on the one before it. Raises EngineError.
    """
    prompts = text_only_prompts(backend.encode_text(Tokenizer().encode(phrases)), num_exemplars)
    before: tuple[Pending, JudgedPicture] | None = None
    number = 0
    for index, picture in enumerate(pictures):
        slot = index % backend.num_slots
        preprocess(np.ascontiguousarray(picture.image[:, :, ::-1]), backend.image_slot(slot))
        submitted = backend.submit(slot, prompts), picture
        if before is not None:
            yield from raw_answers(before[0].result(), before[1], number, masks=masks)
            number += 1
        before = submitted
    if before is not None:
        yield from raw_answers(before[0].result(), before[1], number, masks=masks)

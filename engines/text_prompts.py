"""Prompts made of words alone, as the decoder graph takes them."""

import numpy as np

from sam3_edge.engines.backend import PromptBatch, TextFeatures


def text_only_prompts(text: TextFeatures, num_exemplars: int) -> PromptBatch:
    """P prompts whose E exemplar slots are empty and masked; the image token is attended to."""
    num_prompts, num_tokens, width = text.features.shape
    mask = np.ones((num_prompts, num_tokens + 1 + num_exemplars), dtype=np.bool_)
    mask[:, :num_tokens] = text.mask
    mask[:, num_tokens] = False
    return PromptBatch(
        text_features=text.features,
        exemplar_features=np.zeros((num_prompts, num_exemplars, width), dtype=np.float32),
        prompt_mask=mask,
    )

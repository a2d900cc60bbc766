"""Which query of one decoder is which of another's.

Queries are a set: where they are proposals, a rounding swaps two of them in TopK, or puts another
one in the last place. So each is compared with its twin, and those without one are counted: that
count has a limit of its own, so that nothing wrong hides behind it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3_edge.export.assignment import best_pairs

# Share of the picture. FP16 moves 99.9 % of the default model's boxes by less than 0.001, and some
# beside a changed proposal by 0.03; a twin that TopK left out is 0.1 and more away.
_SAME_BOX = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryTwins:
    """K pairs of the P * Q queries. prompts, queries, twins: (K,) indices.

    num_queries: P * Q. Those of them in no pair have no twin.
    """

    prompts: NDArray[np.intp]
    queries: NDArray[np.intp]
    twins: NDArray[np.intp]
    num_queries: int

    @property
    def num_without(self) -> int:
        return self.num_queries - len(self.queries)


def query_twins(
    expected: Mapping[str, NDArray[Any]], got: Mapping[str, NDArray[Any]]
) -> QueryTwins:
    """Pair by box and score, one to one within a prompt. Both: `logits` and `boxes` of a decoder.

    A twin's box is the same; its logit may be anything. What is not finite stays in its place.
    """
    num_prompts, num_queries = expected["logits"].shape
    chosen = [_of_prompt(expected, got, prompt) for prompt in range(num_prompts)]
    return QueryTwins(
        prompts=np.repeat(np.arange(num_prompts), [len(queries) for queries, _ in chosen]),
        queries=np.concatenate([queries for queries, _ in chosen]),
        twins=np.concatenate([twins for _, twins in chosen]),
        num_queries=num_prompts * num_queries,
    )


def _of_prompt(
    expected: Mapping[str, NDArray[Any]], got: Mapping[str, NDArray[Any]], prompt: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    boxes, others = (x["boxes"][prompt].astype(np.float64) for x in (expected, got))
    scores, their_scores = (_sigmoid(x["logits"][prompt]) for x in (expected, got))
    apart = np.abs(boxes[:, None] - others).max(axis=-1)
    cost = apart + np.abs(scores[:, None] - their_scores)
    if not np.isfinite(cost).all():
        place = np.arange(len(scores))
        return place, place
    queries, twins = best_pairs(cost)
    same = apart[queries, twins] <= _SAME_BOX
    return queries[same], twins[same]


def _sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    return 0.5 + 0.5 * np.tanh(0.5 * logits.astype(np.float64))

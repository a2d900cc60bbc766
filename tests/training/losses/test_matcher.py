"""The assignment is the cheapest there is, whatever the order, and says so when there is none."""

import math
from itertools import permutations

import pytest
import torch
from torch import Tensor

from sam3_edge.errors import TrainingError
from sam3_edge.training.config.schema import MatcherSection
from sam3_edge.training.data.targets import Targets
from sam3_edge.training.losses.matcher import Matches, match, pair_cost

LAYERS, PROMPTS, QUERIES = 2, 3, 5
COSTS = MatcherSection()


def random_boxes(*shape: int) -> Tensor:
    return torch.rand(*shape, 4) * 0.4 + 0.2


def targets_with(prompt: list[int]) -> Targets:
    return Targets(
        boxes=random_boxes(len(prompt)),
        prompt=torch.tensor(prompt, dtype=torch.int64),
        masks=torch.zeros(0, 8, 8),
        mask_object=torch.zeros(0, dtype=torch.int64),
        ignore=torch.zeros(0, 4),
        ignore_prompt=torch.zeros(0, dtype=torch.int64),
        num_prompts=PROMPTS,
    )


def prediction() -> tuple[Tensor, Tensor]:
    return torch.randn(LAYERS, PROMPTS, QUERIES), random_boxes(LAYERS, PROMPTS, QUERIES)


@pytest.mark.parametrize("seed", range(5))
def test_no_assignment_is_cheaper(seed: int) -> None:
    torch.manual_seed(seed)
    logits, boxes = prediction()
    targets = targets_with([0, 0, 0, 2, 2])
    found = match(logits, boxes, targets, COSTS)
    for layer in range(LAYERS):
        for prompt, objects in ((0, [0, 1, 2]), (2, [3, 4])):
            cost = pair_cost(logits[:, prompt], boxes[:, prompt], targets.boxes[objects], COSTS)[
                layer
            ]
            cheapest = min(
                sum(float(cost[q, t]) for t, q in enumerate(queries))
                for queries in permutations(range(QUERIES), len(objects))
            )
            mine = (found.layer == layer) & (found.prompt == prompt)
            paid = cost[found.query[mine], found.target[mine] - objects[0]].sum()
            assert float(paid) == pytest.approx(cheapest, abs=1e-5)
            assert sorted(found.target[mine].tolist()) == objects


def test_a_query_answers_for_one_object_only() -> None:
    torch.manual_seed(0)
    logits, boxes = prediction()
    found = match(logits, boxes, targets_with([0] * 4 + [1] * 3), COSTS)
    answers = list(
        zip(found.layer.tolist(), found.prompt.tolist(), found.query.tolist(), strict=True)
    )
    assert len(set(answers)) == len(answers) == LAYERS * 7


def test_a_shuffle_of_the_queries_shuffles_the_answer() -> None:
    torch.manual_seed(1)
    logits, boxes = prediction()
    targets = targets_with([0, 0, 1, 2])
    order = torch.randperm(QUERIES)
    plain = match(logits, boxes, targets, COSTS)
    shuffled = match(logits[..., order], boxes[:, :, order], targets, COSTS)
    assert torch.equal(order[shuffled.query], plain.query[_same_rows(plain, shuffled)])


def _same_rows(plain: Matches, shuffled: Matches) -> Tensor:
    """For each pair of `shuffled`, where the pair of that layer and object is in `plain`."""
    rows = {
        key: i
        for i, key in enumerate(zip(plain.layer.tolist(), plain.target.tolist(), strict=True))
    }
    keys = zip(shuffled.layer.tolist(), shuffled.target.tolist(), strict=True)
    return torch.tensor([rows[key] for key in keys])


def test_nothing_to_find_gives_no_pairs() -> None:
    logits, boxes = prediction()
    assert match(logits, boxes, targets_with([]), COSTS).query.shape == (0,)


def test_more_objects_than_queries_leaves_some_out() -> None:
    logits, boxes = prediction()
    assert (
        len(match(logits, boxes, targets_with([1] * (QUERIES + 2)), COSTS).query)
        == LAYERS * QUERIES
    )


@pytest.mark.parametrize(("tensor", "bad"), [("logits", float("nan")), ("boxes", float("inf"))])
def test_a_cost_that_is_no_number_names_its_tensor(tensor: str, bad: float) -> None:
    logits, boxes = prediction()
    {"logits": logits, "boxes": boxes}[tensor][0, 1, 2] = bad
    count = {"logits": 1, "boxes": 4}[tensor]
    with pytest.raises(
        TrainingError, match=rf"finite {tensor}, got {count} of .*; lower"
    ) as caught:
        match(logits, boxes, targets_with([0]), COSTS)
    assert "\n" not in str(caught.value)


def test_cost_of_a_known_pair() -> None:
    boxes = torch.tensor([[[0.2, 0.5, 0.2, 0.2]]])
    wanted = torch.tensor([[0.2, 0.5, 0.2, 0.2], [0.6, 0.5, 0.2, 0.2]])
    # At p = 0.5 the focal terms differ by (0.25 - 0.75) p^2 ln 2; apart, GIoU is -1/3, L1 0.4.
    known = 2.0 * (0.25 - 0.75) * 0.25 * math.log(2.0)
    cost = pair_cost(torch.zeros(1, 1), boxes, wanted, COSTS)[0, 0]
    assert cost.tolist() == pytest.approx([known - 2.0, known + 5.0 * 0.4 + 2.0 / 3.0], abs=1e-4)
    surer = pair_cost(torch.ones(1, 1), boxes, wanted, COSTS)[0, 0]
    assert bool((surer < cost).all())

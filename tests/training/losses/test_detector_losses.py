"""Every loss against a plain reference, one prompt and one query at a time, and its invariants."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sam3_edge.training.config.schema import LossSection, MatcherSection, OneToManySection
from sam3_edge.training.data.targets import Targets
from sam3_edge.training.losses.box_ops import iou_and_giou
from sam3_edge.training.losses.detector_losses import (
    classification_loss,
    detector_losses,
    presence_loss,
    presence_weights,
)
from sam3_edge.training.losses.loss_counts import target_counts
from sam3_edge.training.losses.mask_losses import (
    box_shadow,
    dice_loss,
    mask_losses,
    projection_loss,
    semantic_loss,
    sigmoid_focal_loss,
)
from sam3_edge.training.losses.matcher import match
from sam3_edge.training.losses.one_to_many import match_many
from sam3_edge.training.losses.proposal_losses import box_losses, center_heat, proposal_losses
from sam3_edge.training.model.outputs import DetectorOutput, ProposalOutput, TwinOutput
from tests.training.given_masks import given_masks

LAYERS, PROMPTS, QUERIES, SIDE, GRID, WIDTH = 2, 4, 6, 8, 7, 5
COSTS, WEIGHTS = MatcherSection(), LossSection(contrastive=1.0)


def value(scalar: Tensor) -> float:
    return float(scalar.detach())


def random_boxes(*shape: int) -> Tensor:
    return torch.rand(*shape, 4) * 0.4 + 0.2


@pytest.fixture
def output() -> DetectorOutput:
    torch.manual_seed(0)
    return DetectorOutput(
        logits=torch.randn(LAYERS, PROMPTS, QUERIES, requires_grad=True),
        presence=torch.randn(LAYERS, PROMPTS, 1, requires_grad=True),
        boxes=random_boxes(LAYERS, PROMPTS, QUERIES).requires_grad_(),
        query_masks=given_masks(torch.randn(PROMPTS, QUERIES, SIDE, SIDE, requires_grad=True)),
        semantic=torch.randn(PROMPTS, 1, SIDE, SIDE, requires_grad=True),
        proposals=ProposalOutput(
            logits=torch.randn(PROMPTS, GRID, GRID, requires_grad=True),
            boxes=random_boxes(PROMPTS, GRID, GRID).requires_grad_(),
        ),
        twins=TwinOutput(
            logits=(torch.randn(LAYERS, PROMPTS, QUERIES) + 3.0).requires_grad_(),
            boxes=random_boxes(LAYERS, PROMPTS, QUERIES).requires_grad_(),
        ),
        image_embedding=torch.randn(PROMPTS, WIDTH, requires_grad=True),
        prompt_embedding=torch.randn(PROMPTS, WIDTH, requires_grad=True),
    )


def losses(
    output: DetectorOutput, targets: Targets, weights: LossSection = WEIGHTS
) -> dict[str, Tensor]:
    return detector_losses(output, targets, weights, target_counts(targets))


@pytest.fixture
def targets() -> Targets:
    """Prompt 0 has two objects with masks, 1 one without, 2 nothing, 3 only one to ignore."""
    torch.manual_seed(1)
    return Targets(
        boxes=random_boxes(3),
        prompt=torch.tensor([0, 0, 1]),
        masks=(torch.rand(2, SIDE, SIDE) > 0.5).float(),
        mask_object=torch.tensor([0, 1]),
        ignore=torch.tensor([[0.5, 0.5, 0.6, 0.6]]),
        ignore_prompt=torch.tensor([3]),
        num_prompts=PROMPTS,
    )


def nothing_to_find() -> Targets:
    return Targets(
        boxes=torch.zeros(0, 4),
        prompt=torch.zeros(0, dtype=torch.int64),
        masks=torch.zeros(0, SIDE, SIDE),
        mask_object=torch.zeros(0, dtype=torch.int64),
        ignore=torch.zeros(0, 4),
        ignore_prompt=torch.zeros(0, dtype=torch.int64),
        num_prompts=PROMPTS,
    )


def test_box_losses_of_known_boxes() -> None:
    boxes = torch.tensor([[0.5, 0.5, 0.2, 0.2], [0.2, 0.5, 0.2, 0.2]])
    wanted = torch.tensor([[0.5, 0.5, 0.2, 0.2], [0.6, 0.5, 0.2, 0.2]])
    l1, giou, iou = box_losses(boxes, wanted)
    # The second pair is one box apart: hull 0.6 x 0.2, union two thirds of it, so GIoU is -1/3.
    assert value(l1) == pytest.approx(0.4)
    assert value(giou) == pytest.approx(4.0 / 3.0, abs=1e-5)
    assert iou.tolist() == pytest.approx([1.0, 0.0], abs=1e-5)


def test_giou_is_between_minus_one_and_iou() -> None:
    torch.manual_seed(0)
    a, b = (torch.rand(500, 2, 2).sort(dim=1).values.flatten(1) for _ in range(2))
    iou, giou = iou_and_giou(a, b)
    assert bool(((giou <= iou + 1e-6) & (giou >= -1.0) & (iou >= 0.0) & (iou <= 1.0)).all())


def test_classification_is_iou_aware_and_ignores_what_is_to_be_ignored(
    output: DetectorOutput, targets: Targets
) -> None:
    matches = match(output.logits, output.boxes, targets, COSTS)
    iou = torch.rand(len(matches.query))
    ignored = torch.rand(LAYERS, PROMPTS, QUERIES) < 0.3
    answers = {
        key: v.item()
        for key, v in zip(
            zip(
                matches.layer.tolist(), matches.prompt.tolist(), matches.query.tolist(), strict=True
            ),
            iou,
            strict=True,
        )
    }
    expected = 0.0
    for layer in range(LAYERS):
        for prompt in range(PROMPTS):
            for query in range(QUERIES):
                p = 1.0 / (1.0 + math.exp(-output.logits[layer, prompt, query].item()))
                quality = answers.get((layer, prompt, query))
                if quality is not None:
                    t = p**0.25 * max(quality, 0.01) ** 0.75
                    expected -= 10.0 * (t * math.log(p) + (1.0 - t) * math.log(1.0 - p))
                elif not ignored[layer, prompt, query]:
                    expected -= p**2 * math.log(1.0 - p)
    got = classification_loss(output.logits, matches, iou, ignored, pos_weight=10.0)
    assert value(got) == pytest.approx(expected, rel=1e-4)


def test_presence_is_asked_only_where_the_answer_is_known(
    output: DetectorOutput, targets: Targets
) -> None:
    wanted = {0: 1.0, 1: 1.0, 2: 0.0}  # prompt 3 shows nothing but an object to ignore
    expected = sum(
        value(
            F.binary_cross_entropy_with_logits(output.presence[layer, prompt, 0], torch.tensor(t))
        )
        for layer in range(LAYERS)
        for prompt, t in wanted.items()
    )
    got = presence_loss(output.presence, targets)
    assert value(got) == pytest.approx(expected / 2.0, rel=1e-5)


def test_a_balance_makes_both_sides_of_presence_weigh_the_same() -> None:
    """However many phrases are absent: at logit 0 each side's gradient is the same."""
    one_of_four = replace(
        nothing_to_find(), boxes=random_boxes(1), prompt=torch.zeros(1, dtype=torch.int64)
    )
    counts = target_counts(one_of_four)
    gradients = {}
    for balance in (0.0, 0.5, 1.0):
        presence = torch.zeros(LAYERS, PROMPTS, 1, requires_grad=True)
        weights = presence_weights(counts, balance)
        loss = presence_loss(presence, one_of_four, *weights)
        loss.backward()  # type: ignore[no-untyped-call]
        # What all weigh together is as before.
        assert value(loss) == pytest.approx(0.5 * LAYERS * PROMPTS * math.log(2.0))
        assert presence.grad is not None
        gradients[balance] = [
            value(side.abs().sum()) for side in (presence.grad[:, :1], presence.grad[:, 1:])
        ]
    assert gradients[0.0][1] == pytest.approx(3.0 * gradients[0.0][0])
    assert gradients[1.0][1] == pytest.approx(gradients[1.0][0])
    assert gradients[0.0][0] < gradients[0.5][0] < gradients[1.0][0]
    assert presence_weights(counts, 0.0) == (1.0, 1.0)


def test_a_step_without_either_side_of_presence_is_finite() -> None:
    absent = target_counts(nothing_to_find())
    assert presence_weights(absent, 1.0)[1] == pytest.approx(0.5)
    present = replace(absent, present=absent.known)
    assert presence_weights(present, 1.0)[0] == pytest.approx(0.5)


def test_mask_losses_count_last_layer_and_objects_with_a_mask(
    output: DetectorOutput, targets: Targets
) -> None:
    matches = match(output.logits, output.boxes, targets, COSTS)
    focal, dice = mask_losses(output.query_masks, matches, targets, layer=LAYERS - 1)
    expected_focal = expected_dice = 0.0
    for layer, prompt, query, target in zip(
        *(t.tolist() for t in (matches.layer, matches.prompt, matches.query, matches.target)),
        strict=True,
    ):
        if layer == LAYERS - 1 and target in (0, 1):
            logits, wanted = output.masks[prompt, query], targets.masks[target]
            p = logits.sigmoid()
            right = torch.where(wanted == 1.0, p, 1.0 - p)
            side = torch.where(wanted == 1.0, 0.25, 0.75)
            expected_focal += value((-side * (1.0 - right) ** 2 * right.log()).mean())
            overlap = value((p * wanted).sum())
            expected_dice += 1.0 - (2.0 * overlap + 1.0) / value(p.sum() + wanted.sum() + 1.0)
    assert value(focal) == pytest.approx(expected_focal, rel=1e-4)
    assert value(dice) == pytest.approx(expected_dice, rel=1e-4)
    parts = losses(output, targets, LossSection(mask_focal=3.0, mask_dice=5.0))
    assert value(parts["mask_focal"]) == pytest.approx(3.0 * expected_focal / 2.0, rel=1e-4)
    assert value(parts["mask_dice"]) == pytest.approx(5.0 * expected_dice / 2.0, rel=1e-4)


def test_a_perfect_mask_costs_nothing() -> None:
    wanted = (torch.rand(3, SIDE, SIDE) > 0.5).float()
    logits = (wanted * 2.0 - 1.0) * 50.0
    assert value(sigmoid_focal_loss(logits, wanted)) == pytest.approx(0.0, abs=1e-6)
    assert value(dice_loss(logits, wanted)) == pytest.approx(0.0, abs=1e-6)


def test_semantic_loss_leaves_out_prompts_whose_masks_are_unknown(
    output: DetectorOutput, targets: Targets
) -> None:
    assert output.semantic is not None
    union = targets.masks.amax(dim=0)
    empty = torch.zeros(2, SIDE, SIDE)
    chosen, wanted = output.semantic[[0, 2, 3], 0], torch.cat((union[None], empty))
    expected = sigmoid_focal_loss(chosen, wanted) + dice_loss(chosen, wanted)
    assert value(semantic_loss(output.semantic, targets)) == pytest.approx(
        value(expected), rel=1e-5
    )


def test_heat_is_one_at_every_centre_and_falls_off(targets: Targets) -> None:
    heat, column, row = center_heat(targets, GRID)
    assert heat[targets.prompt, row, column].tolist() == [1.0, 1.0, 1.0]
    assert int((heat == 1.0).sum()) == 3
    assert not heat[2:].any()
    for box, prompt in zip(targets.boxes, targets.prompt.tolist(), strict=True):
        x, y = (int(v * GRID) for v in box[:2])
        assert value(heat[prompt, y, x]) == 1.0


def test_proposals_learn_centres_but_not_inside_what_is_to_be_ignored(
    output: DetectorOutput, targets: Targets
) -> None:
    assert output.proposals is not None
    center, l1, giou = proposal_losses(output.proposals, targets)
    center.backward()  # type: ignore[no-untyped-call]
    gradient = output.proposals.logits.grad
    assert gradient is not None
    _, column, row = center_heat(targets, GRID)
    assert bool((gradient[targets.prompt, row, column] < 0.0).all())
    assert bool((gradient[2] > 0.0).all())
    assert not gradient[3, 2:5, 2:5].any()
    assert bool((gradient[3, 0] > 0.0).all())
    at_centres = output.proposals.boxes[targets.prompt, row, column]
    expected_l1, expected_giou, _ = box_losses(at_centres, targets.boxes)
    assert value(l1) == pytest.approx(value(expected_l1))
    assert value(giou) == pytest.approx(value(expected_giou))


def test_unmatched_queries_in_an_ignored_region_are_left_alone(
    output: DetectorOutput, targets: Targets
) -> None:
    with torch.no_grad():
        output.boxes[:, 3, :3] = torch.tensor([0.5, 0.5, 0.3, 0.3])
        output.boxes[:, 3, 3:] = torch.tensor([0.1, 0.1, 0.1, 0.1])
    losses(output, targets, LossSection(decoupled=False))["ce"].backward()  # type: ignore[no-untyped-call]
    gradient = output.logits.grad
    assert gradient is not None
    assert not gradient[:, 3, :3].any()
    assert bool((gradient[:, 3, 3:] > 0.0).all())


def test_order_of_queries_and_prompts_does_not_matter(
    output: DetectorOutput, targets: Targets
) -> None:
    before = losses(output, targets)
    queries, prompts = torch.randperm(QUERIES), torch.randperm(PROMPTS)
    place = prompts.argsort()
    assert output.semantic is not None
    assert output.proposals is not None
    assert output.twins is not None
    shuffled = DetectorOutput(
        logits=output.logits[:, prompts][..., queries],
        presence=output.presence[:, prompts],
        boxes=output.boxes[:, prompts][:, :, queries],
        query_masks=given_masks(output.masks[prompts][:, queries]),
        semantic=output.semantic[prompts],
        proposals=ProposalOutput(
            logits=output.proposals.logits[prompts], boxes=output.proposals.boxes[prompts]
        ),
        twins=TwinOutput(
            logits=output.twins.logits[:, prompts][..., queries],
            boxes=output.twins.boxes[:, prompts][:, :, queries],
        ),
        image_embedding=output.image_embedding[prompts],
        prompt_embedding=output.prompt_embedding[prompts],
    )
    moved = replace(
        targets, prompt=place[targets.prompt], ignore_prompt=place[targets.ignore_prompt]
    )
    after = losses(shuffled, moved)
    assert before.keys() == after.keys()
    for name, part in before.items():
        assert value(after[name]) == pytest.approx(value(part), rel=1e-4), name


def test_nothing_to_find_still_teaches_absence(output: DetectorOutput) -> None:
    parts = losses(output, nothing_to_find(), LossSection(decoupled=False))
    total = torch.stack(list(parts.values())).sum()
    total.backward()  # type: ignore[no-untyped-call]
    assert math.isfinite(value(total))
    assert value(parts["bbox"]) == value(parts["giou"]) == value(parts["mask_dice"]) == 0.0
    assert output.presence.grad is not None
    assert output.logits.grad is not None
    assert bool((output.presence.grad > 0.0).all())
    assert bool((output.logits.grad > 0.0).all())


def test_losses_are_float32_whatever_the_output_is(
    output: DetectorOutput, targets: Targets
) -> None:
    halves = replace(
        output,
        logits=output.logits.bfloat16(),
        presence=output.presence.bfloat16(),
        query_masks=given_masks(output.masks.bfloat16()),
    )
    parts = losses(halves, targets)
    assert {part.dtype for part in parts.values()} == {torch.float32}


def test_every_output_gets_a_gradient(output: DetectorOutput, targets: Targets) -> None:
    parts = losses(output, targets)
    torch.stack(list(parts.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert output.semantic is not None
    assert output.proposals is not None
    assert output.twins is not None
    for tensor in (
        output.logits, output.presence, output.boxes, output.query_masks.pixels, output.semantic,
        output.proposals.logits, output.proposals.boxes, output.twins.logits, output.twins.boxes,
        output.image_embedding, output.prompt_embedding,
    ):  # fmt: skip
        assert tensor.grad is not None
        assert bool(torch.isfinite(tensor.grad).all())
        assert bool(tensor.grad.any())


def test_absent_phrases_teach_presence_alone_where_that_is_decoupled(
    output: DetectorOutput, targets: Targets
) -> None:
    losses(output, targets)["ce"].backward()  # type: ignore[no-untyped-call]
    assert output.logits.grad is not None
    assert not output.logits.grad[:, 2:].any()
    assert bool(output.logits.grad[:, :2].all())


def test_class_losses_are_divided_by_queries_as_in_sam3_or_by_objects(
    output: DetectorOutput, targets: Targets
) -> None:
    by_queries = losses(output, targets, LossSection(ce_over="queries"))["ce"]
    by_objects = losses(output, targets, LossSection(ce_over="objects"))["ce"]
    assert value(by_queries) * PROMPTS * QUERIES == pytest.approx(value(by_objects) * 3.0, rel=1e-5)


def test_losses_of_parts_of_a_batch_add_up_to_those_of_the_whole(
    output: DetectorOutput, targets: Targets
) -> None:
    """With counts over everything, accumulation and several processes change nothing."""
    whole = losses(output, targets)
    counts = target_counts(targets)
    halves = [part_of(output, targets, slice(0, 1)), part_of(output, targets, slice(1, PROMPTS))]
    each = [target_counts(part) for _, part in halves]
    assert each[0] + each[1] == counts
    parts = [detector_losses(out, part, WEIGHTS, counts) for out, part in halves]
    for name, expected in whole.items():
        assert sum(value(p[name]) for p in parts) == pytest.approx(value(expected), rel=1e-4), name


def part_of(
    output: DetectorOutput, targets: Targets, prompts: slice
) -> tuple[DetectorOutput, Targets]:
    """What belongs to some prompts, numbered anew."""
    assert output.semantic is not None
    assert output.proposals is not None
    assert output.twins is not None
    first, stop = prompts.start, prompts.stop
    mine = (targets.prompt >= first) & (targets.prompt < stop)
    ignored = (targets.ignore_prompt >= first) & (targets.ignore_prompt < stop)
    masked = mine[targets.mask_object]
    place = mine.long().cumsum(0) - 1
    return (
        DetectorOutput(
            logits=output.logits[:, prompts],
            presence=output.presence[:, prompts],
            boxes=output.boxes[:, prompts],
            query_masks=given_masks(output.masks[prompts]),
            semantic=output.semantic[prompts],
            proposals=ProposalOutput(
                logits=output.proposals.logits[prompts], boxes=output.proposals.boxes[prompts]
            ),
            twins=TwinOutput(
                logits=output.twins.logits[:, prompts], boxes=output.twins.boxes[:, prompts]
            ),
            image_embedding=output.image_embedding[prompts],
            prompt_embedding=output.prompt_embedding[prompts],
        ),
        Targets(
            boxes=targets.boxes[mine],
            prompt=targets.prompt[mine] - first,
            masks=targets.masks[masked],
            mask_object=place[targets.mask_object[masked]],
            ignore=targets.ignore[ignored],
            ignore_prompt=targets.ignore_prompt[ignored] - first,
            num_prompts=stop - first,
        ),
    )


def test_a_box_throws_its_share_of_every_cell() -> None:
    shadow = box_shadow(torch.tensor([[0.25, 0.625], [0.0, 1.0], [0.5, 0.5]]), 4)
    assert shadow.tolist() == [[0.0, 1.0, 0.5, 0.0], [1.0] * 4, [0.0] * 4]


def test_projection_asks_of_boxes_only_that_the_mask_fills_them(
    output: DetectorOutput, targets: Targets
) -> None:
    """Any mask that touches all four sides of its box, and nothing outside, will do."""
    matches = match(output.logits, output.boxes, targets, COSTS)
    targets = replace(targets, boxes=targets.boxes.clone())
    targets.boxes[2] = torch.tensor([0.5, 0.5, 0.5, 0.5])
    (place,) = torch.nonzero((matches.layer == LAYERS - 1) & (matches.target == 2))[:, 0].tolist()
    masks = torch.full((PROMPTS, QUERIES, SIDE, SIDE), -50.0)
    diagonal = torch.arange(2, 6)
    masks[matches.prompt[place], matches.query[place], diagonal, diagonal] = 50.0
    assert value(
        projection_loss(given_masks(masks), matches, targets, LAYERS - 1)
    ) == pytest.approx(0.0, abs=1e-5)
    masks[..., 0, 0] = 50.0
    assert value(projection_loss(given_masks(masks), matches, targets, LAYERS - 1)) > 0.1


def test_twins_answer_for_the_object_they_fit_best(targets: Targets) -> None:
    rule = OneToManySection(top_k=2, threshold=0.4)
    boxes = targets.boxes[[0, 0, 0, 1, 2, 0]].expand(LAYERS, PROMPTS, QUERIES, 4).contiguous()
    logits = torch.tensor([3.0, 5.0, 4.0, 5.0, 5.0, -20.0]).expand(LAYERS, PROMPTS, QUERIES)
    found = match_many(logits, boxes, targets, rule)
    of_first = found.query[(found.layer == 0) & (found.target == 0)].tolist()
    assert sorted(of_first) == [1, 2]  # the best two of three, and not the one without a score
    assert found.query[(found.layer == 1) & (found.target == 1)].tolist() == [3]
    assert set(zip(found.prompt.tolist(), found.target.tolist(), strict=True)) == {
        (0, 0), (0, 1), (1, 2),
    }  # fmt: skip
    answers = list(
        zip(found.layer.tolist(), found.prompt.tolist(), found.query.tolist(), strict=True)
    )
    assert len(answers) == len(set(answers))


def test_contrast_draws_a_picture_to_its_phrases_and_from_the_others(
    output: DetectorOutput, targets: Targets
) -> None:
    losses(output, targets)["contrastive"].backward()  # type: ignore[no-untyped-call]
    assert output.image_embedding.grad is not None
    towards = (output.image_embedding.grad * output.prompt_embedding).sum(dim=1)
    assert bool((towards[:2] < 0.0).all())
    assert value(towards[2]) > 0.0
    assert value(towards[3]) == 0.0

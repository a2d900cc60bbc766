"""Denoising queries: what they start from, what they owe, and that nobody else hears of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from sam3_edge.training.config.schema import DenoisingSection, LossSection
from sam3_edge.training.data.targets import Targets
from sam3_edge.training.freeze import unchanged_state
from sam3_edge.training.losses.box_ops import iou_and_giou
from sam3_edge.training.losses.denoising import denoising_losses, noised_boxes, with_noise
from sam3_edge.training.losses.loss_counts import target_counts
from sam3_edge.training.model.config import preset
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.layers import cxcywh_to_xyxy
from sam3_edge.training.model.outputs import DetectorOutput, NoisedBoxes, NoisedOutput
from sam3_edge.training.objective import MicroBatch, Objective, probe_batch

SECTION = DenoisingSection(weight=1.0, queries=12, groups=2, box_noise=0.4)
COUNTS = [0, 1, 4, 9]  # objects of each prompt
CPU = torch.device("cpu")


@pytest.fixture
def targets() -> Targets:
    torch.manual_seed(0)
    total = sum(COUNTS)
    return Targets(
        boxes=torch.cat((torch.rand(total, 2) * 0.8 + 0.1, torch.rand(total, 2) * 0.1 + 0.02), 1),
        prompt=torch.arange(len(COUNTS)).repeat_interleave(torch.tensor(COUNTS)),
        masks=torch.zeros(0, 8, 8),
        mask_object=torch.zeros(0, dtype=torch.int64),
        ignore=torch.zeros(0, 4),
        ignore_prompt=torch.zeros(0, dtype=torch.int64),
        num_prompts=len(COUNTS),
    )


def drawn(targets: Targets, section: DenoisingSection = SECTION) -> NoisedBoxes:
    found = noised_boxes(targets, section)
    assert found is not None
    return found


def test_a_prompt_asks_of_its_own_objects_and_no_more_than_it_may(targets: Targets) -> None:
    found = drawn(targets)
    assert found.boxes.shape == found.wanted.shape == (4, 12, 4)
    for prompt, objects in enumerate(COUNTS):
        asked = found.positive[prompt] & (found.share[prompt] > 0.0)
        # Twice each, as long as there is room for six; of nine, six at random.
        assert int(asked.sum()) == {0: 0, 1: 2, 4: 4, 9: 6}[objects]
        own = {tuple(box) for box in targets.boxes[targets.prompt == prompt].tolist()}
        wanted = [tuple(box) for box in found.wanted[prompt][asked].tolist()]
        assert set(wanted) <= own
        assert len(set(wanted)) == min(objects, 6)
        # However many queries there are, they weigh as much as there are objects.
        assert float(found.share[prompt][asked].sum()) == pytest.approx(objects)


def test_nothing_to_find_is_nothing_to_denoise(targets: Targets) -> None:
    none = replace(targets, boxes=targets.boxes[:0], prompt=targets.prompt[:0])
    assert noised_boxes(none, SECTION) is None


def test_edges_move_as_far_as_is_said() -> None:
    torch.manual_seed(0)
    boxes = torch.tensor([0.5, 0.5, 0.2, 0.1]).expand(1, 500, 4)
    positive = torch.arange(500)[None] < 250
    moved = cxcywh_to_xyxy(with_noise(boxes, positive, 0.4)) - cxcywh_to_xyxy(boxes)
    amount = moved.abs() / (boxes[..., 2:].tile(1, 1, 2) / 2.0)
    near, far = amount[positive], amount[~positive]
    assert 0.0 <= float(near.min()) < 0.05 < 0.35 < float(near.max()) <= 0.4 + 1e-5
    assert 0.4 - 1e-5 <= float(far.min()) < 0.45 < 0.75 < float(far.max()) <= 0.8 + 1e-5


def test_noised_boxes_are_boxes_however_much_noise_there_is(targets: Targets) -> None:
    found = drawn(targets, replace(SECTION, box_noise=3.0)).boxes
    corners = cxcywh_to_xyxy(found)
    assert float(corners.min()) >= -0.01
    assert float(corners.max()) <= 1.01
    assert bool((found[..., 2:] > 0.0).all())


def test_a_negative_upon_a_neighbour_is_not_asked(targets: Targets) -> None:
    """Ten objects at one place: wherever noise this small leads, there is one."""
    here = torch.tensor([0.5, 0.5, 0.2, 0.2]).expand(10, 4)
    crowd = replace(targets, boxes=here, prompt=torch.full((10,), 2))
    found = drawn(crowd, replace(SECTION, box_noise=0.05))
    assert not found.share[~found.positive].any()
    assert bool((found.share[2][found.positive[2]] > 0.0).all())


def test_the_same_state_of_the_generator_gives_the_same_noise(targets: Targets) -> None:
    torch.manual_seed(5)
    one, other = drawn(targets), drawn(targets)
    torch.manual_seed(5)
    again = drawn(targets)
    assert torch.equal(one.boxes, again.boxes)
    assert not torch.equal(one.boxes, other.boxes)


def numpy_losses(output: NoisedOutput, ignored: Tensor, pos_weight: float) -> tuple[float, ...]:
    """One query at a time."""
    classes = distance = overlap = 0.0
    asked = output.asked
    for (layer, prompt, query), logit in np.ndenumerate(output.logits.double().numpy()):
        share = float(asked.share[prompt, query])
        p = 1.0 / (1.0 + np.exp(-logit))
        if not asked.positive[prompt, query]:
            if not ignored[layer, prompt, query]:
                classes -= share * p**2 * np.log(1.0 - p)
            continue
        box, wanted = output.boxes[layer, prompt, query], asked.wanted[prompt, query]
        iou, giou = (float(v) for v in iou_and_giou(cxcywh_to_xyxy(box), cxcywh_to_xyxy(wanted)))
        t = max(p**0.25 * iou**0.75, 0.01)
        classes -= share * pos_weight * (t * np.log(p) + (1.0 - t) * np.log(1.0 - p))
        distance += share * float((box - wanted).abs().sum())
        overlap += share * (1.0 - giou)
    return classes, distance, overlap


def answered(targets: Targets) -> NoisedOutput:
    asked = drawn(targets)
    boxes = (asked.boxes + 0.02 * torch.randn(3, *asked.boxes.shape)).clamp(0.01, 0.99)
    return NoisedOutput(logits=torch.randn(3, *asked.share.shape), boxes=boxes, asked=asked)


def test_losses_are_those_of_each_query(targets: Targets) -> None:
    output = answered(targets)
    ignored = torch.rand(output.logits.shape) < 0.3
    got = denoising_losses(output, ignored, pos_weight=3.0)
    assert [float(v) for v in got] == pytest.approx(numpy_losses(output, ignored, 3.0), rel=1e-4)


def detector_and_output(name: str, noised: NoisedBoxes | None) -> tuple[Detector, DetectorOutput]:
    """Two prompts of one picture, the same whether there is noise or not."""
    torch.manual_seed(0)
    detector = Detector(
        replace(preset(name, image_size=112 if name == "nano" else 84), dropout=0.0)
    )
    batch = probe_batch(detector, pictures=1, phrases=2, exemplars=False, device=CPU)
    detector.train()
    with unchanged_state(detector):
        output = detector(batch.images, batch.token_ids, batch.image_index, None, noised)
    return detector, output


@pytest.fixture
def two_prompts(targets: Targets) -> NoisedBoxes:
    two = replace(targets, prompt=targets.prompt.clamp(max=2) - 1, num_prompts=2)
    return drawn(two)


@pytest.mark.parametrize("name", ["tiny", "nano"])
def test_nobody_hears_of_them_and_they_not_of_each_other(
    name: str, two_prompts: NoisedBoxes
) -> None:
    _, without = detector_and_output(name, None)
    _, output = detector_and_output(name, two_prompts)
    assert without.noised is None
    assert output.noised is not None
    assert output.twins is not None
    assert without.twins is not None
    for one, other in (
        (output.logits, without.logits),
        (output.boxes, without.boxes),
        (output.masks, without.masks),
        (output.presence, without.presence),
        (output.twins.logits, without.twins.logits),
    ):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    if name == "nano":  # Contents of learned queries are drawn at random.
        first = NoisedBoxes(
            boxes=two_prompts.boxes[:, :1],
            wanted=two_prompts.wanted[:, :1],
            positive=two_prompts.positive[:, :1],
            share=two_prompts.share[:, :1],
        )
        _, alone = detector_and_output(name, first)
        assert alone.noised is not None
        torch.testing.assert_close(
            alone.noised.boxes, output.noised.boxes[:, :, :1], atol=1e-5, rtol=1e-4
        )


def test_a_noised_box_at_a_proposal_is_that_proposal() -> None:
    """Content, place and score are what its twin has, which nobody hears either."""
    _, plain = detector_and_output("nano", None)
    torch.manual_seed(0)
    detector, _ = detector_and_output("nano", None)
    batch = probe_batch(detector, pictures=1, phrases=2, exemplars=False, device=CPU)
    kept: list[Tensor] = []
    decoder = detector.transformer.decoder
    handle = decoder.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[1]))
    with unchanged_state(detector), torch.no_grad():
        detector.train()
        detector(batch.images, batch.token_ids, batch.image_index)
    handle.remove()
    boxes = kept[0]
    every = torch.ones(boxes.shape[:2])
    noised = NoisedBoxes(boxes=boxes, wanted=boxes, positive=every > 0.0, share=every)
    _, output = detector_and_output("nano", noised)
    assert output.noised is not None
    assert plain.twins is not None
    # A centre may have been moved beyond its cell's edge, and is then another cell's.
    same = (output.noised.logits - plain.twins.logits).abs().amax(dim=0) < 1e-4
    assert float(same.float().mean()) > 0.5


@pytest.mark.parametrize("name", ["tiny", "nano"])
def test_parts_are_the_same_with_and_without_objects_and_weights_too(name: str) -> None:
    torch.manual_seed(0)
    detector = Detector(preset(name, image_size=112 if name == "nano" else 84))
    batch = probe_batch(detector, pictures=1, phrases=2, exemplars=False, device=CPU)
    none = replace(
        batch.targets,
        boxes=torch.zeros(0, 4),
        prompt=torch.zeros(0, dtype=torch.int64),
        masks=batch.targets.masks[:0],
        mask_object=torch.zeros(0, dtype=torch.int64),
    )
    on = Objective(detector, LossSection(denoising=SECTION)).train()
    counts = target_counts(batch.targets)
    with_objects = on(MicroBatch(batch, counts))
    without = on(MicroBatch(replace(batch, targets=none), counts))
    assert list(with_objects) == list(without)
    assert float(without["bbox_noised"].detach()) == 0.0
    with_objects["bbox_noised"].backward()
    assert detector.transformer.decoder.query_embed.weight.grad is not None
    off = Objective(detector, LossSection()).train()(MicroBatch(batch, counts))
    assert not [part for part in off if "noised" in part]
    asked = detector.eval()(batch.images, batch.token_ids, batch.image_index)
    assert asked.noised is None

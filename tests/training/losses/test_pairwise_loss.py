"""Masks from boxes and colours: the loss against a plain twin, and what it does to a mask."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sam3_edge.training.data.targets import Targets
from sam3_edge.training.losses.colour_affinity import (
    NEIGHBOURS,
    ColourAffinity,
    colour_affinity,
    srgb_to_lab,
)
from sam3_edge.training.losses.mask_losses import projection_loss
from sam3_edge.training.losses.matcher import Matches
from sam3_edge.training.losses.pairwise_loss import box_cells, pairwise_loss, unlike
from tests.training.given_masks import given_masks

SIDE = 12


def boxed_targets(boxes: Tensor, prompts: list[int], masks: Tensor | None = None) -> Targets:
    """masks: of the first objects."""
    masks = torch.zeros(0, SIDE, SIDE) if masks is None else masks
    return Targets(
        boxes=boxes,
        prompt=torch.tensor(prompts),
        masks=masks,
        mask_object=torch.arange(len(masks)),
        ignore=torch.zeros(0, 4),
        ignore_prompt=torch.zeros(0, dtype=torch.int64),
        num_prompts=max(prompts) + 1,
    )


def matches_of(targets: Targets, layer: int = 0) -> Matches:
    """Query number k for object number k."""
    every = torch.arange(len(targets.boxes))
    return Matches(
        layer=torch.full_like(every, layer), prompt=targets.prompt, query=every, target=every
    )


def random_pictures(count: int, size: int = 4 * SIDE) -> Tensor:
    """A few shades, so that many neighbours are alike and many are not."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 3, (count, 1, SIDE // 2, SIDE // 2), generator=generator).float()
    grown = F.interpolate(coarse * 60.0 + 40.0, size=(size, size), mode="nearest")
    return grown.permute(0, 2, 3, 1).expand(-1, -1, -1, 3).to(torch.uint8)


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((1.0, 1.0, 1.0), (100.0, 0.0, 0.0)),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
        # Published values of the primaries (D65, 2 degrees).
        ((1.0, 0.0, 0.0), (53.24, 80.09, 67.20)),
        ((0.0, 0.0, 1.0), (32.30, 79.19, -107.86)),
        ((0.5, 0.5, 0.5), (53.39, 0.0, 0.0)),
    ],
)
def test_lab_of_known_colours(colour: tuple[float, ...], expected: tuple[float, ...]) -> None:
    lab = srgb_to_lab(torch.tensor(colour).reshape(1, 3, 1, 1))
    assert lab.flatten().tolist() == pytest.approx(expected, abs=0.02)


def test_a_pair_is_alike_from_both_ends_and_never_across_the_edge() -> None:
    known = colour_affinity(
        random_pictures(2), torch.tensor([0, 1]), SIDE, threshold=0.3, share=1.0
    )
    assert 0.1 < float(known.alike.float().mean()) < 0.9
    for picture in known.alike:
        for row in range(SIDE):
            for column in range(SIDE):
                for number, (down, right) in enumerate(NEIGHBOURS):
                    there = (row + down, column + right)
                    inside = all(0 <= place < SIDE for place in there)
                    alike = bool(picture[row, column, number])
                    assert alike == (inside and bool(picture[(*there, (number + 4) % 8)]))


def test_the_threshold_is_one_of_colours() -> None:
    """Two grey halves whose L* differs by 3: similarity exp(-1.5) is 0.22."""
    image = torch.full((1, SIDE, SIDE, 3), 119, dtype=torch.uint8)
    image[:, :, SIDE // 2 :] = 127
    lightness = srgb_to_lab(image.permute(0, 3, 1, 2).float() / 255.0)[0, 0, 0]
    similarity = math.exp(-float(lightness[-1] - lightness[0]) / 2.0)
    assert similarity == pytest.approx(0.22, abs=0.02)
    across = (5, SIDE // 2 - 1, NEIGHBOURS.index((0, 2)))
    for threshold, alike in ((similarity - 0.01, True), (similarity + 0.01, False)):
        known = colour_affinity(image, torch.tensor([0]), SIDE, threshold=threshold, share=1.0)
        assert bool(known.alike[(0, *across)]) is alike


def test_a_share_keeps_the_nearest_however_near_all_are() -> None:
    """A murky picture is one of which all is alike by the threshold, the outline included."""
    image = random_pictures(1)
    murky = (image.float() * 0.02 + 100.0).round().to(torch.uint8)
    index = torch.tensor([0])
    clear = colour_affinity(image, index, SIDE, threshold=0.3, share=1.0).alike
    blind = colour_affinity(murky, index, SIDE, threshold=0.01, share=1.0).alike
    share = int(clear.sum()) / int(blind.sum())
    seen = colour_affinity(murky, index, SIDE, threshold=0.01, share=share)
    assert int(blind.sum()) == 2 * sum(
        (SIDE - abs(down)) * (SIDE - abs(right)) for down, right in NEIGHBOURS[:4]
    )
    assert torch.equal(seen.alike, clear)


def numpy_loss(
    logits: NDArray[np.float64], box: NDArray[np.float64], alike: NDArray[np.bool_]
) -> float:
    """Equation 4 pair by pair: every unordered pair with an end in the box, once."""
    x0, y0, x1, y1 = (np.array([box[0], box[1], box[0], box[1]]) * SIDE) + (
        np.array([-box[2], -box[3], box[2], box[3]]) * SIDE / 2.0
    )
    p = 1.0 / (1.0 + np.exp(-logits))
    total, pairs = 0.0, set()
    for row in range(SIDE):
        for column in range(SIDE):
            if not (x0 <= column + 0.5 < x1 and y0 <= row + 0.5 < y1):
                continue
            for number, (down, right) in enumerate(NEIGHBOURS):
                there = (row + down, column + right)
                pair = frozenset(((row, column), there))
                if not all(0 <= place < SIDE for place in there) or pair in pairs:
                    continue
                pairs.add(pair)
                a, b = p[row, column], p[there]
                total -= float(alike[row, column, number]) * np.log(a * b + (1 - a) * (1 - b))
    return total / len(pairs)


def test_the_loss_is_that_of_the_paper() -> None:
    torch.manual_seed(0)
    boxes = torch.tensor([[0.5, 0.5, 0.5, 0.4], [0.1, 0.9, 0.3, 0.4], [0.6, 0.3, 0.2, 0.5]])
    targets = boxed_targets(boxes, [0, 0, 1], torch.ones(1, SIDE, SIDE))
    masks = torch.randn(2, 3, SIDE, SIDE) * 3.0
    known = colour_affinity(
        random_pictures(3), torch.tensor([2, 1]), SIDE, threshold=0.3, share=1.0
    )
    # The first object has a mask of its own and is none of this loss.
    expected = sum(
        numpy_loss(
            masks[prompt, query].double().numpy(),
            boxes[query].double().numpy(),
            known.alike[picture].numpy(),
        )
        for prompt, query, picture in ((0, 1, 2), (1, 2, 1))
    )
    got = pairwise_loss(given_masks(masks), matches_of(targets), targets, known, layer=0)
    assert float(got) == pytest.approx(expected, rel=1e-4)
    assert (
        float(pairwise_loss(given_masks(masks), matches_of(targets), targets, known, layer=1))
        == 0.0
    )


def test_sure_and_equal_costs_nothing_and_sure_and_unequal_stays_finite() -> None:
    a = torch.tensor([80.0, -80.0, 80.0, 0.0], requires_grad=True)
    b = torch.tensor([80.0, -80.0, -80.0, 3.0])
    loss = unlike(a, b)
    assert loss.tolist() == pytest.approx([0.0, 0.0, 80.0 - math.log(2.0), math.log(2.0)], abs=1e-4)
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert a.grad is not None
    assert bool(torch.isfinite(a.grad).all())


def test_every_box_has_a_cell_and_none_beyond_the_picture() -> None:
    boxes = torch.tensor(
        [
            [0.5, 0.5, 0.001, 0.001],
            [1.0, 1.0, 0.01, 0.01],
            [0.5, 0.5, 3.0, 3.0],
            [0.5, 0.5, 0.5, 0.25],
        ]
    )
    cells = box_cells(boxes, SIDE, SIDE)
    assert torch.bincount(cells.box).tolist() == [1, 1, SIDE * SIDE, 6 * 3]
    assert int(cells.row.min()) == int(cells.column.min()) == 0
    assert int(cells.row.max()) == int(cells.column.max()) == SIDE - 1
    assert len(
        {*zip(cells.box.tolist(), cells.row.tolist(), cells.column.tolist(), strict=True)}
    ) == len(cells.row)


def test_no_boxes_are_no_loss_and_have_a_gradient() -> None:
    masks = torch.randn(1, 2, SIDE, SIDE, requires_grad=True)
    targets = boxed_targets(torch.tensor([[0.5, 0.5, 0.5, 0.5]]), [0], torch.ones(1, SIDE, SIDE))
    known = colour_affinity(random_pictures(1), torch.tensor([0]), SIDE, threshold=0.3, share=1.0)
    loss = pairwise_loss(given_masks(masks), matches_of(targets), targets, known, layer=0)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0.0
    assert masks.grad is not None
    assert not masks.grad.any()


def ellipse_picture(side: int) -> tuple[Tensor, Tensor, Tensor]:
    """An orange ellipse on noisy blue: the picture (side, side, 3), its mask and its box."""
    generator = torch.Generator().manual_seed(0)
    place = (torch.arange(side) + 0.5) / side
    inside = ((place[:, None] - 0.5) / 0.2) ** 2 + ((place - 0.5) / 0.3) ** 2 <= 1.0
    colours = torch.where(
        inside[..., None], torch.tensor([220.0, 120.0, 40.0]), torch.tensor([20.0, 90.0, 140.0])
    )
    noisy = colours + 3.0 * torch.randn(side, side, 3, generator=generator)
    return noisy.clamp(0.0, 255.0).to(torch.uint8), inside, torch.tensor([[0.5, 0.5, 0.6, 0.4]])


def fitted_mask(known: ColourAffinity, box: Tensor, filled: Tensor, weight: float) -> Tensor:
    """filled (side, side), what the mask is at first -> (side, side) bool.

    The logits are smooth, as a network's are: neighbours two cells apart alone would leave four
    grids that know nothing of each other.
    """
    side = len(filled)
    targets = replace(boxed_targets(box, [0]), masks=torch.zeros(0, side, side))
    raw = (2.0 * F.avg_pool2d(filled[None, None].float(), 2) - 1.0).requires_grad_()
    optimizer = torch.optim.Adam([raw], lr=0.1)
    for _ in range(60):
        masks = F.interpolate(raw, size=(side, side), mode="bilinear")
        loss = projection_loss(given_masks(masks), matches_of(targets), targets, layer=0)
        loss = loss + weight * pairwise_loss(
            given_masks(masks), matches_of(targets), targets, known, layer=0
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return masks.detach()[0, 0] > 0.0


def iou(a: Tensor, b: Tensor) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_a_mask_from_a_box_takes_the_shape_of_the_colour() -> None:
    side = 30
    image, inside, box = ellipse_picture(4 * side)
    truth = F.avg_pool2d(inside.float()[None], 4)[0] > 0.5
    filled = torch.zeros(side, side, dtype=torch.bool)
    filled[9:21, 6:24] = True
    known = colour_affinity(image[None], torch.tensor([0]), side, threshold=0.3, share=1.0)
    assert iou(filled, truth) < 0.82
    assert iou(fitted_mask(known, box, filled, 0.0), truth) < 0.9
    assert iou(fitted_mask(known, box, filled, 1.0), truth) > 0.95

"""Invariants every preset keeps, without any reference at hand."""

import re
from dataclasses import replace

import pytest
import torch

from sam3_edge.errors import UsageError
from sam3_edge.training.model.config import PRESETS, ModelConfig, preset
from sam3_edge.training.model.detector import Detector, ExemplarBoxes
from sam3_edge.training.model.geometry import pooling_weights
from sam3_edge.training.model.outputs import DetectorOutput
from sam3_edge.training.model.proposals import chosen_cells
from sam3_edge.training.model.trunk import stretch_weights

# What of a fresh model a text-only prompt never reaches.
UNUSED = (
    "geometry_encoder.label_embed",
    "geometry_encoder.boxes_",
    "geometry_encoder.points_",
    "geometry_encoder.img_pre_norm",
    "vision_backbone.convs.3",
    "text_projection",
    "pixel_decoder.conv_layers.2",
    "pixel_decoder.norms.2",
)


# Of the proposals' grid, nano's own in the middle.
SIDES = (32, 42, 56)


def tokens(*words: int) -> torch.Tensor:
    row = torch.zeros(32, dtype=torch.int64)
    row[: len(words) + 2] = torch.tensor([49406, *words, 49407])
    return row


def pictures(config: ModelConfig, count: int) -> torch.Tensor:
    size = (count, config.image_size, config.image_size, 3)
    return torch.randint(
        0, 256, size, dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def total(out: DetectorOutput) -> torch.Tensor:
    parts = [out.logits, out.presence, out.boxes, out.masks, out.semantic]
    if out.proposals is not None:
        parts += [out.proposals.logits, out.proposals.boxes]
    if out.twins is not None:
        parts += [out.twins.logits, out.twins.boxes]
    return torch.stack([part.square().mean() for part in parts if part is not None]).sum()


@pytest.mark.parametrize("name", ["tiny", "nano", "small"])
def test_fresh_model_is_finite(name: str) -> None:
    torch.manual_seed(0)
    model = Detector(preset(name))
    ids = torch.stack([tokens(2759), tokens(320, 2442, 2759)])
    out = model(pictures(model.config, 2), ids, torch.tensor([0, 1]))
    loss = total(out)
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    for parameter, tensor in model.named_parameters():
        assert torch.isfinite(tensor).all(), parameter
        if tensor.grad is None:
            assert any(part in parameter for part in UNUSED), f"{parameter} has no gradient"
        else:
            assert torch.isfinite(tensor.grad).all(), parameter


@pytest.mark.parametrize(
    ("name", "millions"), [("full", 840.5), ("journey", 517.2), ("small", 212.2), ("nano", 7.3)]
)
def test_preset_size(name: str, millions: float) -> None:
    with torch.device("meta"):
        count = sum(p.numel() for p in Detector(preset(name)).parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.3)


@pytest.mark.parametrize("name", ["tiny", "nano"])
@torch.inference_mode()
def test_batched_equals_single(name: str) -> None:
    torch.manual_seed(0)
    model = Detector(preset(name)).eval()
    images = pictures(model.config, 2)
    ids = torch.stack([tokens(2759), tokens(320, 2442, 2759), tokens(1615)])
    together = model(images, ids, torch.tensor([0, 0, 1]))
    alone = model(images[1:], ids[2:], torch.tensor([0]))
    torch.testing.assert_close(together.logits[:, 2:], alone.logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together.boxes[:, 2:], alone.boxes, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together.masks[2:], alone.masks, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", ["tiny", "nano"])
@torch.inference_mode()
def test_chosen_masks_are_those_of_all(name: str) -> None:
    torch.manual_seed(0)
    model = Detector(preset(name)).eval()
    ids = torch.stack([tokens(2759), tokens(320, 2442, 2759), tokens(1615)])
    out = model(pictures(model.config, 3), ids, torch.tensor([0, 2, 2]))
    prompt, query = torch.tensor([2, 0, 1, 2, 0]), torch.tensor([3, 1, 0, 2, 5])
    chosen = out.query_masks.chosen(prompt, query)
    torch.testing.assert_close(chosen, out.masks[prompt, query], atol=1e-4, rtol=1e-4)
    assert out.query_masks.chosen(prompt[:0], query[:0]).shape == (0, *out.masks.shape[2:])


@torch.inference_mode()
def test_padded_exemplars_change_nothing() -> None:
    torch.manual_seed(0)
    model = Detector(preset("tiny")).eval()
    image, ids, index = pictures(model.config, 1), tokens(2759)[None], torch.tensor([0])
    boxes = torch.tensor([[[0.4, 0.5, 0.3, 0.2]]])
    one = ExemplarBoxes(boxes=boxes, labels=torch.tensor([[1]]), padding=torch.tensor([[False]]))
    padded = ExemplarBoxes(
        boxes=torch.cat((boxes, torch.rand(1, 2, 4)), dim=1),
        labels=torch.tensor([[1, 0, 1]]),
        padding=torch.tensor([[False, True, True]]),
    )
    first, second = model(image, ids, index, one), model(image, ids, index, padded)
    torch.testing.assert_close(first.logits, second.logits)
    torch.testing.assert_close(first.masks, second.masks, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_the_rank_of_a_proposal_does_not_matter() -> None:
    """Rounding may swap two proposals in TopK: the answers may only swap with them."""
    torch.manual_seed(0)
    model = Detector(preset("nano")).eval()
    decoder, width = model.transformer.decoder, model.config.d_model
    contents, boxes = torch.randn(1, 48, width), torch.rand(1, 48, 4)
    prompt, bias = torch.randn(1, 33, width), torch.zeros(1, 1, 1, 33)
    fused = torch.randn(1, model.config.tokens_per_side**2, width)
    position = model.position.at(model.config.tokens_per_side)
    order = torch.randperm(48)
    straight = decoder(contents, boxes, prompt, bias, fused, position)
    shuffled = decoder(contents[:, order], boxes[:, order], prompt, bias, fused, position)
    torch.testing.assert_close(straight.boxes[:, :, order], shuffled.boxes, atol=1e-5, rtol=1e-5)
    assert model.transformer.decoder.query_embed.num_embeddings == 1


@torch.inference_mode()
def test_proposals_come_from_the_map_they_are_asked_of() -> None:
    torch.manual_seed(0)
    config = preset("nano", image_size=112, overrides={"decoder": {"proposal_scale": 4}})
    out = Detector(config).eval()(pictures(config, 1), tokens(2759)[None], torch.tensor([0]))
    assert out.proposals is not None
    assert out.proposals.logits.shape == (1, 28, 28)
    assert out.boxes.shape[2] == config.num_queries


def test_cells_are_chosen_from_the_picture_of_their_prompt() -> None:
    cells, numbers = torch.rand(2, 9, 3), torch.tensor([[0, 8], [4, 4], [7, 1]])
    owner = torch.tensor([0, 0, 1])
    found = chosen_cells(cells, numbers, owner)
    for prompt, row in enumerate(numbers.tolist()):
        assert torch.equal(found[prompt], cells[owner[prompt], row])
    assert torch.equal(chosen_cells(cells[:1], numbers, None), cells[0][numbers])


def test_twins_do_not_change_what_the_queries_say() -> None:
    """They see no other query and none sees them: inference may leave them out."""
    torch.manual_seed(0)
    model = Detector(replace(preset("tiny"), dropout=0.0)).train()
    image, ids, index = pictures(model.config, 1), tokens(2759)[None], torch.tensor([0])
    with torch.no_grad():
        taught, asked = model(image, ids, index), model.eval()(image, ids, index)
    assert asked.twins is None
    assert taught.twins is not None
    assert taught.twins.logits.shape == taught.logits.shape
    torch.testing.assert_close(taught.logits, asked.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(taught.boxes, asked.boxes, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(taught.masks, asked.masks, atol=1e-4, rtol=1e-4)


def test_twins_of_prompts_without_an_object_answer_no() -> None:
    torch.manual_seed(0)
    model = Detector(replace(preset("tiny"), dropout=0.0)).train()
    ids, index = torch.stack([tokens(2759), tokens(1615), tokens(320)]), torch.tensor([0, 0, 1])
    shown = torch.tensor([True, False, True])
    with torch.no_grad():
        every = model(pictures(model.config, 2), ids, index)
        some = model(pictures(model.config, 2), ids, index, shown=shown)
    assert every.twins is not None
    assert some.twins is not None
    torch.testing.assert_close(some.logits, every.logits)
    for got, expected in zip(
        (some.twins.logits, some.twins.boxes), (every.twins.logits, every.twins.boxes), strict=True
    ):
        torch.testing.assert_close(got[:, shown], expected[:, shown], atol=1e-5, rtol=1e-5)
    assert (some.twins.logits[:, ~shown].sigmoid() < 1e-4).all()


def test_prompts_must_stand_by_picture() -> None:
    model = Detector(preset("tiny"))
    ids = torch.stack([tokens(2759)] * 2)
    with pytest.raises(ValueError, match="expected ascending"):
        model(pictures(model.config, 2), ids, torch.tensor([1, 0]))


@pytest.mark.parametrize("name", PRESETS)
def test_image_size_must_fit(name: str) -> None:
    nearest = (240, 256) if name == "nano" else (238, 252)
    with pytest.raises(UsageError) as caught:
        preset(name, image_size=250)
    assert re.findall(r"\d+", str(caught.value).split("got 250")[1]) == [str(n) for n in nearest]
    assert "\n" not in str(caught.value)
    for size in nearest:
        assert preset(name, image_size=size).image_size == size


@pytest.mark.parametrize("name", ["tiny", "nano"])
@pytest.mark.parametrize("size", [0, 1])
def test_the_least_image_size_works(name: str, size: int) -> None:
    with pytest.raises(UsageError) as caught:
        preset(name, image_size=size)
    least, next_size = map(int, re.findall(r"\d+", str(caught.value))[-2:])
    model = Detector(preset(name, image_size=least)).eval()
    assert next_size == least + model.config.trunk.stride
    assert total(ask(model, least)).isfinite()


@pytest.mark.parametrize(("name", "home", "other"), [("tiny", 84, 126), ("nano", 112, 80)])
def test_one_model_takes_pictures_of_any_size(name: str, home: int, other: int) -> None:
    """As a model built for that size, to the bit, and then again at its own size."""
    torch.manual_seed(0)
    model = Detector(preset(name, image_size=home)).eval()
    built = Detector(preset(name, image_size=other)).eval()
    built.load_state_dict(model.state_dict())
    with torch.inference_mode():
        before = ask(model, home)
        assert_equal(ask(model, other), ask(built, other))
        assert_equal(ask(model, home), before)
    # What inference made of the other size serves training too.
    total(ask(model.train(), other)).backward()  # type: ignore[no-untyped-call]


def ask(model: Detector, size: int) -> DetectorOutput:
    config = replace(model.config, image_size=size)
    ids = torch.stack([tokens(2759), tokens(320, 2442, 2759)])
    boxes = torch.tensor([[[0.4, 0.5, 0.3, 0.2]]]).expand(2, -1, -1)
    shown = ExemplarBoxes(
        boxes=boxes, labels=torch.tensor([[1], [0]]), padding=torch.tensor([[False], [False]])
    )
    answer: DetectorOutput = model(pictures(config, 2), ids, torch.tensor([0, 1]), shown)
    return answer


def assert_equal(one: DetectorOutput, other: DetectorOutput) -> None:
    for field in ("logits", "presence", "boxes", "masks", "image_embedding"):
        assert torch.equal(getattr(one, field), getattr(other, field)), field


@pytest.mark.parametrize("tile", [4, 7])
def test_stretched_positions_are_linear_between_the_learned_ones(tile: int) -> None:
    """Rows of weights sum to one, and a ramp of positions stays a ramp but for its ends."""
    for side in (3, 4, 9):
        weights = stretch_weights(tile, side)
        torch.testing.assert_close(weights.sum(1), torch.ones(side))
        at = (torch.arange(side) + 0.5) * tile / side - 0.5
        ramp = weights @ torch.arange(float(tile))
        torch.testing.assert_close(ramp, at.clamp(0.0, tile - 1.0))


def test_a_proposal_has_as_many_cells_at_every_size() -> None:
    """The head is a convolution: what it says of an object cannot depend on the picture around."""
    head = Detector(preset("nano")).proposals
    assert head is not None
    raw = [torch.zeros(1, 4, side, side) for side in SIDES]
    cells = [float(head._boxes(one)[0, 0, 0, 2]) * one.shape[-1] for one in raw]
    assert cells == pytest.approx([cells[0]] * len(SIDES))


def test_unknown_preset() -> None:
    with pytest.raises(UsageError, match="expected one of full, journey, small, nano, tiny, got"):
        preset("huge")


def test_pooling_averages_what_lies_in_the_bin() -> None:
    """Over whole cells RoIAlign is the plain mean of the bin's samples: rows sum to one."""
    weights = pooling_weights(torch.tensor([2.0, 0.0]), torch.tensor([9.0, 18.0]), 7, 18)
    assert weights.shape == (2, 7, 18)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 7))
    centre = (weights * torch.arange(18.0)).sum(-1)
    torch.testing.assert_close(centre[0], torch.arange(7.0) + 2.5)

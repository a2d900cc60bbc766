"""The average follows, does not disturb, and comes back."""

import pytest
import torch
from torch import nn

from sam3_edge.training.ema import WeightAverage


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def move(one: nn.Module, value: float) -> None:
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.fill_(value)


def test_the_average_goes_towards_the_weights_and_ends_there() -> None:
    one = model()
    average = WeightAverage(one, 0.9)
    move(one, 1.0)
    distances = []
    for _ in range(60):
        average.update()
        state = average.state_dict()["0.weight"]
        assert isinstance(state, torch.Tensor)
        distances.append(float((state - 1.0).abs().max()))
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.01
    # The first update has decay 1 / 10, not 0.9.
    first = (model().state_dict()["0.weight"] - 1.0).abs().max() * 0.1
    assert distances[0] == pytest.approx(float(first), rel=1e-5)


def test_statistics_of_norms_are_averaged_too() -> None:
    one = model()
    average = WeightAverage(one, 0.5)
    one.train()(torch.ones(4, 3))
    average.update()
    assert "1.running_mean" in average.state_dict()
    assert "1.num_batches_tracked" not in average.state_dict()


def test_weights_are_back_after_the_average_was_applied() -> None:
    one = model()
    average = WeightAverage(one, 0.9)
    move(one, 5.0)
    with average.applied():
        assert not torch.equal(one.state_dict()["0.weight"], torch.full((2, 3), 5.0))
    assert torch.equal(one.state_dict()["0.weight"], torch.full((2, 3), 5.0))


def test_a_restored_average_goes_on_as_the_other() -> None:
    one = model()
    average = WeightAverage(one, 0.99)
    move(one, 2.0)
    average.update()
    again = WeightAverage(one, 0.99)
    again.load_state_dict(average.state_dict())
    for followed in (average, again):
        followed.update()
    for name, value in average.state_dict().items():
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(again.state_dict()[name])), name


def test_what_is_frozen_is_not_kept() -> None:
    one = model()
    one[0].requires_grad_(False)
    assert not any(name.startswith("0.") for name in WeightAverage(one, 0.9).state_dict())

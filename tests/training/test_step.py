"""However a step's pictures are cut up, it is the same step."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.precision.amp import MixedPrecision
from torch import Tensor, nn

from sam3_edge.errors import TrainingError
from sam3_edge.training.config.schema import DenoisingSection, LossSection
from sam3_edge.training.data.mixture import Mixture, Source
from sam3_edge.training.data.scene_dataset import SceneDataset
from sam3_edge.training.data.targets import Batch
from sam3_edge.training.losses.loss_counts import LossCounts, target_counts
from sam3_edge.training.model.config import preset
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.objective import (
    Objective,
    freeze_unreached,
    probe_batch,
    reached_parameters,
)
from sam3_edge.training.step import StepOutcome, Trainee, agree, take_step

SIZE = 84
CPU = torch.device("cpu")


def batches(size: int, count: int) -> list[Batch]:
    """The same pictures whatever they are cut into."""
    mixture = Mixture(
        [Source(data=SceneDataset("train", SIZE), weight=1.0)],
        seed=0,
        batch_size=size,
        image_size=SIZE,
        mask_side=24,
    )
    stream = iter(mixture)
    found = [next(stream) for _ in range(count)]
    return [batch for batch in found if isinstance(batch, Batch)]


def trainee(
    max_norm: float = 0.0, fabric: Fabric | None = None, loss: LossSection | None = None
) -> Trainee:
    torch.manual_seed(0)
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    objective = Objective(Detector(preset("tiny", image_size=SIZE)), loss or LossSection())
    freeze_unreached(
        objective,
        probe_batch(objective.detector, pictures=1, phrases=2, exemplars=False, device=CPU),
    )
    objective.train()
    parameters = [p for p in objective.parameters() if p.requires_grad]
    module, optimizer = fabric.setup(objective, torch.optim.SGD(parameters, lr=1.0))
    return Trainee(
        fabric=fabric,
        objective=objective,
        module=module,
        optimizer=optimizer,
        max_norm=max_norm,
    )


def without_masks(batch: Batch) -> Batch:
    none = replace(
        batch.targets,
        masks=batch.targets.masks[:0],
        mask_object=batch.targets.mask_object[:0],
    )
    return replace(batch, targets=none)


def step(one: Trainee, micros: Sequence[Batch]) -> StepOutcome:
    agreed = agree(one.fabric, micros, 1.5, stop=False)
    assert (agreed.elapsed_s, agreed.stop) == (1.5, False)
    return take_step(one, micros, agreed.counts)


def weights(one: Trainee) -> Tensor:
    return nn.utils.parameters_to_vector(one.objective.parameters()).detach().clone()


def test_micro_batches_add_up_to_one_batch() -> None:
    whole, parts = trainee(), trainee()
    before = weights(whole)
    one, two = step(whole, batches(4, 1)), step(parts, batches(2, 2))
    assert one.total == pytest.approx(two.total, rel=1e-5)
    assert one.losses == pytest.approx(two.losses, rel=1e-4, abs=1e-5)
    assert one.norm == pytest.approx(two.norm, rel=1e-4)
    moved, other = weights(whole) - before, weights(parts) - before
    assert torch.allclose(moved, other, rtol=1e-3, atol=1e-4 * float(moved.abs().max()))


def test_counts_are_those_of_all_micro_batches() -> None:
    micros = batches(2, 2)
    agreed = agree(Fabric(accelerator="cpu", devices=1), micros, 0.0, stop=True)
    first, second = (target_counts(batch.targets) for batch in micros)
    assert agreed.counts == first + second
    assert agreed.stop


def test_the_norm_is_clipped_and_told_as_it_was() -> None:
    free, clipped = trainee(), trainee(max_norm=0.1)
    before = weights(clipped)
    whole = step(free, batches(1, 1))
    cut = step(clipped, batches(1, 1))
    assert cut.norm == pytest.approx(whole.norm)
    assert whole.norm > 0.1
    assert float((weights(clipped) - before).norm()) == pytest.approx(0.1, rel=1e-3)


def test_fp16_leaves_out_a_step_that_overflows_and_gives_up_at_last() -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    fabric = Fabric(
        accelerator="cpu", devices=1, plugins=[MixedPrecision("16-mixed", "cpu", scaler)]
    )
    one = trainee(fabric=fabric)
    before = weights(one)
    first = next(p for p in one.objective.parameters() if p.requires_grad)
    first.register_hook(lambda gradient: gradient * math.inf)  # type: ignore[no-untyped-call]
    assert not step(one, batches(1, 1)).taken
    assert scaler.get_scale() == 1.0
    assert not step(one, batches(1, 1)).taken
    with pytest.raises(TrainingError, match="finite gradient, got the gradient of "):
        step(one, batches(1, 1))
    assert torch.equal(weights(one), before)


@pytest.mark.parametrize("denoising", [0.0, 1.0])
@pytest.mark.parametrize("name", ["tiny", "nano"])
def test_every_parameter_that_is_trained_is_in_every_graph(name: str, denoising: float) -> None:
    """Or else processes that wait for each other's gradients would wait for ever."""
    size = SIZE if name == "tiny" else 112
    detector = Detector(preset(name, image_size=size))
    loss = LossSection(pairwise=denoising, denoising=DenoisingSection(weight=denoising))
    objective = Objective(detector, loss)
    probe = probe_batch(detector, pictures=1, phrases=2, exemplars=True, device=CPU)
    state = {key: tensor.clone() for key, tensor in detector.state_dict().items()}
    freeze_unreached(objective, probe)
    assert objective.sometimes
    assert all(torch.equal(tensor, state[key]) for key, tensor in detector.state_dict().items())
    trained = {p for p in objective.parameters() if p.requires_grad}
    without = probe_batch(detector, pictures=1, phrases=1, exemplars=False, device=CPU)
    nothing = replace(
        without_masks(without).targets, boxes=torch.zeros(0, 4), prompt=torch.zeros(0).long()
    )
    for batch in (probe, without, replace(without, targets=nothing)):
        assert trained <= reached_parameters(objective, batch)


def test_counts_survive_as_one_tensor() -> None:
    counts = target_counts(batches(2, 1)[0].targets)
    assert LossCounts.from_tensor(counts.to_tensor()) == counts


def test_the_pairwise_loss_adds_up_and_has_a_weight_that_rises() -> None:
    whole, parts = (trainee(loss=LossSection(pairwise=1.0)) for _ in range(2))
    batch = [without_masks(one) for one in batches(4, 1)]
    halves = [without_masks(one) for one in batches(2, 2)]
    whole.objective.pairwise_share = parts.objective.pairwise_share = 0.5
    one, two = step(whole, batch), step(parts, halves)
    assert one.losses["pairwise"] == pytest.approx(two.losses["pairwise"], rel=1e-4)
    full = trainee(loss=LossSection(pairwise=1.0))
    assert step(full, batch).losses["pairwise"] == pytest.approx(2.0 * one.losses["pairwise"])
    assert one.losses["pairwise"] > 0.0
    assert "pairwise" not in step(trainee(), batch).losses

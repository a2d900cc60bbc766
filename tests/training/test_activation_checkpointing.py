"""Computing twice what is not kept changes nothing but the memory."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sam3_edge.training.activation_checkpointing import (
    checkpoint_activations,
    checkpointable_blocks,
    is_checkpointed,
    without_checkpointing,
)
from sam3_edge.training.config.schema import Precision
from sam3_edge.training.data.targets import Batch, Targets
from sam3_edge.training.memory_estimate import MemoryEstimate, estimate_memory
from sam3_edge.training.model.config import preset
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.outputs import DetectorOutput
from sam3_edge.training.model.weights import WeightsMetadata, load_weights, save_weights

SIZE = 112


def batch() -> Batch:
    """Two pictures and three prompts, about which nothing is known."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.zeros(3, 32, dtype=torch.int64)
    ids[:, :3] = torch.tensor([49406, 2759, 49407])
    none, cells = torch.zeros(0, dtype=torch.int64), torch.zeros(0, 48, 48)
    return Batch(
        images=torch.randint(0, 256, (2, SIZE, SIZE, 3), dtype=torch.uint8, generator=generator),
        token_ids=ids,
        image_index=torch.tensor([0, 0, 1]),
        targets=Targets(
            boxes=torch.zeros(0, 4),
            prompt=none,
            masks=cells,
            mask_object=none,
            ignore=torch.zeros(0, 4),
            ignore_prompt=none,
            num_prompts=3,
        ),
    )


def loss(output: DetectorOutput) -> Tensor:
    parts = (output.logits, output.presence, output.boxes, output.masks)
    return torch.stack([part.float().square().mean() for part in parts]).sum()


def gradients(model: Detector) -> tuple[Tensor, dict[str, Tensor]]:
    one = batch()
    model.zero_grad()
    torch.manual_seed(7)
    value = loss(model(one.images, one.token_ids, one.image_index))
    value.backward()  # type: ignore[no-untyped-call]
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return value.detach(), {name: grad.clone() for name, grad in grads.items()}


def estimate(model: Detector) -> MemoryEstimate:
    return estimate_memory(model, batch(), loss, precision=Precision.fp32, ema=False, batch_size=2)


def detector(name: str = "tiny") -> Detector:
    torch.manual_seed(0)
    return Detector(preset(name, image_size=SIZE)).train()


# Of nano's activations most are its stem's, which is no block.
@pytest.mark.parametrize(("name", "share"), [("tiny", 0.8), ("nano", 0.97)])
def test_same_names_loss_and_gradients_in_less_memory(name: str, share: float) -> None:
    plain, model = detector(name), detector(name)
    checkpoint_activations(model)
    assert is_checkpointed(model)
    assert not is_checkpointed(plain)
    assert list(model.state_dict()) == list(plain.state_dict())
    expected_loss, expected = gradients(plain)
    got_loss, got = gradients(model)
    torch.testing.assert_close(got_loss, expected_loss, atol=1e-6, rtol=1e-6)
    assert got.keys() == expected.keys()
    for parameter, gradient in got.items():
        torch.testing.assert_close(
            gradient, expected[parameter], atol=1e-6, rtol=1e-6, msg=parameter
        )
    with_blocks, without = estimate(plain), estimate(model)
    assert without.activations < share * with_blocks.activations
    assert without.total == with_blocks.total - with_blocks.checkpointing_saves
    assert without.checkpointing_saves == 0


def test_dropout_drops_the_same_twice() -> None:
    plain, model = detector(), detector()
    checkpoint_activations(model)
    for one in (plain, model):
        for module in one.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.5
    expected_loss, expected = gradients(plain)
    got_loss, got = gradients(model)
    assert torch.equal(got_loss, expected_loss)
    for parameter, gradient in got.items():
        torch.testing.assert_close(gradient, expected[parameter], atol=1e-6, rtol=1e-6)


def test_every_block_is_wrapped_and_can_be_unwrapped() -> None:
    model = detector()
    checkpoint_activations(model)
    assert len(checkpointable_blocks(model)) == 4 + 2 + 3
    assert all("forward" in vars(block) for block in checkpointable_blocks(model))
    with without_checkpointing(model):
        assert not is_checkpointed(model)
    assert all("forward" in vars(block) for block in checkpointable_blocks(model))


def test_a_copy_runs_its_own_weights(tmp_path: Path) -> None:
    """As the moving average is a copy, and what is saved is loaded elsewhere."""
    model = detector()
    checkpoint_activations(model)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in twin.backbone.vision_backbone.trunk.blocks.parameters():
            parameter.zero_()
    images = batch().images
    moved = twin.encode_image(images).maps[2]
    assert not torch.allclose(moved, model.encode_image(images).maps[2])
    (moved.sum()).backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None for p in model.parameters())
    metadata = WeightsMetadata(preset="tiny", image_size=SIZE, recipe="", data=(), licence="")
    save_weights(model, tmp_path / "w.safetensors", metadata)
    loaded, _ = load_weights(tmp_path / "w.safetensors")
    expected = model.eval().encode_image(images).maps[2]
    torch.testing.assert_close(loaded.encode_image(images).maps[2], expected)


def test_only_training_computes_twice() -> None:
    model = detector()
    checkpoint_activations(model)
    calls: list[int] = []
    norm = model.backbone.vision_backbone.trunk.get_submodule("blocks.0.norm1")
    norm.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        model.encode_image(batch().images)
    assert len(calls) == 1
    gradients(model.eval())
    assert len(calls) == 2
    gradients(model.train())
    assert len(calls) == 4

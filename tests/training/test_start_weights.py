"""A run starts from what it was told to start from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sam3_edge.errors import ExportError, TrainingError, UsageError
from sam3_edge.training.checkpoint import RunState, save_state
from sam3_edge.training.config.schema import ModelSection
from sam3_edge.training.model.config import preset
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.weights import PREFIX, WeightsMetadata, load_weights, save_weights
from sam3_edge.training.standing import Standing
from sam3_edge.training.start_weights import start_detector

SIZE = 84


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Detector, Path]:
    torch.manual_seed(1)
    model = Detector(preset("tiny", image_size=SIZE))
    metadata = WeightsMetadata(preset="tiny", image_size=SIZE, recipe="", data=(), licence="")
    save_weights(model, tmp_path / "tiny.safetensors", metadata)
    return model, tmp_path / "tiny.safetensors"


def section(**values: object) -> ModelSection:
    return ModelSection(**{"preset": "tiny", "image_size": SIZE, **values})  # type: ignore[arg-type]


def assert_same(one: Detector, other: Detector) -> None:
    theirs = other.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items())


def test_a_checkpoint_of_a_run_gives_its_averaged_weights(
    saved: tuple[Detector, Path], tmp_path: Path
) -> None:
    model, path = saved[0], tmp_path / "last.pt"
    weights = model.state_dict()
    name = next(iter(weights))
    average = {name: weights[name] + 1.0, "updates": 3}
    state = RunState(
        standing=Standing(step=3), micro_batch=3, fingerprint={}, model=weights, average=average,
        optimizer={}, scaler={}, random=[],
    )  # fmt: skip
    save_state(path, state)
    loaded, _ = start_detector(section(weights=str(path), partial=True))
    assert torch.equal(loaded.state_dict()[name], average[name])
    assert torch.equal(loaded.state_dict()[[*weights][-1]], [*weights.values()][-1])


def test_weights_are_those_of_the_file(saved: tuple[Detector, Path], tmp_path: Path) -> None:
    model, path = saved
    loaded, line = start_detector(section(weights=str(path)))
    assert_same(loaded, model)
    assert str(path) in line
    named = {f"{PREFIX}{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"model": named}, tmp_path / "reference.pt")
    assert_same(start_detector(section(weights=str(tmp_path / "reference.pt")))[0], model)


def test_weights_serve_at_another_size(saved: tuple[Detector, Path]) -> None:
    model, path = saved
    wider, _ = start_detector(section(weights=str(path), image_size=168))
    assert wider.config.image_size == 168
    assert_same(wider, model)
    assert start_detector(section(weights=str(path), image_size=None))[0].config.image_size == SIZE


def test_the_seed_decides_random_values() -> None:
    models = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        models.append(start_detector(section())[0])
    assert_same(models[0], models[1])
    assert not torch.equal(
        models[0].transformer.decoder.query_embed.weight,
        models[2].transformer.decoder.query_embed.weight,
    )


def test_partly_takes_what_fits(saved: tuple[Detector, Path]) -> None:
    model, path = saved
    wider = section(weights=str(path), partial=True, image_size=168)
    loaded, line = start_detector(wider)
    count = len(model.state_dict())
    assert_same(loaded, model)
    assert line.startswith(f"starting from {count} of {count} tensors")
    other = path.with_name("other.pt")
    torch.save({"detector.nothing": torch.ones(1)}, other)
    with pytest.raises(TrainingError, match="at least one tensor that fits preset 'nano'"):
        start_detector(ModelSection(preset="nano", weights=str(other), partial=True))


def test_weights_of_another_model_are_refused(saved: tuple[Detector, Path]) -> None:
    _, path = saved
    with pytest.raises(ExportError, match="expected preset tiny"):
        start_detector(ModelSection(preset="nano", weights=str(path)))


def test_what_is_no_checkpoint_is_one_line(tmp_path: Path) -> None:
    for name in ("a.safetensors", "a.pt"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises((TrainingError, ExportError)) as caught:
            start_detector(section(weights=str(tmp_path / name)))
        assert "\n" not in str(caught.value)


def test_a_backbone_needs_its_stem() -> None:
    with pytest.raises(UsageError, match="whose stem is EfficientNet's, got 'tiny'"):
        start_detector(section(backbone="lite0"))


SHALLOW = {"trunk": {"depth": 2, "global_blocks": [1]}, "decoder": {"num_queries": 7}}


def test_overridden_dimensions_come_back_from_the_file(tmp_path: Path) -> None:
    asked = section(overrides=SHALLOW)
    detector, _ = start_detector(asked)
    assert len(detector.backbone.vision_backbone.trunk.blocks) == 2
    assert (detector.config.decoder.num_queries, detector.config.decoder.layers) == (7, 3)
    path = tmp_path / "shallow.safetensors"
    metadata = WeightsMetadata(preset="tiny", image_size=SIZE, recipe="", data=(), licence="")
    save_weights(detector, path, metadata)
    found, _ = load_weights(path)
    assert found.config == detector.config
    asked = replace(asked, weights=str(path))
    assert start_detector(asked)[0].config == detector.config
    assert start_detector(replace(asked, overrides={}))[0].config == detector.config
    with pytest.raises(UsageError, match="overrides"):
        start_detector(replace(asked, overrides={"decoder": {"num_queries": 8}}))


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"trunk": {"dept": 2}}, "trunk.dept"),
        ({"trunk": {"depth": "two"}}, "trunk.depth"),
        ({"trunk": {"depth": True}}, "trunk.depth"),
        ({"trunk": 2}, "trunk"),
        ({"trunk": {"stem": "resnet"}}, "efficientnet"),
        ({"preset": "nano"}, "preset"),
        ({"image_size": 336}, "image_size"),
    ],
)
def test_overrides_are_known_dimensions(overrides: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        start_detector(section(overrides=overrides))

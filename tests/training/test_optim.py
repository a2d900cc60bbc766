"""Every trained parameter has one rate and one decay, and the rates run as SAM 3's do."""

from typing import Any

import pytest
import torch

from sam3_edge.errors import UsageError
from sam3_edge.training.config.schema import OptimSection, RatesSection, ScheduleSection
from sam3_edge.training.model.config import PRESETS, preset
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.optim import parameter_groups, schedule_share

STEPS = 1000


def on_meta(name: str) -> Detector:
    with torch.device("meta"):
        return Detector(preset(name))


def group_of(model: Detector, section: OptimSection) -> dict[str, dict[str, Any]]:
    """By parameter name."""
    names = {id(p): name for name, p in model.named_parameters()}
    groups = parameter_groups(model, section)
    return {names[id(p)]: group for group in groups for p in group["params"]}


def shares(section: ScheduleSection) -> list[float]:
    return [schedule_share(section, step, STEPS) for step in range(STEPS)]


@pytest.mark.parametrize("name", PRESETS)
def test_every_parameter_is_in_one_group(name: str) -> None:
    model = on_meta(name)
    groups = parameter_groups(model, OptimSection())
    grouped = [id(p) for group in groups for p in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(p) for p in model.parameters()}
    assert len({group["name"] for group in groups}) == len(groups)
    torch.optim.AdamW(groups)  # What it is for.


@pytest.mark.parametrize("name", PRESETS)
def test_what_has_no_direction_does_not_decay(name: str) -> None:
    section = OptimSection(weight_decay=0.1)
    model = on_meta(name)
    norms = {
        f"{path}.weight"
        for path, module in model.named_modules()
        if "Norm" in type(module).__name__ or "FrozenStatistics" in type(module).__name__
    }
    embeddings = (
        *("token_embedding", "pos_embed", "positional_embedding", "query_embed"),
        *("presence_token.weight", "cls_embed", "label_embed", "reference_points"),
    )
    for parameter, group in group_of(model, section).items():
        undecayed = (
            parameter.endswith("bias")
            or parameter in norms
            or any(part in parameter for part in embeddings)
        )
        assert group["weight_decay"] == (0.0 if undecayed else 0.1), parameter


def test_rates_of_the_parts() -> None:
    rates = RatesSection(transformer=8.0, vision=4.0, language=2.0, layer_decay=0.5)
    found = {n: g["lr"] for n, g in group_of(on_meta("tiny"), OptimSection(rates=rates)).items()}
    trunk = "backbone.vision_backbone.trunk."
    blocks = [found[f"{trunk}blocks.{i}.attn.qkv.weight"] for i in range(4)]
    assert blocks == [0.5, 1.0, 2.0, 4.0]
    assert found[f"{trunk}patch_embed.proj.weight"] == 0.25
    assert found[f"{trunk}pos_embed"] == 0.25
    assert found["backbone.language_backbone.encoder.token_embedding.weight"] == 2.0
    assert found["backbone.vision_backbone.convs.0.conv_1x1.weight"] == 8.0
    assert found["transformer.decoder.query_embed.weight"] == 8.0


def test_what_is_frozen_has_no_group() -> None:
    model = on_meta("tiny")
    model.backbone.vision_backbone.trunk.requires_grad_(False)
    assert not any(".trunk." in name for name in group_of(model, OptimSection()))
    model.requires_grad_(False)
    with pytest.raises(UsageError, match="something left to train"):
        parameter_groups(model, OptimSection())


def test_inverse_square_root() -> None:
    section = ScheduleSection(warmup=100, timescale=200, cooldown=100)
    run = shares(section)
    assert run[49] == pytest.approx(0.5)
    assert run[99] == pytest.approx(1.0)
    assert run[100] == pytest.approx(1.0)
    # One timescale after the warm-up the rate is 1 / sqrt(2), two after it 1 / sqrt(3).
    assert run[300] == pytest.approx(2**-0.5)
    assert run[500] == pytest.approx(3**-0.5)
    assert run[950] == pytest.approx(0.5 * (1 + 850 / 200) ** -0.5)
    assert run[:100] == sorted(run[:100])
    assert run[100:] == sorted(run[100:], reverse=True)
    assert 0.0 < run[-1] < 0.01


@pytest.mark.parametrize("kind", ["inverse_sqrt", "cosine"])
def test_shares_of_the_run_are_steps_of_it(kind: str) -> None:
    parts = ScheduleSection(kind=kind, warmup=0.05, cooldown=0.2)
    steps = ScheduleSection(kind=kind, warmup=50, cooldown=200)
    assert shares(parts) == pytest.approx(shares(steps))


@pytest.mark.parametrize("kind", ["inverse_sqrt", "cosine"])
def test_the_rate_ends_at_its_final_share(kind: str) -> None:
    section = ScheduleSection(kind=kind, warmup=10, timescale=10**9, final_share=0.2)
    run = shares(section)
    assert max(run) == pytest.approx(1.0)
    assert run[-1] == pytest.approx(0.2, abs=0.01)
    assert min(run[10:]) >= 0.2
    assert run[10:] == sorted(run[10:], reverse=True)


def test_a_run_without_warm_up_or_cool_down() -> None:
    section = ScheduleSection(warmup=0, cooldown=0, timescale=10**9)
    assert shares(section) == pytest.approx([1.0] * STEPS)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="expected one of inverse_sqrt, cosine, got 'linear'"):
        schedule_share(ScheduleSection(kind="linear"), 0, STEPS)

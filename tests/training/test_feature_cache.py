"""Cached features are those the encoder gives, and never those of another one."""

from pathlib import Path

import pytest
import torch

from sam3_edge.errors import TrainingError, UsageError
from sam3_edge.training.feature_cache import FeatureCache, cached_features, trunk_key
from sam3_edge.training.freeze import freeze
from sam3_edge.training.model.config import preset
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.outputs import ImageFeatures


def detector(name: str = "tiny", size: int = 84) -> Detector:
    torch.manual_seed(0)
    model = Detector(preset(name, image_size=size)).train()
    freeze(model, ["all_but_decoder"])
    return model


def pictures(count: int, size: int = 84) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (count, size, size, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def tensors(features: ImageFeatures) -> tuple[torch.Tensor, ...]:
    return (*features.maps, features.image_token)


@pytest.mark.parametrize(("name", "size"), [("tiny", 84), ("nano", 112)])
def test_cached_features_are_the_encoder_s(name: str, size: int, tmp_path: Path) -> None:
    model, images = detector(name, size), pictures(3, size)
    cache = FeatureCache(tmp_path, trunk_key(model))
    with torch.no_grad():
        expected = model.eval().encode_image(images)
    model.train()
    first = cached_features(model, cache, ["a", "b"], images[:2])
    assert model.training
    second = cached_features(model, cache, ["c", "b", "a"], images[[2, 1, 0]])
    order = [2, 1, 0]
    for got, again, wanted in zip(tensors(first), tensors(second), tensors(expected), strict=True):
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, wanted[:2], atol=2e-3, rtol=2e-3)
        torch.testing.assert_close(again, wanted[order], atol=2e-3, rtol=2e-3)
        # What was computed just now and what was read are the same numbers.
        assert torch.equal(again[1:], got[[1, 0]])


def test_only_what_is_missing_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = detector(), pictures(3)
    cache = FeatureCache(tmp_path, trunk_key(model))
    seen: list[int] = []
    encode = Detector.encode_image

    def counted(self: Detector, images: torch.Tensor) -> ImageFeatures:
        seen.append(len(images))
        return encode(self, images)

    monkeypatch.setattr(Detector, "encode_image", counted)
    cached_features(model, cache, ["a"], images[:1])
    cached_features(model, cache, ["a", "b", "c"], images)
    cached_features(model, cache, ["a", "b", "c"], images)
    assert seen == [1, 2]


def test_the_decoder_learns_from_them(tmp_path: Path) -> None:
    model, images = detector(), pictures(1)
    features = cached_features(model, FeatureCache(tmp_path, "k"), ["a"], images)
    text, mask = model.encode_text(torch.ones(1, 32, dtype=torch.int64))
    mask = torch.cat((mask, torch.zeros(1, 1, dtype=torch.bool)), dim=1)
    output = model.decode(features, text, text[:, :0], mask, torch.tensor([0]))
    output.logits.sum().backward()  # type: ignore[no-untyped-call]
    assert model.transformer.decoder.query_embed.weight.grad is not None


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b.jpg", "x" * 400, "ß 日本.png", ".."])
def test_any_name_is_a_file_in_the_folder(name: str, tmp_path: Path) -> None:
    model = detector()
    folder = tmp_path / "cache"
    cache = FeatureCache(folder, "k")
    cached_features(model, cache, [name], pictures(1))
    assert cache.load(name) is not None
    assert cache.load(name + "2") is None
    assert len(list(folder.iterdir())) == 2
    assert list(tmp_path.iterdir()) == [folder]


def test_another_key_is_refused(tmp_path: Path) -> None:
    FeatureCache(tmp_path, "tiny-84-aaaa")
    FeatureCache(tmp_path, "tiny-84-aaaa")
    with pytest.raises(UsageError, match=r"expected features of tiny-84-bbbb, got .* tiny-84-aaaa"):
        FeatureCache(tmp_path, "tiny-84-bbbb")


def test_the_key_is_of_what_features_come_from() -> None:
    model = detector("nano", 112)
    key = trunk_key(model)
    assert key.startswith("nano-112-")
    assert trunk_key(detector("nano", 112)) == key
    with torch.no_grad():
        model.transformer.decoder.query_embed.weight.add_(1.0)
        assert trunk_key(model) == key
        for changed in (
            model.backbone.vision_backbone.trunk.pos_embed,
            model.geometry_encoder.cls_embed.weight,
            next(b for b in model.buffers() if b.dtype == torch.float32 and b.ndim == 1),
        ):
            changed.add_(1.0)
            assert trunk_key(model) != key
            key = trunk_key(model)


def test_features_that_will_change_are_refused(tmp_path: Path) -> None:
    model = Detector(preset("tiny", image_size=84))
    freeze(model, ["trunk"])
    with pytest.raises(UsageError, match=r"got backbone.vision_backbone.convs.*which is trained"):
        cached_features(model, FeatureCache(tmp_path, "k"), ["a"], pictures(1))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, "k")
    (tmp_path / "a.safetensors").write_bytes(b"torn")
    with pytest.raises(TrainingError, match=r"a.safetensors: expected the features of a picture"):
        cache.load("a")


def test_features_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    big = torch.full((1, 2, 4, 4), 1e6)
    cache = FeatureCache(tmp_path, "k")
    with pytest.raises(TrainingError, match="expected features within FP16"):
        cache.store("a", ImageFeatures(maps=(big, big, big), image_token=big[:, :1, :1, 0]))
    assert cache.load("a") is None


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="expected the key of a feature cache"):
        FeatureCache(tmp_path / "file", "k")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/features.json").write_text("{")
    with pytest.raises(TrainingError, match="expected the key of a feature cache"):
        FeatureCache(tmp_path / "cache", "k")

"""A cached picture gives the features it gave before, and only a frozen encoder may be cached."""

from pathlib import Path

import pytest
import torch

from sam3_edge.errors import UsageError
from sam3_edge.training.cached_pictures import cache_pictures
from sam3_edge.training.config.schema import AugmentSection, DataSection
from sam3_edge.training.freeze import freeze
from sam3_edge.training.model.config import preset
from sam3_edge.training.model.detector import Detector


def section(folder: Path) -> DataSection:
    return DataSection(feature_cache=str(folder), augment=AugmentSection(enabled=False))


def detector() -> Detector:
    torch.manual_seed(0)
    model = Detector(preset("tiny", image_size=84))
    freeze(model, ["all_but_decoder"])
    return model.train()


def test_every_picture_is_stored_once_and_comes_back(tmp_path: Path) -> None:
    model = detector()
    images = torch.randint(0, 256, (3, 84, 84, 3), dtype=torch.uint8)
    expected = model.eval().encode_image(images)
    cache_pictures(model.train(), section(tmp_path))
    first, again = model.encode_image(images), model.encode_image(images.flip(0))
    assert len(list(tmp_path.glob("*.safetensors"))) == 3
    for one, two, true in zip(first.maps, again.maps, expected.maps, strict=True):
        assert torch.equal(one, two.flip(0))
        assert torch.allclose(one, true, rtol=2e-3, atol=2e-3)


def test_evaluation_does_not_use_it(tmp_path: Path) -> None:
    model = detector()
    cache_pictures(model, section(tmp_path))
    model.eval().encode_image(torch.zeros((1, 84, 84, 3), dtype=torch.uint8))
    assert not list(tmp_path.glob("*.safetensors"))


def test_what_changes_cannot_be_cached(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"augment\.enabled=true; set it to false"):
        cache_pictures(detector(), DataSection(feature_cache=str(tmp_path)))
    model = Detector(preset("tiny", image_size=84)).train()
    cache_pictures(model, section(tmp_path))
    with pytest.raises(UsageError, match="which is trained"):
        model.encode_image(torch.zeros((1, 84, 84, 3), dtype=torch.uint8))

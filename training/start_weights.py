"""The detector a run starts from: random values, a file's, or what of a file fits."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sam3_edge.errors import TrainingError, UsageError
from sam3_edge.training.config.schema import ModelSection
from sam3_edge.training.model.config import ModelConfig, overrides_of, preset
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.efficientnet import (
    EfficientNetStem,
    load_pretrained,
    pretrained_path,
)
from sam3_edge.training.model.weights import (
    PREFIX,
    bundled_weights_path,
    load_reference,
    load_weights,
    reference_to_model,
)

BUNDLED = "bundled"


def start_detector(section: ModelSection) -> tuple[Detector, str]:
    """The detector, and a line that says where its values come from.

    Raises UsageError, TrainingError, and ExportError for weights of another preset.
    """
    config = configured(section)
    if section.weights is None:
        detector, line = Detector(config), "starting from random values"
    else:
        path = bundled_weights_path() if section.weights == BUNDLED else Path(section.weights)
        detector, line = _from_file(path, section)
    if section.backbone is not None:
        line += f", stem of {_load_backbone(detector, section.backbone)}"
    return detector, line


def configured(section: ModelSection) -> ModelConfig:
    """Raises UsageError."""
    return preset(section.preset, image_size=section.image_size, overrides=section.overrides)


def _from_file(path: Path, section: ModelSection) -> tuple[Detector, str]:
    if not section.partial and path.suffix == ".safetensors":
        detector, _ = load_weights(path, preset=section.preset, image_size=section.image_size)
        if section.overrides and overrides_of(detector.config) != overrides_of(configured(section)):
            raise UsageError(
                f"trainer.model.overrides: expected those that {path} was trained with, "
                f"{overrides_of(detector.config)}, got {section.overrides}; leave them out, or set "
                "trainer.model.partial=true to take what fits"
            )
        return detector, f"starting from {path}"
    detector = Detector(configured(section))
    state = _read(path)
    if not section.partial:
        load_reference(detector, state)
        return detector, f"starting from {path}"
    taken, total = load_fitting(detector, state)
    if not taken:
        raise TrainingError(
            f"{path}: expected at least one tensor that fits preset {section.preset!r} by name and "
            f"shape, got none of {len(state)}; choose other trainer.model.weights"
        )
    return detector, f"starting from {taken} of {total} tensors of {path}, the others at random"


def load_fitting(detector: Detector, state: Mapping[str, Tensor]) -> tuple[int, int]:
    """Copies what fits by name and shape; how many tensors that were, and how many there are."""
    ours = detector.state_dict()
    fitting = {
        name: tensor
        for theirs, tensor in state.items()
        if (name := reference_to_model(theirs)) in ours and tensor.shape == ours[name].shape
    }
    detector.load_state_dict(fitting, strict=False)
    return len(fitting), len(ours)


def _read(path: Path) -> dict[str, Tensor]:
    """Of .safetensors, of a run's last.pt, or what torch.save wrote, under "model" or by itself."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        held = torch.load(path, map_location="cpu", weights_only=True)
        state = _of_run(held) if "standing" in held else held.get("model", held)
        return {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    except (
        OSError,
        RuntimeError,
        AttributeError,
        EOFError,
        SafetensorError,
        pickle.UnpicklingError,
    ) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise TrainingError(
            f"{path}: expected weights as .safetensors or of torch.save, got: {first}; check "
            "trainer.model.weights"
        ) from error


def _of_run(held: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """The averaged weights, and where nothing is averaged those of the last step."""
    return {PREFIX + name: tensor for name, tensor in {**held["model"], **held["average"]}.items()}


def _load_backbone(detector: Detector, name: str) -> Path:
    stem = detector.backbone.vision_backbone.trunk.patch_embed
    if not isinstance(stem, EfficientNetStem):
        raise UsageError(
            f"trainer.model.backbone: expected a preset whose stem is EfficientNet's, got "
            f"{detector.config.preset!r}; leave it out"
        )
    path = pretrained_path(name)
    load_pretrained(stem, path)
    return path

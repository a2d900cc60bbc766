"""Between a reference checkpoint's names and this model's."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sam3_edge.errors import ExportError
from sam3_edge.training.model.detector import Detector

PREFIX = "detector."
# Of the detector's names in a full SAM 3 checkpoint: the tracker's own neck, and rotary angles,
# which are computed here.
NOT_DETECTOR = ("backbone.vision_backbone.sam2_convs.", ".attn.freqs_cis")


def reference_to_model(name: str) -> str | None:
    """The model's name of a reference parameter; None for what is not the image detector's."""
    if not name.startswith(PREFIX):
        return None
    inner = name.removeprefix(PREFIX)
    return None if any(part in inner for part in NOT_DETECTOR) else inner


def load_reference(model: Detector, state: dict[str, Tensor]) -> None:
    """Copy a reference checkpoint's tensors into the model.

    Raises ExportError naming the first missing, unexpected or misshapen parameter.
    """
    ours = model.state_dict()
    theirs = {m: t for n, t in state.items() if (m := reference_to_model(n)) is not None}
    missing, unexpected = sorted(ours.keys() - theirs.keys()), sorted(theirs.keys() - ours.keys())
    if missing or unexpected:
        raise ExportError(
            f"checkpoint: expected the {len(ours)} tensors of preset {model.config.preset!r}, got "
            f"{len(missing)} missing (first: {missing[0] if missing else '-'}) and "
            f"{len(unexpected)} unexpected (first: {unexpected[0] if unexpected else '-'}); "
            "choose the preset it was trained with"
        )
    for name, tensor in theirs.items():
        if tensor.shape != ours[name].shape:
            raise ExportError(
                f"checkpoint: expected {name} of shape {tuple(ours[name].shape)}, got "
                f"{tuple(tensor.shape)}; choose the preset and image size it was trained with"
            )
    model.load_state_dict({n: t.to(torch.float32) for n, t in theirs.items()})


def load_reference_file(model: Detector, path: Path) -> None:
    """`load_reference` from a .safetensors file. Raises ExportError if it cannot be read."""
    try:
        state = load_file(path)
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise ExportError(
            f"checkpoint: expected a readable .safetensors file, got {path}: {error}; "
            "check the path or copy it again"
        ) from error
    load_reference(model, state)

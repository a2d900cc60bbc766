"""Weights on disk: .safetensors with the reference's names, and what they were trained as.

A file this project writes carries its preset and image size in its metadata. A file of the
reference implementation carries none, and the caller says what it is.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sam3_edge.errors import ExportError
from sam3_edge.training.model.config import overrides_of
from sam3_edge.training.model.config import preset as preset_config
from sam3_edge.training.model.detector import Detector

PREFIX = "detector."
# Of the detector's names in a full SAM 3 checkpoint: the tracker's own neck, and rotary angles,
# which are computed here.
NOT_DETECTOR = ("backbone.vision_backbone.sam2_convs.", ".attn.freqs_cis")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsMetadata:
    """preset, image_size: of the ModelConfig. recipe: how to train it again, one line.
    data: what it was trained on. licence: of the weights.
    """

    preset: str
    image_size: int
    recipe: str
    data: tuple[str, ...]
    licence: str


def bundled_weights_path() -> Path:
    """The weights of the default bundle, to start from."""
    return Path(__file__).parents[1] / "weights" / "nano.safetensors"


def reference_to_model(name: str) -> str | None:
    """The model's name of a reference parameter; None for what is not the image detector's."""
    if not name.startswith(PREFIX):
        return None
    inner = name.removeprefix(PREFIX)
    return None if any(part in inner for part in NOT_DETECTOR) else inner


def load_reference(model: Detector, state: dict[str, Tensor]) -> None:
    """Copy a checkpoint's tensors into the model, in the model's own types.

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
                f"{tuple(tensor.shape)}; choose the preset it was trained with"
            )
    model.load_state_dict(theirs)


def load_weights(
    path: Path, *, preset: str | None = None, image_size: int | None = None
) -> tuple[Detector, WeightsMetadata]:
    """The detector of a .safetensors file, in evaluation mode.

    preset: for a file that does not say; ExportError where it is needed and missing, where it
    contradicts the file, or where the file cannot be read.
    image_size: S, if not the one the file was trained at; UsageError where its preset has none.
    """
    state, metadata = _read(path)
    chosen = _agreed_preset(path, metadata.get("preset"), preset)
    if chosen is None:
        raise ExportError(
            f"{path}: expected a checkpoint that names its preset, got one without; "
            "say which with --preset (full, journey, small ...)"
        )
    written = metadata.get("image_size")
    size = int(written) if image_size is None and written else image_size
    overrides = _overrides(path, metadata)
    config = preset_config(chosen, image_size=size, overrides=overrides)
    model = Detector(config).eval()
    load_reference(model, state)
    return model, WeightsMetadata(
        preset=chosen,
        image_size=config.image_size,
        recipe=metadata.get("recipe", "unknown"),
        data=tuple(part for part in metadata.get("data", "").split("; ") if part),
        licence=metadata.get("licence", "unknown"),
    )


def save_weights(
    model: Detector, path: Path, metadata: WeightsMetadata, *, half: bool = False
) -> None:
    """Write the model's parameters and buffers, floating ones as FP16 if `half`; in one step."""
    state = {}
    for name, tensor in model.state_dict().items():
        kept = tensor.half() if half and tensor.is_floating_point() else tensor
        state[PREFIX + name] = kept.detach().cpu().contiguous().clone()
    written = {
        "preset": metadata.preset,
        "image_size": str(metadata.image_size),
        "recipe": metadata.recipe,
        "data": "; ".join(metadata.data),
        "licence": metadata.licence,
    }
    if overrides := overrides_of(model.config):
        written["overrides"] = json.dumps(overrides)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        save_file(state, temporary, metadata=written)
        temporary.replace(path)
    except (OSError, SafetensorError) as error:  # A full disk is either, by where it is met.
        temporary.unlink(missing_ok=True)
        why = getattr(error, "strerror", None) or str(error)
        raise ExportError(
            f"cannot write {path}: {why}; check free space and permissions"
        ) from error


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            return {name: file.get_tensor(name) for name in list(file.keys())}, metadata
    except (OSError, SafetensorError) as error:
        raise ExportError(
            f"{path}: expected a readable .safetensors checkpoint, got: {error}; "
            "check the path, or copy the file again"
        ) from error


def _overrides(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    try:
        values = json.loads(metadata.get("overrides", "{}"))
    except ValueError as error:
        raise ExportError(
            f"{path}: expected overrides of the preset as JSON, got {error}; copy the file again"
        ) from error
    return dict(values) if isinstance(values, dict) else {}


def _agreed_preset(path: Path, written: str | None, asked: str | None) -> str | None:
    if written is not None and asked is not None and written != asked:
        raise ExportError(
            f"{path}: expected preset {written}, which the file was trained with, got {asked}; "
            f"leave the option out"
        )
    return asked if written is None else written

"""What a frozen image encoder makes of each picture, computed once and kept on disk."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sam3_edge.errors import TrainingError, UsageError
from sam3_edge.training.freeze import unchanged_state
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.outputs import ImageFeatures

KEY_NAME = "features.json"
FORMAT = 1
# What Detector.encode_image computes with.
ENCODER = (
    "backbone.vision_backbone.",
    *(f"geometry_encoder.{part}." for part in ("cls_embed", "final_proj", "norm")),
    *(f"geometry_encoder.{part}." for part in ("encode", "encode_norm")),
)
_LONGEST_NAME = 200


class FeatureCache:
    """One .safetensors file of FP16 tensors for each picture, named by the picture's id.

    Only valid where the same id is always the same picture: without any augmentation.
    key: what the features depend on (`trunk_key`). Raises UsageError for a folder with another
    key, TrainingError for one that cannot be read or written.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        path = folder / KEY_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                _write(path, lambda temporary: _write_key(temporary, key))
            held = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TrainingError(
                f"{path}: expected the key of a feature cache, got: {error}; "
                "choose another trainer.data.feature_cache"
            ) from error
        if held != {"format": FORMAT, "key": key}:
            raise UsageError(
                f"{folder}: expected features of {key}, got those of {held.get('key')}; remove the "
                "folder, or choose another trainer.data.feature_cache"
            )

    def load(self, name: str) -> ImageFeatures | None:
        """Of one picture (B = 1), float32 on the CPU; None where it was never stored."""
        path = self._path(name)
        try:
            if not path.exists():
                return None
            held = {key: tensor.float() for key, tensor in load_file(path).items()}
            maps = (held["map_4s"], held["map_2s"], held["map_s"])
            return ImageFeatures(maps=maps, image_token=held["image_token"])
        except (OSError, SafetensorError, KeyError) as error:
            raise TrainingError(
                f"{path}: expected the features of a picture, got: {error}; remove the file"
            ) from error

    def store(self, name: str, features: ImageFeatures) -> None:
        """features: of one picture (B = 1), stored as FP16. Raises TrainingError."""
        finest, middle, coarsest = features.maps
        tensors = {"map_4s": finest, "map_2s": middle, "map_s": coarsest}
        tensors["image_token"] = features.image_token
        halves = {key: t.detach().half().cpu().contiguous() for key, t in tensors.items()}
        for key, half in halves.items():
            if not torch.isfinite(half).all():
                raise TrainingError(
                    f"{name}: expected features within FP16, got {key} beyond it; train without "
                    "trainer.data.feature_cache"
                )
        path = self._path(name)
        try:
            _write(path, lambda temporary: save_file(halves, temporary))
        except (OSError, SafetensorError) as error:
            raise TrainingError(
                f"cannot write {path}: {error}; free space, or choose another "
                "trainer.data.feature_cache"
            ) from error

    def _path(self, name: str) -> Path:
        safe = quote(name, safe="")
        if len(safe) > _LONGEST_NAME:
            safe = hashlib.sha256(name.encode()).hexdigest()
        return self.folder / f"{safe}.safetensors"


def trunk_key(model: Detector) -> str:
    """Preset, image size and a hash of every parameter and buffer that image features come from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if name.startswith(ENCODER):
            values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(values.tobytes())
    return f"{model.config.preset}-{model.config.image_size}-{digest.hexdigest()[:16]}"


def cached_features(
    model: Detector, cache: FeatureCache, names: Sequence[str], images: Tensor
) -> ImageFeatures:
    """The features of images (B, S, S, 3) uint8 whose ids are `names`, float32 where they are.

    Those that are not stored yet are computed in one batch, in evaluation mode and without
    gradients, and stored; they too are returned as FP16 keeps them. Only valid without
    augmentation. Raises UsageError where something the features come from is trained.
    """
    _check_frozen(model)
    found = {name: cache.load(name) for name in names}
    missing = [i for i, name in enumerate(names) if found[name] is None]
    if missing:
        with unchanged_state(model), torch.no_grad():
            model.eval()
            computed = model.encode_image(images[torch.tensor(missing, device=images.device)])
        for row, i in enumerate(missing):
            cache.store(names[i], _one(computed, row))
            found[names[i]] = cache.load(names[i])
    return _joined([one for name in names if (one := found[name]) is not None], images.device)


def _check_frozen(model: Detector) -> None:
    for name, parameter in model.named_parameters():
        if name.startswith(ENCODER) and parameter.requires_grad:
            raise UsageError(
                f"trainer.data.feature_cache: expected image features that stay as they are, got "
                f"{name}, which is trained; set trainer.model.freeze to all_but_decoder or "
                "all_but_mask_head, or to backbone.vision_backbone.* and geometry_encoder.*"
            )


def _one(features: ImageFeatures, row: int) -> ImageFeatures:
    finest, middle, coarsest = (m[row : row + 1] for m in features.maps)
    token = features.image_token[row : row + 1]
    return ImageFeatures(maps=(finest, middle, coarsest), image_token=token)


def _joined(features: list[ImageFeatures], device: torch.device) -> ImageFeatures:
    finest, middle, coarsest = (torch.cat([f.maps[i] for f in features]) for i in range(3))
    maps = (finest.to(device), middle.to(device), coarsest.to(device))
    token = torch.cat([f.image_token for f in features])
    return ImageFeatures(maps=maps, image_token=token.to(device))


def _write_key(path: Path, key: str) -> None:
    path.write_text(json.dumps({"format": FORMAT, "key": key}) + "\n", encoding="utf-8")


def _write(path: Path, write: Callable[[Path], None]) -> None:
    """In one step: several processes may write the same file, and each may be killed."""
    temporary = path.with_name(f".{os.getpid()}.{path.name}"[-_LONGEST_NAME - 20 :])
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

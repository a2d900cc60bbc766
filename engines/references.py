"""The pictures a bundle carries to prove itself, and what FP32 made of them."""

import os
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3_edge.engines.backend import PromptBatch, RawOutput, TextFeatures
from sam3_edge.engines.text_prompts import text_only_prompts
from sam3_edge.errors import BundleError


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """R pictures, the same P phrases asked of each, and the FP32 outputs of the decoder graph.

    images: (R, S, S, 3) uint8 RGB. phrases: P texts. token_ids: (P, 32) int64.
    text_features: (P, 32, C) float32. text_mask: (P, 32) bool, True = padding. Kept so that a
        replay needs no text graph.
    num_exemplars: E. threshold: 0..1, the score from which a detection counts as kept.
    logits: (R, P, Q) float32. presence: (R, P, 1) float32. boxes: (R, P, Q, 4) float32, cxcywh
        in 0..1 of the square.
    masks: (K, 4s, 4s) float16 logits of the K kept detections.
    mask_index: (K, 3) int64: picture, prompt and query of each.
    """

    images: NDArray[np.uint8]
    phrases: tuple[str, ...]
    token_ids: NDArray[np.int64]
    text_features: NDArray[np.float32]
    text_mask: NDArray[np.bool_]
    num_exemplars: int
    threshold: float
    logits: NDArray[np.float32]
    presence: NDArray[np.float32]
    boxes: NDArray[np.float32]
    masks: NDArray[np.float16]
    mask_index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.images)

    def prompts(self) -> PromptBatch:
        text = TextFeatures(features=self.text_features, mask=self.text_mask)
        return text_only_prompts(text, self.num_exemplars)


def record_references(
    *,
    images: NDArray[np.uint8],
    phrases: tuple[str, ...],
    token_ids: NDArray[np.int64],
    text: TextFeatures,
    num_exemplars: int,
    threshold: float,
    outputs: Sequence[RawOutput],
) -> References:
    """outputs: what the trusted FP32 model makes of each picture and all phrases, words only."""
    logits = np.stack([output.logits for output in outputs])
    presence = np.stack([output.presence for output in outputs])
    kept = np.argwhere(detection_scores(logits, presence) >= threshold)
    masks = [outputs[image].masks[prompt, query] for image, prompt, query in kept]
    sides = outputs[0].masks.shape[2:]
    return References(
        images=images,
        phrases=phrases,
        token_ids=token_ids,
        text_features=text.features,
        text_mask=text.mask,
        num_exemplars=num_exemplars,
        threshold=threshold,
        logits=logits,
        presence=presence,
        boxes=np.stack([output.boxes for output in outputs]),
        masks=np.array(masks, dtype=np.float32).reshape(-1, *sides).astype(np.float16),
        mask_index=kept.astype(np.int64),
    )


def detection_scores(
    logits: NDArray[np.float32], presence: NDArray[np.float32]
) -> NDArray[np.float64]:
    """sigmoid(logit) * sigmoid(presence): (..., P, Q) and (..., P, 1) -> (..., P, Q), 0..1."""
    # by tanh, which does not overflow
    logit, present = (0.5 + 0.5 * np.tanh(0.5 * x.astype(np.float64)) for x in (logits, presence))
    scores: NDArray[np.float64] = logit * present
    return scores


_LAYOUT = {
    "images": (np.uint8, ("R", "S", "S", 3)),
    "phrases": (np.str_, ("P",)),
    "token_ids": (np.int64, ("P", "T")),
    "text_features": (np.float32, ("P", "T", "C")),
    "text_mask": (np.bool_, ("P", "T")),
    "num_exemplars": (np.int64, ()),
    "threshold": (np.float64, ()),
    "logits": (np.float32, ("R", "P", "Q")),
    "presence": (np.float32, ("R", "P", 1)),
    "boxes": (np.float32, ("R", "P", "Q", 4)),
    "masks": (np.float16, ("K", "M", "M")),
    "mask_index": (np.int64, ("K", 3)),
}


def write_references(path: Path, references: References) -> None:
    """Compressed .npz, replaced in one step. Raises BundleError, also for unfitting arrays."""
    arrays: dict[str, Any] = {
        field.name: np.asarray(getattr(references, field.name)) for field in fields(References)
    }
    try:
        _check_layout(arrays)
    except ValueError as error:
        raise BundleError(f"{path} was not written: {error}") from error
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            np.savez_compressed(stream, **arrays)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BundleError(
            f"cannot write {path}: {error.strerror}; check free space and permissions"
        ) from error


def read_references(path: Path) -> References:
    """Raises BundleError if the file is not a whole reference set."""
    try:
        # numpy would leave the file open if it is not an archive
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        _check_layout(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BundleError(
            f"{path} is damaged: expected a reference set, got {error}; "
            "copy or export the bundle again"
        ) from error
    return References(
        phrases=tuple(str(text) for text in arrays.pop("phrases")),
        num_exemplars=int(arrays.pop("num_exemplars")),
        threshold=float(arrays.pop("threshold")),
        **arrays,
    )


def _check_layout(arrays: dict[str, NDArray[Any]]) -> None:
    """ValueError unless every array is there with its type, and axes of one name are equal."""
    if sorted(arrays) != sorted(_LAYOUT):
        raise ValueError(f"expected {', '.join(_LAYOUT)}, got {', '.join(arrays)}")
    sizes: dict[str, int] = {}
    for name, (dtype, axes) in _LAYOUT.items():
        array = arrays[name]
        if not np.issubdtype(array.dtype, dtype) or array.ndim != len(axes):
            raise ValueError(
                f"{name}: expected {np.dtype(dtype).name} with axes {axes}, "
                f"got {array.dtype} {array.shape}"
            )
        for axis, size in zip(axes, array.shape, strict=True):
            expected = sizes.setdefault(axis, size) if isinstance(axis, str) else axis
            if size != expected:
                raise ValueError(f"{name}: expected {axis} = {expected}, got {size}")
    limits = arrays["logits"].shape
    index = arrays["mask_index"]
    if np.any(index < 0) or np.any(index >= np.array(limits)):
        raise ValueError(f"mask_index: expected indices into {limits}, got some outside")

"""Results for who draws, counts or tracks with the `supervision` package."""

from importlib import import_module
from typing import Any

import numpy as np

from sam3_edge.runtime.results import FrameResult


def to_supervision(result: FrameResult) -> Any:
    """`supervision.Detections` (https://supervision.roboflow.com/latest/detection/core/):

    xyxy: (N, 4) float32, pixels. mask: (N, H, W) bool. confidence: (N,) float32. class_id: (N,)
    int64, the prompt's index. tracker_id: (N,) int64, or None. data: {"class_name": (N,) str}.
    Raises ImportError where the package is not installed.
    """
    try:
        supervision = import_module("supervision")
    except ImportError as error:
        raise ImportError(
            f"expected the package supervision for to_supervision(), got: {error}; "
            "install it: python -m pip install supervision"
        ) from error
    found = result.detections
    masks = np.zeros((len(found), *result.frame.size), dtype=np.bool_)
    for row, mask in zip(masks, found.masks, strict=True):
        row[:] = mask.full()
    return supervision.Detections(
        xyxy=found.boxes.copy(),  # who draws or tracks may write into them
        mask=masks,
        confidence=found.scores.copy(),
        class_id=found.prompt_index.copy(),
        tracker_id=None if found.track_ids is None else found.track_ids.copy(),
        data={"class_name": np.array(result.prompts, dtype=np.str_)[found.prompt_index]},
    )

import numpy as np
from numpy.typing import NDArray

def encode_rle(
    bits: NDArray[np.bool_] | NDArray[np.uint8],
    height: int,
    width: int,
    x: int,
    y: int,
    /,
) -> str: ...
def decode_rle(
    bits: NDArray[np.bool_] | NDArray[np.uint8],
    counts: str,
    height: int,
    width: int,
    x: int,
    y: int,
    /,
) -> None: ...
def line_filter(num_in: int, num_out: int, /) -> object: ...
def preprocess(
    out: NDArray[np.uint8],
    planes: tuple[NDArray[np.uint8], ...],
    format: str,  # noqa: A002
    height: int,
    width: int,
    rows: object,
    columns: object,
    scalar: bool = False,
    /,
) -> None: ...
def mask_window(
    logits: NDArray[np.float32],
    height: int,
    width: int,
    box: tuple[float, float, float, float] | None,
    /,
) -> tuple[int, int, int, int]: ...
def mask_to_rle(
    logits: NDArray[np.float32],
    height: int,
    width: int,
    box: tuple[float, float, float, float] | None,
    scalar: bool,
    /,
) -> str: ...
def mask_to_bits(
    bits: NDArray[np.bool_] | NDArray[np.uint8],
    logits: NDArray[np.float32],
    height: int,
    width: int,
    x: int,
    y: int,
    scalar: bool,
    /,
) -> None: ...
def mask_to_packed(
    packed: NDArray[np.uint8],
    logits: NDArray[np.float32],
    height: int,
    width: int,
    x: int,
    y: int,
    columns: int,
    scalar: bool,
    /,
) -> None: ...
def mask_measure(
    bits: NDArray[np.bool_] | NDArray[np.uint8], /
) -> tuple[int, int, int, int, int]: ...
def rle_measure(counts: str, height: int, width: int, /) -> tuple[int, int, int, int, int]: ...
def rle_intersect(a: str, b: str, height: int, width: int, /) -> tuple[int, int, int]: ...
def decode_outputs(
    scores: NDArray[np.float32],
    out_boxes: NDArray[np.float32],
    prompts: NDArray[np.int64],
    queries: NDArray[np.int64],
    logits: NDArray[np.float32],
    presence: NDArray[np.float32],
    boxes: NDArray[np.float32],
    thresholds: NDArray[np.float32],
    height: int,
    width: int,
    overlap: float,
    /,
) -> int: ...
def box_iou(
    ious: NDArray[np.float32], a: NDArray[np.float32], b: NDArray[np.float32], /
) -> None: ...
def mask_iou(
    ious: NDArray[np.float32],
    a: tuple[str, ...],
    b: tuple[str, ...],
    height: int,
    width: int,
    /,
) -> None: ...
def suppress(kept: NDArray[np.int64], ious: NDArray[np.float32], limit: float, /) -> int: ...
def paint_masks(
    planes: tuple[NDArray[np.uint8], ...],
    format: str,  # noqa: A002
    height: int,
    width: int,
    masks: tuple[tuple[NDArray[np.bool_] | NDArray[np.uint8], int, int, tuple[int, int, int]], ...],
    strength: float,
    thickness: float,
    scalar: bool = False,
    /,
) -> None: ...

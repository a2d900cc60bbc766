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
def decode_rle(mask: NDArray[np.bool_] | NDArray[np.uint8], counts: str, /) -> None: ...
def line_filter(num_in: int, num_out: int, /) -> object: ...
def preprocess(
    out: NDArray[np.uint8],
    planes: tuple[NDArray[np.uint8], ...],
    format: str,
    height: int,
    width: int,
    rows: object,
    columns: object,
    scalar: bool = False,
    /,
) -> None: ...

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

"""The picture the network sees is the one it was trained on: PyTorch's antialiased bilinear."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from sam3_edge.runtime.preprocess import preprocess


def resized(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    out = np.zeros((size, size, 3), dtype=np.uint8)
    preprocess(image, out)
    return out


def twin(image: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    planes = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None].float()
    squeezed = F.interpolate(
        planes, size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )
    small: NDArray[np.float32] = squeezed[0].permute(1, 2, 0).numpy()
    return small


@pytest.mark.parametrize(
    "size", [(720, 1280), (480, 640), (337, 1013), (28, 28), (20, 13), (1, 1), (3, 500), (2000, 31)]
)
@pytest.mark.parametrize("side", [14, 28, 224])
def test_equals_the_twin(size: tuple[int, int], side: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8)
    difference = np.abs(resized(image, side) - twin(image, side))
    assert difference.max() <= 0.51  # of rounding


def test_a_constant_stays_and_black_and_white_do_not_wrap() -> None:
    for value in (0, 1, 127, 255):
        image = np.full((500, 333, 3), value, dtype=np.uint8)
        assert (resized(image, 224) == value).all()


def test_colours_are_swapped() -> None:
    image = np.zeros((50, 60, 3), dtype=np.uint8)
    image[..., 0] = 200  # blue
    assert resized(image, 14)[3, 4].tolist() == [0, 0, 200]


def test_any_row_stride_and_flipped_views() -> None:
    wide = np.random.default_rng(2).integers(0, 256, (100, 200, 3)).astype(np.uint8)
    for view in (wide[10:90, 20:150], wide[::-1], wide[:, ::-1], wide[::2, ::3]):
        np.testing.assert_array_equal(resized(view, 28), resized(view.copy(), 28))


def test_it_writes_into_the_slot_it_was_given() -> None:
    slots = np.zeros((2, 28, 28, 3), dtype=np.uint8)
    preprocess(np.full((40, 40, 3), 9, dtype=np.uint8), slots[1])
    assert (slots[0] == 0).all()
    assert (slots[1] == 9).all()

"""Arrays that are used again, so that a stream does not ask the system for a picture's worth of
memory with every frame."""

from collections.abc import Sequence
from sys import getrefcount
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_MOST = 16  # arrays kept; more are given away for good


class BufferPool:
    """Arrays of one shape and type at a time; each is free again when nobody refers to it.

    Nothing is given back by hand, so nothing can be given back too early: CPython counts the
    references to an array, and each of its views and buffers is one. Who keeps an array keeps it,
    and another is made. For one taking thread; any thread may let go.
    """

    def __init__(self) -> None:
        self._arrays: list[NDArray[Any]] = []

    def take(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array in C order with anything in it. Another shape or type begins a new pool."""
        if self._arrays and (self._arrays[0].shape != shape or self._arrays[0].dtype != dtype):
            self._arrays = []
        for array, count in zip(self._arrays, _reference_counts(self._arrays), strict=True):
            if count == _UNUSED:
                return array
        array = np.empty(shape, dtype)
        if len(self._arrays) < _MOST:
            self._arrays.append(array)
        return array


def _reference_counts(arrays: Sequence[NDArray[Any]]) -> list[int]:
    return [getrefcount(array) for array in arrays]


# Of an array that only a list refers to: versions of Python count the loop above differently.
_UNUSED = _reference_counts([np.empty(0)])[0]

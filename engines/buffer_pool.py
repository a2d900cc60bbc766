"""Arrays that are used again, so that a stream does not ask the system for a picture's worth of
memory with every frame."""

from collections.abc import Sequence
from sys import getrefcount
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_MOST = 32  # arrays kept; more are given away for good


class BufferPool:
    """Arrays of any shapes and types; each is free again when nobody refers to it.

    Nothing is given back by hand, so nothing can be given back too early: CPython counts the
    references to an array, and each of its views and buffers is one. Who keeps an array keeps it,
    and another is made. Any thread may take and let go.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._arrays: list[NDArray[Any]] = []

    def take(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array in C order with anything in it. Free ones of other shapes are let go first
        where there are too many."""
        with self._lock:
            free = [count == _UNUSED for count in _reference_counts(self._arrays)]
            for array, is_free in zip(self._arrays, free, strict=True):
                if is_free and array.shape == shape and array.dtype == dtype:
                    return array
            if len(self._arrays) >= _MOST and True in free:
                del self._arrays[free.index(True)]
            array = np.empty(shape, dtype)
            if len(self._arrays) < _MOST:
                self._arrays.append(array)
            return array

    def let_go(self) -> None:
        """Of every array that nobody refers to."""
        with self._lock:
            free = [count == _UNUSED for count in _reference_counts(self._arrays)]
            self._arrays = [
                array for array, is_free in zip(self._arrays, free, strict=True) if not is_free
            ]


def _reference_counts(arrays: Sequence[NDArray[Any]]) -> list[int]:
    return [getrefcount(array) for array in arrays]


# Of an array that only a list refers to: versions of Python count the loop above differently.
_UNUSED = _reference_counts([np.empty(0)])[0]

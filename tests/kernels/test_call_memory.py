"""Whether a call is accepted or refused, it lets go of everything it was given."""

import gc
import sys
import tracemalloc
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_edge.runtime import _kernels
from tests.kernels.kernel_calls import FUNCTIONS, good_call

CALLS = 10_000
MOST_BYTES = 2_000  # of the loop itself; a byte lost in every call would be five times that


class Nothing:
    """No argument of anything."""


def calls(name: str) -> list[list[Any]]:
    """A good call, and one for each argument that is refused, after all before it were read."""
    listed = [good_call(name)]
    for k in range(len(FUNCTIONS[name])):
        if FUNCTIONS[name][k].kind != "flag":
            arguments = good_call(name)
            arguments[k] = Nothing()
            listed.append(arguments)
    return [*listed, *refused_late(name)]


def refused_late(name: str) -> list[list[Any]]:
    """Refused with every buffer open, and with memory of its own."""
    changes: dict[str, dict[int, Any]] = {
        "decode_rle": {1: "5"},
        "encode_rle": {3: 99},
        "preprocess": {6: _kernels.line_filter(7, 4)},
        "mask_to_bits": {4: 99},
        "decode_outputs": {8: -1},
        "box_iou": {2: np.zeros((3, 5), np.float32)},
        "mask_iou": {2: ("0",) * 2},
        "suppress": {1: np.zeros((3, 4), np.float32)},
        "paint_masks": {4: ((np.ones((3, 4), np.bool_), 1, 1, (255, 0, 9)), None)},
    }
    if name not in changes:
        return []
    arguments = good_call(name)
    for k, value in changes[name].items():
        arguments[k] = value
    return [arguments]


def call(name: str, arguments: list[Any]) -> None:
    with suppress(TypeError, ValueError):
        getattr(_kernels, name)(*arguments)


def objects(values: Any) -> list[Any]:
    """Arguments, and what is inside of tuples."""
    if isinstance(values, list | tuple):
        return [*values, *(found for value in values for found in objects(value))]
    return []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_calls_keep_no_memory(name: str) -> None:
    listed = calls(name)
    rounds = CALLS // len(listed)
    for arguments in listed * 3:
        call(name, arguments)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(rounds):
            for arguments in listed:
                call(name, arguments)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < MOST_BYTES


@pytest.mark.parametrize("name", FUNCTIONS)
def test_calls_keep_no_references(name: str) -> None:
    for arguments in calls(name):
        held = objects(arguments)
        before = [sys.getrefcount(value) for value in held]
        for _ in range(100):
            call(name, arguments)
        after = [sys.getrefcount(value) for value in held]
        grown = [late - early for early, late in zip(before, after, strict=True)]
        assert max(grown) < 50  # small numbers and None are everybody's


def as_view(array: NDArray[Any], memory: bytearray) -> Any:
    """The same numbers in `memory`, which cannot be resized while anything looks at it."""
    memory[:] = array.tobytes()
    letter: Any = "?" if array.dtype == np.bool_ else array.dtype.char
    return memoryview(memory).cast(letter, array.shape)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_buffers_are_released(name: str) -> None:
    """Arrays of any kind are accepted, and their owner can do with them what it likes after."""
    for arguments in calls(name):
        memories: list[bytearray] = []
        views: list[Any] = []
        for k, value in enumerate(arguments):
            if isinstance(value, np.ndarray):
                memories.append(bytearray(value.nbytes))
                views.append(as_view(value, memories[-1]))
                arguments[k] = views[-1]
        call(name, arguments)
        for view in views:
            view.release()
        for memory in memories:
            memory.append(0)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_views_of_any_owner_give_the_same(name: str) -> None:
    plain, other = good_call(name), good_call(name)
    for k, value in enumerate(other):
        if isinstance(value, np.ndarray):
            other[k] = as_view(value, bytearray(value.nbytes))
    results = [getattr(_kernels, name)(*arguments) for arguments in (plain, other)]
    if FUNCTIONS[name][0].name != "num_in":  # capsules are equal to nothing
        assert results[0] == results[1]
    for mine, theirs in zip(plain, other, strict=True):
        if isinstance(theirs, memoryview):
            assert mine.tobytes() == theirs.tobytes()


def test_an_array_can_be_resized_after_a_refusal() -> None:
    ious = np.zeros((3, 4), np.float32)
    with pytest.raises(ValueError, match="ious: expected 3 along axis 1, got 4"):
        _kernels.suppress(np.zeros(3, np.int64), ious, 0.5)
    ious.resize((5, 5))
    assert ious.shape == (5, 5)

"""An array comes again when nobody refers to it, and never before."""

import weakref
from threading import Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3_edge.engines.buffer_pool import BufferPool

SHAPE = (4, 6, 3)


def address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def test_what_is_let_go_comes_again() -> None:
    pool = BufferPool()
    seen = set()
    for _ in range(100):
        array = pool.take(SHAPE, np.uint8)
        assert array.shape == SHAPE
        assert array.dtype == np.uint8
        assert array.flags.c_contiguous
        seen.add(address(array))
    assert len(seen) == 2  # the one before is held while the next is taken


def test_what_somebody_looks_at_is_left_alone() -> None:
    pool = BufferPool()
    array = pool.take(SHAPE, np.uint8)
    array[...] = 7
    views = {
        "slice": array[1:, ::2],
        "transposed": array.T,
        "memory": memoryview(array),  # type: ignore[arg-type]
        "frombuffer": np.frombuffer(array, np.uint8),
        "held by another object": [array],
    }
    del array
    while views:
        fresh = pool.take(SHAPE, np.uint8)
        fresh[...] = 1
        assert all(np.all(np.asarray(view) == 7) for view in views.values())
        views.popitem()
    assert pool.take(SHAPE, np.uint8) is not None


def test_a_view_of_a_view_counts() -> None:
    pool = BufferPool()
    corner = pool.take(SHAPE, np.uint8)[1:][:, 1:][..., 0]
    corner[...] = 9
    pool.take(SHAPE, np.uint8)[...] = 1
    assert np.all(corner == 9)


def test_shapes_and_types_beside_each_other() -> None:
    pool = BufferPool()
    seen = {address(pool.take(SHAPE, np.uint8)), address(pool.take(SHAPE, np.float32))}
    assert pool.take((2, 2), np.uint8).shape == (2, 2)
    assert pool.take((2, 2), np.float32).dtype == np.float32
    assert {address(pool.take(SHAPE, dtype)) for dtype in (np.uint8, np.float32)} == seen


def test_a_shape_that_is_not_asked_for_any_more_makes_room() -> None:
    pool = BufferPool()
    old = [weakref.ref(pool.take((side, side), np.uint8)) for side in range(1, 100)]
    assert sum(ref() is not None for ref in old) <= 40
    array = pool.take(SHAPE, np.uint8)
    where = address(array)
    del array
    assert address(pool.take(SHAPE, np.uint8)) == where


def test_threads_never_share_an_array() -> None:
    pool = BufferPool()
    wrong: list[int] = []

    def use(number: int) -> None:
        for _ in range(2000):
            array = pool.take((64,), np.int64)
            array[...] = number
            if not np.all(array == number):
                wrong.append(number)

    threads = [Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_more_than_it_keeps_are_still_given() -> None:
    pool = BufferPool()
    held = [pool.take(SHAPE, np.uint8) for _ in range(40)]
    assert len({address(array) for array in held}) == 40


def test_another_thread_may_let_go() -> None:
    pool = BufferPool()
    box = [pool.take(SHAPE, np.uint8)]
    first = address(box[0])
    assert address(pool.take(SHAPE, np.uint8)) != first
    thread = Thread(target=box.clear)
    thread.start()
    thread.join()
    assert address(pool.take(SHAPE, np.uint8)) == first


def test_it_lets_go_of_what_nobody_looks_at() -> None:
    pool = BufferPool()
    kept, let_go = pool.take(SHAPE, np.uint8), pool.take(SHAPE, np.uint8)
    gone = weakref.ref(let_go)
    kept[...] = 7
    del let_go
    pool.let_go()
    assert gone() is None
    others = [pool.take(SHAPE, np.uint8) for _ in range(3)]
    assert not any(np.shares_memory(kept, other) for other in others)
    assert (kept == 7).all()

"""Whatever any function of the extension is given, it refuses it in words or gets it right.

Never a crash, and nothing written by a call that is refused. Shapes and values that only make sense
together are tested with their kernels; here every argument goes wrong alone, in every way."""

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from sam3_edge.runtime import _kernels
from tests.kernels.kernel_calls import COUNTS, FUNCTIONS, SIDE, Argument, good_call

REFUSALS = (TypeError, ValueError, OverflowError)
# Ours, and CPython's own words where it converts an argument before we see it.
SAYS_WHAT_IS_WRONG = re.compile(
    r"expected .*got .+"
    r"|a bytes-like object is required, not '.+'"
    r"|'.+' object cannot be interpreted as an integer"
    r"|must be (str|real number|a real number|\d+-item sequence|sequence of length \d+), not .+"
    r"|too large to convert"
    r"|embedded null character"
    r"|takes (exactly|at (least|most)) \d+ arguments? \(\d+ given\)"
    r"|must be sequence of length \d+|signed integer is (greater|less) than"
    r"|truth value of an array|only .* can be converted to|codec can't encode"
)


def function(name: str) -> Any:
    return getattr(_kernels, name)


def contents(values: Any) -> list[bytes]:
    """The bytes of every array in it, in order, but for those that only claim to be large."""
    if isinstance(values, np.ndarray):
        return [] if values.dtype == object or values.size > 2**20 else [values.tobytes()]
    if isinstance(values, list | tuple):
        return [found for value in values for found in contents(value)]
    return []


def refused(name: str, arguments: list[Any]) -> str:
    """What the function says; it has written nothing."""
    before = contents(arguments)
    with pytest.raises(REFUSALS) as raised:
        function(name)(*arguments)
    assert SAYS_WHAT_IS_WRONG.search(str(raised.value)), f"{name}: {raised.value!r}"
    assert contents(arguments) == before
    return str(raised.value)


# ------------------------------ what is wrong ------------------------------

NO_ARRAYS = [None, 3, "abc", [[1.0]], (1.0,), object(), {}]
NO_INDICES = [None, 2.5, "3", [1], 1j, np.float32(1), np.zeros(2, np.int64)]
WRONG_INDICES = [
    -1, 0, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64, 10**30,
    -(2**31), -(2**32), -(2**63), -(2**63) - 1,
]  # fmt: skip
NO_NUMBERS = [None, "0.5", [0.5], 1j, np.zeros(2), 10**400]
WRONG_NUMBERS = [np.nan, np.inf, -np.inf, -1.0, -1e-9, 2.0, 17.0, 1e300]
NO_TEXTS = [None, 3, b"6", bytearray(b"6"), ["6"], np.zeros(2, np.uint8)]
WRONG_TEXTS = [
    "",  # fewer pixels than the frame has
    COUNTS[:-1], COUNTS + "1", "o", "0" * 999, "N" * 99,
    COUNTS + "P",  # cut inside a run
    " ", "/", "p", "~", COUNTS[:2] + "\0" + COUNTS[2:], COUNTS + "\0", "\x7f",
    "\u00e9", "\u2028", "\U0001f600", "\ud800", COUNTS + "\udfff",
    "O",  # below zero
    "oooooooo0", "PPPPPPPPPPPPPPPPPPPPP1", "0ooooooo?",  # beyond 32 and 63 bits
]  # fmt: skip


def dtypes(good: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The same shape of everything else."""
    bytes_are_good = good.dtype in (np.bool_, np.uint8)
    for dtype in (
        "?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "g", "c8", "c16",
        "O", "S1", "U1", "V4", "M8[s]", "m8[s]", good.dtype.newbyteorder(), [("a", good.dtype)],
    ):  # fmt: skip
        other = np.zeros(good.shape, dtype)
        if other.dtype == good.dtype or (bytes_are_good and other.dtype in (np.bool_, np.uint8)):
            continue
        yield other


def shapes(argument: Argument, good: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Other numbers of axes, and axes that are longer, shorter or empty."""
    yield good.reshape(1, *good.shape)
    yield good.reshape(*good.shape, 1)
    yield good[0]
    yield np.zeros((), good.dtype)
    yield np.zeros((1,) * 30, good.dtype)
    for axis, length in enumerate(good.shape):
        if axis in argument.free:
            continue
        for other in (0, length - 1, length + 1, 1000):
            shape = (*good.shape[:axis], other, *good.shape[axis + 1 :])
            yield np.zeros(shape, good.dtype)


def layouts(argument: Argument, good: NDArray[Any]) -> Iterator[Any]:
    """The right shape and type, in memory that is not one piece, aligned, or to be written."""
    if not argument.strided:
        views = [
            np.repeat(good, 2, axis=-1)[..., ::2],
            np.repeat(good, 2, axis=0)[::2],
            good[..., ::-1],
            good[::-1],
            np.asfortranarray(good),
            as_strided(good, strides=(0,) * good.ndim),
            # Far more than there is memory for: nothing may walk along it.
            as_strided(good, (2**31, *good.shape[1:]), (0,) * good.ndim),
            as_strided(good, (2**40, *good.shape[1:]), (0,) * good.ndim),
        ]
        yield from (view for view in views if not view.flags.c_contiguous)
    if good.itemsize > 1:
        memory = np.zeros(good.nbytes + 1, np.uint8)
        yield memory[1:].view(good.dtype).reshape(good.shape)
        letter: Any = good.dtype.char
        yield memoryview(bytearray(good.nbytes + 1))[1:].cast(letter, good.shape)
    if argument.written:
        locked = good.copy()
        locked.flags.writeable = False
        yield locked
        yield np.frombuffer(bytes(good.nbytes), good.dtype).reshape(good.shape)


def wrong_arrays(argument: Argument) -> Iterator[Any]:
    good = argument.good()
    yield from NO_ARRAYS
    yield b""
    yield from dtypes(good)
    yield from shapes(argument, good)
    yield from layouts(argument, good)


def wrong_tuples(argument: Argument) -> Iterator[Any]:
    """The container, then its entries one by one."""
    good = argument.good()
    yield from (None, 3, "abc", list(good), np.zeros(3), {}, iter(good))
    if argument.name in ("planes", "a", "b"):
        yield good[:-1]
        yield (*good, good[0])
    for k, entry in enumerate(good):
        for other in wrong_entries(argument, entry):
            yield (*good[:k], other, *good[k + 1 :])


def wrong_entries(argument: Argument, entry: Any) -> Iterator[Any]:
    if argument.name in ("a", "b"):
        yield from (*NO_TEXTS, *WRONG_TEXTS)
    elif argument.name == "masks":
        bits, x, y, colour = entry
        yield from (None, (), entry[:3], (*entry, 1), list(entry))
        for other in NO_ARRAYS:
            yield other, x, y, colour
        for other in dtypes(bits):
            yield other, x, y, colour
        for other in (
            bits[0],
            bits[None],
            np.ones((9, 4), np.bool_),
            np.repeat(bits, 2, 1)[:, ::2],
        ):
            yield other, x, y, colour
        for other in (*NO_INDICES, *(value for value in WRONG_INDICES if value != 0)):
            yield bits, other, y, colour
            yield bits, x, other, colour
        for other in (None, 3, (), (1, 2), (1, 2, 3, 4), (1, 2, -1), (256, 0, 0), (0, 2**40, 0),
                      ("1", 2, 3), (1.5, 2, 3)):  # fmt: skip
            yield bits, x, y, other
    else:
        plane = np.zeros((*entry.shape[:1], 2 * entry.shape[1]), np.uint8)
        yield from (*NO_ARRAYS, *dtypes(entry), entry[0], entry[None], entry[1:], entry[:, 1:])
        yield from (plane, plane[:, ::2], entry[:, ::-1], np.zeros((0, 6), np.uint8))
        yield as_strided(entry, (2**40, entry.shape[1]), (0, 1))


def wrong_values(argument: Argument) -> Iterator[Any]:
    """Everything that the argument must refuse."""
    match argument.kind:
        case "array":
            yield from wrong_arrays(argument)
        case "index":
            yield from NO_INDICES
            yield from (value for value in WRONG_INDICES if value not in argument.accepts)
        case "number":
            yield from NO_NUMBERS
            if not argument.accepts or argument.accepts == (2.0,):
                yield from (value for value in WRONG_NUMBERS if value not in argument.accepts)
        case "text":
            yield from (*NO_TEXTS, *WRONG_TEXTS)
        case "tuple":
            yield from wrong_tuples(argument)
        case "format":
            yield from (None, 3, b"NV12", ["NV12"], "", "nv12", "NV12\0", "NV12 ", "\ud800", "RGBX")
        case "capsule":
            others = [_kernels.line_filter(7, SIDE), _kernels.line_filter(5, SIDE + 1)]
            yield from (None, 3, "abc", np.zeros(3), dt.datetime_CAPI, *others)
        case "box":
            yield from (3, "abcd", [0, 0, 1, 1], (), (0, 0, 1), (0, 0, 1, 1, 1), np.zeros(4))
            yield from ((0, 0, 1, other) for other in NO_NUMBERS)
        case "flag":
            yield np.zeros(2)


CASES = [
    pytest.param(name, k, id=f"{name}-{argument.name}")
    for name, arguments in FUNCTIONS.items()
    for k, argument in enumerate(arguments)
]


@pytest.mark.parametrize(("name", "k"), CASES)
def test_what_is_wrong_is_refused(name: str, k: int) -> None:
    for value in wrong_values(FUNCTIONS[name][k]):
        arguments = good_call(name)
        arguments[k] = value
        refused(name, arguments)


# ------------------------------ the table itself ------------------------------


def test_every_function_and_argument_is_in_the_table() -> None:
    functions = {name for name in vars(_kernels) if not name.startswith("_")}
    assert functions == set(FUNCTIONS)
    for name, arguments in FUNCTIONS.items():
        first = function(name).__doc__.split(")")[0]
        documented = re.findall(r"(\w+)(?:=\w+)?,", first[len(name) + 1 :] + ",")
        assert [argument.name for argument in arguments] == documented


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_good_call(name: str) -> None:
    function(name)(*good_call(name))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_other_numbers_of_arguments(name: str) -> None:
    arguments = good_call(name)
    required = len(arguments) - ("=" in function(name).__doc__.split("\n\n")[0])
    call = function(name)
    for wrong in ([], arguments[: required - 1], [*arguments, 1]):
        with pytest.raises(TypeError, match=r"takes|expected"):
            call(*wrong)
    with pytest.raises(TypeError, match="takes no keyword arguments"):
        call(*arguments[:-1], **{FUNCTIONS[name][-1].name: arguments[-1]})


# ------------------------------ what is accepted ------------------------------


@pytest.mark.parametrize(("name", "k"), CASES)
def test_numbers_that_are_accepted(name: str, k: int) -> None:
    for value in FUNCTIONS[name][k].accepts:
        arguments = good_call(name)
        arguments[k] = value
        function(name)(*arguments)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numbers_of_numpy_are_numbers(name: str) -> None:
    arguments = good_call(name)
    for k, argument in enumerate(FUNCTIONS[name]):
        if argument.kind == "index":
            arguments[k] = np.int64(arguments[k])
        if argument.kind == "number":
            arguments[k] = np.float32(arguments[k])
    function(name)(*arguments)


@pytest.mark.parametrize("dtype", [np.int64, np.longlong])
def test_both_kinds_of_int64_are_accepted(dtype: type[np.int64]) -> None:
    kept = np.zeros(3, dtype)
    assert _kernels.suppress(kept, np.zeros((3, 3), np.float32), 0.5) == 3
    assert kept.tolist() == [0, 1, 2]


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (3, 0)])
def test_windows_without_pixels(shape: tuple[int, int]) -> None:
    bits = np.zeros(shape, np.bool_)
    counts = _kernels.encode_rle(bits, 5, 6, 1, 1)
    assert _kernels.rle_measure(counts, 5, 6) == (0, 0, 0, 0, 0)
    assert _kernels.mask_measure(bits) == (0, 0, 0, 0, 0)
    _kernels.decode_rle(bits, COUNTS, 5, 6, 1, 1)
    _kernels.mask_to_bits(bits, np.ones((4, 7), np.float32), 5, 6, 1, 1, False)


# ------------------------------ memory of its own ------------------------------


def test_what_is_written_shares_no_memory() -> None:
    """Else an index that was just written could be read back as a score."""
    memory = np.zeros(512, np.uint8)
    floats = memory.view(np.float32)
    overlapping: dict[str, dict[int, NDArray[Any]]] = {
        "mask_to_bits": {0: memory[:12].reshape(3, 4), 1: floats[:28].reshape(4, 7)},
        "box_iou": {0: floats[:6].reshape(2, 3), 1: floats[5:13].reshape(2, 4)},
        "suppress": {0: memory[8:32].view(np.int64), 1: floats[:9].reshape(3, 3)},
        "decode_outputs": {0: floats[:6], 3: memory[16:64].view(np.int64)},
    }
    for name, arrays in overlapping.items():
        arguments = good_call(name)
        for k, value in arrays.items():
            arguments[k] = value
        assert "expected memory of its own, got some of" in refused(name, arguments)


@pytest.mark.parametrize("plane", [np.s_[:5, :6], np.s_[4::-1, :6], np.s_[10:, 4:10]])
def test_the_square_lies_in_no_plane(plane: tuple[slice, slice]) -> None:
    memory = np.zeros((15, 16), np.uint8)
    arguments = good_call("preprocess")
    arguments[0] = memory.reshape(-1)[: SIDE * SIDE * 3].reshape(SIDE, SIDE, 3)
    arguments[1] = (memory[plane], arguments[1][1])
    if plane[0].start == 10:  # beside each other
        _kernels.preprocess(*arguments)
    else:
        assert "out: expected memory of its own" in refused("preprocess", arguments)


def test_neighbours_share_no_memory() -> None:
    memory = np.zeros(24, np.float32)
    ious, a, b = memory[8:12].reshape(2, 2), memory[:8].reshape(2, 4), memory[12:20].reshape(2, 4)
    _kernels.box_iou(ious, a, b)
    empty = memory[:0].reshape(0, 4)
    _kernels.box_iou(memory[:0].reshape(0, 2), empty, a)

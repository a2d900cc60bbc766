"""RLE against pycocotools, against a NumPy twin, and against text that is not RLE at all."""

import random
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from pycocotools import mask as coco

from sam3_edge.runtime import _kernels
from sam3_edge.runtime.rle import decode_rle, encode_rle, rle_extent, rle_iou, rle_window

Bits = NDArray[np.bool_]

SIDES = st.integers(1, 70)
MASKS = st.tuples(SIDES, SIDES).flatmap(
    lambda size: st.one_of(
        hnp.arrays(np.bool_, size),
        st.integers(0, 2**32).map(lambda seed: blobs(size, seed)),
        st.booleans().map(lambda value: np.full(size, value)),
    )
)


def blobs(size: tuple[int, int], seed: int) -> Bits:
    """A few rectangles: long runs, as real masks have."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(size, np.bool_)
    for _ in range(3):
        top, left = rng.integers(size)
        mask[top : top + rng.integers(40), left : left + rng.integers(40)] ^= True
    return mask


def runs(mask: Bits) -> list[int]:
    """NumPy twin: lengths of alternating runs, column by column, zeros first."""
    lengths = [len(list(group)) for _, group in groupby(mask.ravel(order="F").tolist())]
    return [0, *lengths] if mask.size and mask[0, 0] else lengths or [0]


def number(value: int) -> str:
    """Groups of five bits, least significant first, as many as the sign needs."""
    groups = 1
    while not -(16 * 32 ** (groups - 1)) <= value < 16 * 32 ** (groups - 1):
        groups += 1
    bits = [value >> 5 * k & 31 | (32 if k < groups - 1 else 0) for k in range(groups)]
    return "".join(chr(48 + b) for b in bits)


def text(lengths: list[int]) -> str:
    return "".join(number(n - lengths[k - 2] if k > 2 else n) for k, n in enumerate(lengths))


@given(mask=MASKS)
def test_encode_equals_twin_and_pycocotools(mask: Bits) -> None:
    counts = encode_rle(mask)
    assert counts == text(runs(mask))
    assert counts == coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()


@given(mask=MASKS)
def test_round_trip(mask: Bits) -> None:
    size = (mask.shape[0], mask.shape[1])
    decoded = decode_rle(size, encode_rle(mask))
    assert decoded.dtype == np.bool_
    assert np.array_equal(decoded, mask)
    rle = {"size": list(size), "counts": encode_rle(mask).encode()}
    assert np.array_equal(decoded, coco.decode(rle))


@given(mask=MASKS, step=st.integers(1, 3), flip=st.booleans(), transpose=st.booleans())
def test_any_strides(mask: Bits, step: int, flip: bool, transpose: bool) -> None:
    view = mask[::step, :: -step if flip else step]
    view = view.T if transpose else view
    assert encode_rle(view) == encode_rle(np.ascontiguousarray(view))
    assert encode_rle(view.view(np.uint8)) == encode_rle(view)


@given(mask=MASKS, data=st.data())
def test_window_equals_whole_frame(mask: Bits, data: st.DataObject) -> None:
    height, width = mask.shape
    y0, x0 = data.draw(st.integers(0, height)), data.draw(st.integers(0, width))
    y1, x1 = data.draw(st.integers(y0, height)), data.draw(st.integers(x0, width))
    whole = np.zeros_like(mask)
    whole[y0:y1, x0:x1] = mask[y0:y1, x0:x1]
    window = mask[y0:y1, x0:x1]
    assert encode_rle(window, size=(height, width), origin=(x0, y0)) == encode_rle(whole)


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_no_pixels(size: tuple[int, int]) -> None:
    assert encode_rle(np.zeros(size, np.bool_)) == "0"
    assert decode_rle(size, "0").shape == size


def test_any_nonzero_byte_is_object() -> None:
    assert encode_rle(np.array([[0, 1, 2, 255]], np.uint8)) == text([1, 3])


@given(
    size=st.tuples(st.sampled_from([1, 7, 8, 63, 64, 65, 130, 1100, 8193]), st.integers(1, 70)),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_height_and_any_bytes(size: tuple[int, int], seed: int) -> None:
    """Columns are packed eight and more at once, as many as their height allows."""
    rng = np.random.default_rng(seed)
    values = np.array([0, 0, 0, 1, 2, 127, 128, 255], np.uint8)
    mask = np.repeat(rng.choice(values, size=(-(-size[0] // 9), size[1])), 9, axis=0)[: size[0]]
    expected = coco.encode(np.asfortranarray((mask != 0).astype(np.uint8)))["counts"].decode()
    assert encode_rle(np.ascontiguousarray(mask)) == expected
    assert encode_rle(np.asfortranarray(mask)) == expected


def test_text_longer_than_the_first_buffer() -> None:
    mask = np.indices((300, 301)).sum(axis=0) % 2 == 1
    assert len(encode_rle(mask)) > 4096
    assert encode_rle(mask) == text(runs(mask))


def test_large_runs() -> None:
    frame = (60_000, 60_000)
    counts = encode_rle(np.ones((2, 3), np.bool_), size=frame, origin=(30_000, 59_998))
    first = 30_000 * 60_000 + 59_998
    rest = 60_000 * 60_000 - first - 2 * 60_000 - 2
    assert counts == text([first, 2, 59_998, 2, 59_998, 2, rest])


REFUSED = pytest.mark.parametrize(
    ("size", "counts", "message"),
    [
        ((2, 3), "", r"expected 6 pixels \(3 x 2\), got 0"),
        ((2, 3), "5", r"expected 6 pixels \(3 x 2\), got 5"),
        ((2, 3), "7", r"expected 6 pixels \(3 x 2\), got more from character 0 on"),
        ((2, 3), "33000007", "got more from character 3 on"),
        ((2, 3), "6 ", "got byte 0x20 at 1"),
        ((2, 3), "6p", "got byte 0x70 at 1"),
        ((2, 3), "6\0", "got byte 0x00 at 1"),
        ((2, 3), "\u00e9", r"got U\+00e9 at 0"),
        ((2, 3), "6P", "expected the last run to be whole"),
        ((2, 3), "O", "expected a run of 0 to 4294967295 pixels"),
        ((2, 3), "oooooo", "expected the last run to be whole"),
        ((2, 3), "ooooooooo", "expected a run of 0 to 4294967295 pixels"),
        ((2, 3), "PPPPPPP1", "expected a run of 0 to 4294967295 pixels"),
        ((0, 0), "1", r"expected 0 pixels \(0 x 0\), got more"),
    ],
)


@REFUSED
def test_malformed_text_is_refused(size: tuple[int, int], counts: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_rle(size, counts)


@REFUSED
def test_malformed_text_is_not_counted(size: tuple[int, int], counts: str, message: str) -> None:
    empty = encode_rle(np.zeros(size, np.bool_))
    with pytest.raises(ValueError, match=message):
        rle_extent(size, counts)
    with pytest.raises(ValueError, match=message):
        rle_window(size, counts)
    for a, b in ((counts, empty), (empty, counts), (counts, counts)):
        with pytest.raises(ValueError, match=message):
            rle_iou(size, a, b)


@pytest.mark.parametrize("size", [(-1, 3), (3, -1), (2**20, 2**20), (2**62, 2**62)])
def test_impossible_sizes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected a size of 0 to 4294967295 pixels"):
        decode_rle(size, "0")
    with pytest.raises(ValueError, match=r"expected (sides of 0 or more|at most 4294967295)"):
        rle_extent(size, "0")
    with pytest.raises(ValueError, match=r"expected (sides of 0 or more|at most 4294967295)"):
        rle_window(size, "0")
    with pytest.raises(ValueError, match=r"expected (sides of 0 or more|at most 4294967295)"):
        rle_iou(size, "0", "0")


def test_refused_text_writes_nothing() -> None:
    mask = np.full((2, 3), 7, np.uint8)
    for counts in ("5", "7", "33000007", "6 ", "6P", "22O"):
        with pytest.raises(ValueError, match="RLE: expected"):
            _kernels.decode_rle(mask, counts, 2, 3, 0, 0)
        assert (mask == 7).all()


# ------------------------------ windows ------------------------------


@given(mask=MASKS)
def test_window_is_the_mask_cropped_to_its_extent(mask: Bits) -> None:
    size = (mask.shape[0], mask.shape[1])
    counts = encode_rle(mask)
    (x1, y1), bits = rle_window(size, counts)
    _, box = rle_extent(size, counts)
    assert (x1, y1, x1 + bits.shape[1], y1 + bits.shape[0]) == box
    assert bits.dtype == np.bool_
    assert bits.flags.c_contiguous
    assert np.array_equal(bits, decode_rle(size, counts)[y1 : box[3], x1 : box[2]])
    assert encode_rle(bits, size=size, origin=(x1, y1)) == counts


@given(mask=MASKS, data=st.data())
def test_any_window_is_that_part_of_the_mask(mask: Bits, data: st.DataObject) -> None:
    height, width = mask.shape
    y0, x0 = data.draw(st.integers(0, height)), data.draw(st.integers(0, width))
    y1, x1 = data.draw(st.integers(y0, height)), data.draw(st.integers(x0, width))
    bits = np.full((y1 - y0, x1 - x0), 7, np.uint8)
    _kernels.decode_rle(bits, encode_rle(mask), height, width, x0, y0)
    assert np.array_equal(bits, mask[y0:y1, x0:x1])


def test_window_of_nothing() -> None:
    origin, bits = rle_window((4, 5), encode_rle(np.zeros((4, 5), np.bool_)))
    assert (origin, bits.shape) == ((0, 0), (0, 0))


def test_window_of_runs_that_are_split() -> None:
    """1 + 0 + 2 ones, from the second pixel on, over the end of a column of two."""
    origin, bits = rle_window((2, 3), text([1, 1, 0, 2, 2]))
    assert origin == (0, 0)
    assert np.array_equal(bits, [[0, 1], [1, 1]])


def test_window_of_a_large_frame() -> None:
    """Nothing of the frame's size is made: it would be 3.6 GB."""
    bits = blobs((70, 50), 3)
    counts = encode_rle(bits, size=(60_000, 60_000), origin=(30_000, 59_000))
    (x, y), window = rle_window((60_000, 60_000), counts)
    assert encode_rle(window, size=(60_000, 60_000), origin=(x, y)) == counts


# ------------------------------ counted on the runs ------------------------------


@given(mask=MASKS)
def test_extent_equals_numpy_and_pycocotools(mask: Bits) -> None:
    counts = encode_rle(mask)
    area, box = rle_extent((mask.shape[0], mask.shape[1]), counts)
    rle = {"size": list(mask.shape), "counts": counts.encode()}
    y, x = np.nonzero(mask)
    assert area == len(x) == coco.area(rle)
    assert box == ((x.min(), y.min(), x.max() + 1, y.max() + 1) if len(x) else (0, 0, 0, 0))
    left, top, width, height = coco.toBbox(rle)
    if area:
        assert box == (left, top, left + width, top + height)


@given(mask=MASKS, seed=st.integers(0, 2**32 - 1))
def test_iou_equals_numpy_and_pycocotools(mask: Bits, seed: int) -> None:
    size = (mask.shape[0], mask.shape[1])
    other = blobs(size, seed)
    a, b = encode_rle(mask), encode_rle(other)
    union = np.count_nonzero(mask | other)
    expected = np.count_nonzero(mask & other) / union if union else 0.0
    assert rle_iou(size, a, b) == rle_iou(size, b, a) == expected
    assert rle_iou(size, a, a) == float(mask.any())
    pair = [{"size": list(size), "counts": text.encode()} for text in (a, b)]
    assert coco.iou(pair[:1], pair[1:], [0])[0, 0] == pytest.approx(expected)


def test_counts_of_a_large_frame() -> None:
    frame = (60_000, 60_000)
    counts = encode_rle(np.ones((60_000, 2), np.bool_), size=frame, origin=(30_000, 0))
    assert rle_extent(frame, counts) == (120_000, (30_000, 0, 30_002, 60_000))
    assert rle_iou(frame, counts, encode_rle(np.ones((1, 1), np.bool_), size=frame)) == 0


def test_runs_of_nothing_count_nothing() -> None:
    """Other writers may split a run: 1 + 0 + 2 ones here."""
    split = text([1, 1, 0, 2, 2])
    assert rle_extent((2, 3), split) == (3, (0, 0, 2, 2))
    assert rle_iou((2, 3), split, text([1, 3, 2])) == 1
    assert rle_extent((2, 3), text([6, 0])) == (0, (0, 0, 0, 0))


@pytest.mark.parametrize("counts", [None, 6, ["6"], b"6"])
def test_what_is_no_text_is_refused(counts: str) -> None:
    for call in (lambda: rle_extent((2, 3), counts), lambda: rle_iou((2, 3), "6", counts)):
        with pytest.raises(TypeError, match="RLE: expected a str, got"):
            call()


def test_damaged_text_never_gets_through_wrong() -> None:
    """Whatever decodes encodes, after its own canonical form, to the same pixels."""
    rng = random.Random(0)
    refused = 0
    for _ in range(5000):
        mask = blobs((rng.randrange(1, 60), rng.randrange(1, 60)), rng.randrange(2**32))
        size = (mask.shape[0], mask.shape[1])
        letters = list(encode_rle(mask))
        for _ in range(rng.randrange(1, 4)):
            letters.insert(rng.randrange(len(letters) + 1), chr(rng.randrange(40, 120)))
            del letters[rng.randrange(len(letters))]
        try:
            decoded = decode_rle(size, "".join(letters))
        except ValueError:
            refused += 1
            continue
        assert np.array_equal(decode_rle(size, encode_rle(decoded)), decoded)
        assert decoded.view(np.uint8).max() <= 1
    assert refused > 1000


@given(size=st.tuples(st.integers(0, 40), st.integers(0, 40)), counts=st.text(max_size=60))
def test_any_text_decodes_or_is_refused(size: tuple[int, int], counts: str) -> None:
    try:
        decoded = decode_rle(size, counts)
    except ValueError:
        return
    assert decoded.shape == size


@pytest.mark.parametrize(
    "mask", [np.zeros(4, np.bool_), np.zeros((2, 2, 2), np.bool_), np.zeros((2, 2), np.float32)]
)
def test_other_arrays_are_refused(mask: Bits) -> None:
    with pytest.raises(ValueError, match=r"mask: expected \(h, w\) of bool or uint8, got shape"):
        encode_rle(mask)
    with pytest.raises(ValueError, match="mask: expected 2 dimensions of bool or uint8, got"):
        _kernels.encode_rle(mask, 2, 2, 0, 0)


@pytest.mark.parametrize(
    ("size", "origin"),
    [((1, 9), (0, 0)), ((9, 1), (0, 0)), ((3, 3), (2, 0)), ((3, 3), (0, 2)), ((3, 3), (-1, 0)),
     ((3, 3), (2**62, 0))],
)  # fmt: skip
def test_windows_outside_the_frame_are_refused(
    size: tuple[int, int], origin: tuple[int, int]
) -> None:
    with pytest.raises(ValueError, match="expected a window inside the frame"):
        encode_rle(np.ones((2, 2), np.bool_), size=size, origin=origin)


def test_kernel_refuses_what_it_cannot_write() -> None:
    mask = np.zeros((2, 3), np.bool_)
    mask.flags.writeable = False
    with pytest.raises((ValueError, BufferError)):
        _kernels.decode_rle(mask, "6", 2, 3, 0, 0)
    with pytest.raises((ValueError, BufferError)):
        _kernels.decode_rle(np.zeros((6, 6), np.bool_)[::2, ::2], "9", 3, 3, 0, 0)

"""The synthetic source, and the clocks around source and sink."""

from itertools import islice

import numpy as np

from sam3_edge.bench.source import (
    NUM_PICTURES,
    SyntheticSource,
    TimedSource,
    render_pictures,
)
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.sources import Source


def test_the_pictures_are_the_same_every_time_and_different() -> None:
    pictures, again = render_pictures(96, 64), render_pictures(96, 64)
    assert len(pictures) == NUM_PICTURES
    for picture, other in zip(pictures, again, strict=True):
        assert picture.shape == (64, 96, 3)
        assert picture.dtype == np.uint8
        np.testing.assert_array_equal(picture, other)
    assert not np.array_equal(pictures[0], pictures[1])


def test_a_frame_is_a_picture_of_the_ring_and_no_copy() -> None:
    pictures = tuple(np.full((4, 6, 3), number, np.uint8) for number in range(3))
    source: Source = SyntheticSource(pictures)  # mypy: it is one
    assert (source.live, source.fps, source.num_frames) == (False, None, None)
    for index, frame in enumerate(islice(source.frames(), 7)):
        assert isinstance(frame, Frame)
        assert frame.index == index
        assert np.shares_memory(frame.bgr(), pictures[index % 3])


def test_with_a_rate_it_is_live_and_its_frames_are_in_time() -> None:
    source = SyntheticSource((np.zeros((4, 6, 3), np.uint8),), fps=200.0)
    frames = list(islice(source.frames(), 5))
    assert source.live
    for frame in frames[1:]:
        earliest = frames[0].captured_ns + frame.index * 5e6 - 4e6
        assert frame.captured_ns >= earliest
        assert frame.time_s == frame.index / 200


def test_every_frame_that_came_has_its_time() -> None:
    timed = TimedSource(SyntheticSource((np.zeros((4, 6, 3), np.uint8),), fps=100.0))
    assert timed.live
    assert [getattr(frame, "index", None) for frame in islice(timed.frames(), 4)] == [0, 1, 2, 3]
    assert sorted(timed.ms) == [0, 1, 2, 3]
    assert all(ms > 0 for ms in timed.ms.values())

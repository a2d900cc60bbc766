"""Pipelines of every kind, to their end or their failure."""

import gc
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from threading import Thread
from threading import enumerate as running_threads
from types import ModuleType

import numpy as np
import pytest

from sam3_edge.errors import SourceError
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.gstreamer.appsink import parse_pipeline
from sam3_edge.runtime.gstreamer.picture import FORMATS
from sam3_edge.runtime.gstreamer.stream import PictureStream
from sam3_edge.runtime.sources.gstreamer import GStreamerSource, Manner, open_gstreamer

pytestmark = pytest.mark.usefixtures("gst")
MANNER = Manner(name="gst:test", advice="look again", open_s=10, stall_s=0.3)
HASTY = replace(MANNER, open_s=0.3)
LIVE = "videotestsrc is-live=true ! video/x-raw,width=32,height=16,framerate=100/1"


def opened(text: str, manner: Manner = MANNER) -> tuple[GStreamerSource, object]:
    """The source and its pipeline, so that a test can turn its taps."""
    pipeline, sink = parse_pipeline(text)
    return GStreamerSource(pipeline, sink, manner), pipeline


@pytest.mark.parametrize("name", FORMATS)
def test_colours_of_every_format_at_an_odd_size(name: str) -> None:
    text = (
        "gst:videotestsrc num-buffers=3 pattern=solid-color foreground-color=0xff2850c8 "
        f"! video/x-raw,format={name},width=322,height=241,framerate=25/1"
    )
    source = open_gstreamer(text)
    frames = list(source.frames())
    source.close()
    assert (source.name, source.live, source.fps, source.num_frames) == (text, False, 25.0, None)
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.04, 0.08])
    for frame in frames:
        image = frame.bgr()
        grey = 0.299 * 0x28 + 0.587 * 0x50 + 0.114 * 0xC8
        expected = (grey,) * 3 if name == "GRAY8" else (0xC8, 0x50, 0x28)
        assert image.shape == (241, 322, 3)
        np.testing.assert_allclose(
            image.astype(float), np.broadcast_to(expected, image.shape), atol=16
        )


def test_what_is_not_live_waits_and_loses_nothing() -> None:
    source = open_gstreamer("videotestsrc num-buffers=12 ! video/x-raw,width=32,height=16")
    frames = []
    for frame in source.frames():
        time.sleep(0.01)
        frames.append((frame.index, round(frame.time_s * 30), frame.dropped))
    source.close()
    assert frames == [(index, index, 0) for index in range(12)]


def test_pictures_that_are_kept_stay_as_they_were() -> None:
    source = open_gstreamer(
        "videotestsrc num-buffers=12 pattern=snow ! video/x-raw,format=NV12,width=64,height=48"
    )
    kept = [(frame, frame.planes[0].copy()) for frame in source.frames()]
    source.close()
    for frame, seen in kept:
        np.testing.assert_array_equal(frame.planes[0], seen)
    assert not np.array_equal(kept[0][1], kept[-1][1])


def test_a_live_one_gives_the_newest_and_counts_the_others() -> None:
    source, _ = opened(LIVE)
    last, ages = None, []
    for frame in islice(source.frames(), 6):
        ages.append(time.monotonic_ns() - frame.captured_ns)
        assert last is None or frame.captured_ns > last.captured_ns
        assert last is None or frame.dropped >= last.dropped
        last = frame
        time.sleep(0.1)
    source.close()
    assert source.live
    assert last is not None
    # Ten pictures come in the time that one is looked at; the count may lag by what waits.
    assert abs(round(last.time_s * 100) - last.dropped - last.index) <= 2
    assert last.dropped >= 20
    assert sorted(ages)[3] < 90e6  # of a queue the last would have waited for half a second
    assert abs(last.utc_ns - time.time_ns()) < 2e9


def test_the_end_of_a_live_pipeline_is_an_end() -> None:
    source, _ = opened(LIVE.replace("is-live", "num-buffers=9 is-live"))
    assert 1 <= len(list(source.frames())) <= 9
    source.close()
    endless, _ = opened(
        LIVE.replace("is-live", "num-buffers=9 is-live"), replace(MANNER, endless=True)
    )
    with pytest.raises(
        SourceError, match=r"gst:test: expected another picture after .* the end of"
    ):
        list(endless.frames())
    endless.close()


def test_a_new_size_in_mid_stream() -> None:
    part = "videotestsrc num-buffers=3 ! video/x-raw,format=I420,width={},height={} ! all. "
    source = open_gstreamer(part.format(64, 48) + part.format(98, 30) + "concat name=all")
    sizes = [frame.size for frame in source.frames()]
    source.close()
    assert sizes == [(48, 64)] * 3 + [(30, 98)] * 3


def test_an_error_in_mid_stream_is_the_elements_own() -> None:
    source, _ = opened("videotestsrc ! identity name=breaks error-after=5")
    frames = source.frames()
    assert [frame.index for frame in islice(frames, 4)] == [0, 1, 2, 3]
    with pytest.raises(SourceError) as told:
        next(frames)
    source.close()
    assert str(told.value) == (
        "gst:test: expected another picture after 4, got: breaks: Failed after iterations as "
        "requested; look again"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filesrc location=/nowhere ! decodebin", r"filesrc0: .* \(No such file \"/nowhere\"\)"),
        ("v4l2src device=/dev/video97", "v4l2src0: Cannot identify device '/dev/video97'"),
        ("videotestsrc num-buffers=0", "the end of the stream before the first picture"),
        ("filesrc location={} ! decodebin", "Could not determine type of stream"),
        ("videotestsrc ! fakesink appsink", "no picture within 0.3 s"),
        ("videotestsrc is-live=true ! valve drop=true", "no picture for 0.3 s"),
        ("rtspsrc location=rtsp://me:w0rd@127.0.0.1:1/x ! decodebin", "Failed to connect"),
    ],
)
def test_what_does_not_start(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(
        SourceError, match=f"gst:test: expected a picture, got: .*{message}"
    ) as told:
        opened(text.format(tmp_path / "noise"), HASTY if "0.3 s" in message else MANNER)
    assert "\n" not in str(told.value)
    assert "w0rd" not in str(told.value)


def test_a_stall_is_an_error_of_a_live_source_alone() -> None:
    source, pipeline = opened(f"{LIVE} ! valve name=tap")
    frames = source.frames()
    next(frames)
    pipeline.get_by_name("tap").set_property("drop", True)  # type: ignore[attr-defined]
    with pytest.raises(SourceError, match=r"another picture after .*: no picture for 0.3 s"):
        list(frames)
    source.close()


@pytest.mark.parametrize("how", ["stop", "close"])
def test_who_waits_for_a_picture_is_woken(how: str) -> None:
    source, pipeline = opened(f"{LIVE} ! valve name=tap", replace(MANNER, stall_s=60))
    frames = source.frames()
    next(frames)
    pipeline.get_by_name("tap").set_property("drop", True)  # type: ignore[attr-defined]
    left: list[Frame] = []
    waiting = Thread(target=lambda: left.extend(frames))
    waiting.start()
    getattr(source, how)()
    waiting.join(5)
    assert not waiting.is_alive()
    source.close()
    source.close()
    assert pipeline.get_state(0).state.value_nick == "null"  # type: ignore[attr-defined]
    assert len(left) <= 2


def test_a_pipeline_that_hangs_does_not_hold_up_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """The element sleeps longer than we wait for it."""
    monkeypatch.setattr("sam3_edge.runtime.gstreamer.stream._CLOSE_S", 0.1)
    source, pipeline = opened(f"{LIVE} ! identity name=slow")
    next(source.frames())
    pipeline.get_by_name("slow").set_property("sleep-time", 1_000_000)  # type: ignore[attr-defined]
    time.sleep(0.05)
    started = time.monotonic()
    source.close()
    assert time.monotonic() - started < 0.8
    stopping = [thread for thread in running_threads() if thread.name == "sam3-edge pipeline"]
    for thread in stopping:
        thread.join(5)


def test_nothing_is_left_of_twenty_that_were_closed() -> None:
    counts = [(num_descriptors(), num_tasks()) for _ in cycles(20)]
    assert counts[-1][0] <= counts[4][0]
    assert counts[-1][1] <= counts[4][1] + 2  # GLib keeps two threads for who asks next


def cycles(number: int) -> Iterator[int]:
    for index in range(number):
        source = open_gstreamer(LIVE)
        next(source.frames())
        source.close()
        if index % 4 == 0:
            with pytest.raises(SourceError):
                open_gstreamer("filesrc location=/nowhere ! decodebin")
        del source
        gc.collect()
        yield index


def num_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def num_tasks() -> int:
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208


def test_it_can_be_used_without_the_prefix_and_shows_no_password(gst: ModuleType) -> None:
    source = open_gstreamer("videotestsrc name=pw\n num-buffers=1")
    assert source.name == "gst:videotestsrc name=pw num-buffers=1"
    assert source.may_reopen
    source.close()


def test_a_pipeline_that_hangs_while_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As its source connects to a server that has no time for it."""
    monkeypatch.setattr("sam3_edge.runtime.gstreamer.stream._CLOSE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as stack:
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        port = server.getsockname()[1]
        with pytest.raises(SourceError, match=r"a pipeline that does not start within 0\.3 s"):
            opened(f"tcpclientsrc host=127.0.0.1 port={port} ! decodebin", HASTY)
    for thread in running_threads():
        if thread.name == "sam3-edge pipeline":
            thread.join(10)


def test_an_interruption_while_it_opens_leaves_nothing_that_plays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PictureStream, "pull", interrupted)
    pipeline, sink = parse_pipeline(LIVE)
    with pytest.raises(KeyboardInterrupt):
        GStreamerSource(pipeline, sink, MANNER)
    assert pipeline.get_state(0).state.value_nick == "null"


def test_a_decoder_that_is_missing_is_named_with_its_package(gst: ModuleType) -> None:
    kinds = gst.ELEMENT_FACTORY_TYPE_DECODER
    caps = gst.Caps.from_string("video/x-h264")
    found = gst.ElementFactory.list_get_elements(kinds, gst.Rank.MARGINAL)
    factories = gst.ElementFactory.list_filter(found, caps, gst.PadDirection.SINK, False)
    ranks = [(factory, factory.get_rank()) for factory in factories]
    try:
        for factory, _ in ranks:
            factory.set_rank(gst.Rank.NONE)
        with pytest.raises(SourceError) as told:
            opened("videotestsrc num-buffers=9 ! x264enc ! h264parse ! decodebin")
    finally:
        for factory, rank in ranks:
            factory.set_rank(rank)
    assert re.fullmatch(
        r"gst:test: expected a picture, got: no decoder for H\.264 \([^;]*\); "
        r"sudo apt install gstreamer1\.0-libav gstreamer1\.0-plugins-bad; look again",
        str(told.value),
    )

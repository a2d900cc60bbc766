"""Against a real server, which is killed, started again, asks for passwords or falls silent."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from threading import Event, Thread

import numpy as np
import pytest

from sam3_edge.errors import SourceError, UsageError
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.gstreamer.appsink import parse_pipeline
from sam3_edge.runtime.sources import rtsp
from sam3_edge.runtime.sources.ffmpeg_stream import FFmpegStreamSource
from sam3_edge.runtime.sources.gstreamer import GStreamerSource
from sam3_edge.runtime.sources.reconnecting import ReconnectingSource
from sam3_edge.runtime.sources.rtsp import open_rtsp
from tests.runtime.sources.rtsp_server import HOST, VIDEO, RtspServer, serving

JPEG = "jpegenc ! rtpjpegpay name=pay0"


@pytest.fixture(params=["gstreamer", "ffmpeg"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type:
    """With GStreamer's Python, and without."""
    if request.param == "gstreamer":
        return GStreamerSource
    monkeypatch.setattr(rtsp, "has_rtspsrc", lambda: False)
    return FFmpegStreamSource


@pytest.mark.parametrize("query", ["", "?transport=udp"])
def test_pictures_come_in_time(rtsp_server: RtspServer, reader: type, query: str) -> None:
    source = open_rtsp(rtsp_server.url + query)
    frames = list(islice(source.frames(), 12))
    source.close()
    assert isinstance(source, reader)
    assert (source.name, source.live, source.fps) == (rtsp_server.url, True, 30.0)
    assert [frame.index for frame in frames] == list(range(12))
    assert {frame.size for frame in frames} == {(240, 320)}
    stamps = [frame.captured_ns for frame in frames]
    assert stamps == sorted(stamps)
    assert np.mean(frames[-1].bgr()) > 0
    # Eleven pictures at 30 a second, and what was dropped meanwhile.
    took = frames[-1].dropped + 11
    assert frames[-1].time_s == pytest.approx(took / 30, abs=0.2)


def test_a_slow_consumer_gets_pictures_that_are_new(rtsp_server: RtspServer) -> None:
    source = open_rtsp(rtsp_server.url)
    ages = []
    for frame in islice(source.frames(), 6):
        ages.append((time.monotonic_ns() - frame.captured_ns) / 1e6)
        time.sleep(0.2)
    source.close()
    assert np.median(ages) < 100  # a queue would have 1,000 ms by now
    assert frame.dropped >= 15


def test_the_server_is_killed_and_comes_back(rtsp_server: RtspServer, reader: type) -> None:
    for _ in range(2):
        source = open_rtsp(rtsp_server.url)
        frames = source.frames()
        next(frames)
        rtsp_server.kill()
        with pytest.raises(SourceError, match="expected another picture after"):
            list(frames)
        source.close()
        with pytest.raises(SourceError, match=r"expected a .*check the address"):
            open_rtsp(rtsp_server.url)
        rtsp_server.start()


def test_another_codec_and_sound_that_nobody_asked_for() -> None:
    sound = f"{JPEG} audiotestsrc is-live=true ! rtpL16pay name=pay1 pt=97"
    with serving(encoder=sound) as server:
        source = open_rtsp(server.url)
        assert [frame.size for frame in islice(source.frames(), 3)] == [(240, 320)] * 3
        source.close()


@pytest.mark.parametrize("written", ["me:pa%40s%2F%3Ad", "me:pa@s/:d"])
def test_a_password_is_used_and_not_shown(written: str, capfd: pytest.CaptureFixture[str]) -> None:
    with serving(encoder=JPEG, user="me:pa@s/:d") as server:
        source = open_rtsp(server.url.replace("://", f"://{written}@"))
        assert next(source.frames()).source == source.name == server.url
        source.close()
        wrong = server.url.replace("://", "://me:wr0ng@")
        with pytest.raises(SourceError, match=r"Unauthorized \(401\).* user and password") as told:
            open_rtsp(wrong)
    assert "wr0ng" not in str(told.value)
    assert "pa@s" not in "".join(capfd.readouterr())


def test_a_password_is_not_shown_without_gstreamer(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rtsp, "has_rtspsrc", lambda: False)
    with serving(encoder=JPEG, user="me:pa@s/:d") as server:
        source = open_rtsp(server.url.replace("://", "://me:pa@s/:d@"))
        assert next(source.frames()).source == server.url
        source.close()
        with pytest.raises(SourceError) as told:
            open_rtsp(server.url.replace("://", "://me:wr0ng@"))
    shown = str(told.value) + "".join(capfd.readouterr())
    assert "wr0ng" not in shown
    assert "pa@s" not in shown


def test_a_path_that_is_not_there(rtsp_server: RtspServer, reader: type) -> None:
    with pytest.raises(SourceError, match=r"/nothing: expected a .*; check the address"):
        open_rtsp(rtsp_server.url.replace("live", "nothing"))


def test_a_server_that_falls_silent(
    rtsp_server: RtspServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rtsp, "_STALL_S", 0.4)
    source = open_rtsp(rtsp_server.url)
    frames = source.frames()
    next(frames)
    rtsp_server.pause()
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"no picture for 0\.4 s; check the address"):
        list(frames)
    source.close()
    assert time.monotonic() - started < 8


@pytest.fixture
def babbler() -> Iterator[str]:
    """A server that answers everything with noise."""
    noise = np.random.default_rng(1).bytes(4000)
    with socket.create_server((HOST, 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(noise)

        thread = Thread(target=answer)
        thread.start()
        yield f"rtsp://{HOST}:{server.getsockname()[1]}/live"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_noise_instead_of_rtsp(gst: object, babbler: str, reader: type) -> None:
    with pytest.raises(SourceError, match=r"expected a .*; check the address") as told:
        open_rtsp(babbler)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "rtsp://me:w0rd@host:port/a",
            "rtsp://host:port/a: expected rtsp://user:password@host:port",
        ),
        ("rtsp:///live", "got no host"),
        ("rtsp://host/a?transport=smoke", "expected transport=tcp or transport=udp, got 'smoke'"),
    ],
)
def test_addresses_that_are_none(gst: object, url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as told:
        open_rtsp(url)
    assert "w0rd" not in str(told.value)


@pytest.mark.parametrize(
    ("url", "rest", "transport"),
    [
        ("rtsp://h/a", "rtsp://h/a", None),
        ("rtsp://h/a?x=1&transport=UDP&y=2", "rtsp://h/a?x=1&y=2", "udp"),
        ("rtsp://h/a?transport=tcp", "rtsp://h/a", "tcp"),
        ("rtsp://h/a?retransport=udp", "rtsp://h/a?retransport=udp", None),
    ],
)
def test_our_part_of_the_query_is_taken_out(url: str, rest: str, transport: str | None) -> None:
    assert rtsp._split_transport(url) == (rest, transport)


def test_the_pipeline_holds_nothing_back(gst: object) -> None:
    pipeline, _ = parse_pipeline(rtsp.pipeline_text())
    camera = pipeline.get_by_name("camera")
    assert camera.get_property("latency") == 0
    assert camera.get_property("drop-on-latency")


def test_nothing_is_left_of_twenty_that_were_closed(rtsp_server: RtspServer) -> None:
    counts = []
    for _ in range(20):
        source = open_rtsp(rtsp_server.url)
        next(source.frames())
        source.close()
        counts.append((len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))))  # noqa: PTH208
    assert counts[-1][0] <= counts[5][0] + 1
    assert counts[-1][1] <= counts[5][1] + 2


def test_noise_in_mid_stream(rtsp_server: RtspServer, reader: type) -> None:
    """What comes through a cable that is torn, or a switch that dies."""
    with noisy_way(rtsp_server.port) as (port, turn_noisy):
        source = open_rtsp(f"rtsp://{HOST}:{port}/live")
        frames = source.frames()
        next(frames)
        turn_noisy.set()
        with pytest.raises(
            SourceError, match=r"expected another picture after .*; check the addr"
        ) as told:
            list(frames)
        source.close()
    assert "\n" not in str(told.value)


@contextmanager
def noisy_way(port: int) -> Iterator[tuple[int, Event]]:
    """Through it one connection reaches `port`, until it is told to hand on noise instead."""
    noise, turn_noisy = np.random.default_rng(1).bytes(100_000), Event()

    def hand_on(out: socket.socket, into: socket.socket) -> None:
        with suppress(OSError), out, into:
            while data := out.recv(4096):
                if turn_noisy.is_set():
                    into.sendall(noise)
                    return
                into.sendall(data)

    def meet(server: socket.socket) -> None:
        reader, _ = server.accept()
        camera = socket.create_connection((HOST, port))
        asking = Thread(target=hand_on, args=(reader, camera))
        asking.start()
        hand_on(camera, reader)
        asking.join()

    with socket.create_server((HOST, 0)) as server:
        thread = Thread(target=meet, args=(server,))
        thread.start()
        yield server.getsockname()[1], turn_noisy
        thread.join()


def test_a_camera_comes_back_with_another_size_and_codec(
    rtsp_server: RtspServer, reader: type
) -> None:
    source = ReconnectingSource(
        open_rtsp(rtsp_server.url), lambda: open_rtsp(rtsp_server.url), first_wait_s=0.05
    )
    items = source.frames()
    assert next(items).state == "ok"
    rtsp_server.kill()
    other = RtspServer(VIDEO.replace("width=320", "width=400"), JPEG, port=rtsp_server.port)
    other.start()
    back = next(item for item in items if item.state == "recovered")
    source.close()
    other.kill()
    assert isinstance(back, Frame)
    assert back.size == (240, 400)


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_ctrl_c_is_heard_while_nobody_answers(gst: object, scheme: str) -> None:
    with socket.create_server((HOST, 0)) as server:
        url = f"{scheme}://{HOST}:{server.getsockname()[1]}/live"
        code = "import sys; from sam3_edge.runtime.sources import open_source; open_source(sys.argv[1])"
        opening = subprocess.Popen(
            [sys.executable, "-c", code, url], stderr=subprocess.PIPE, text=True
        )
        connection, _ = server.accept()
        with connection:
            connection.recv(1)
            opening.send_signal(signal.SIGINT)
            _, told = opening.communicate(timeout=10)  # it would wait for 15 s or abort
    assert told.endswith("KeyboardInterrupt\n")
    assert "CRITICAL" not in told

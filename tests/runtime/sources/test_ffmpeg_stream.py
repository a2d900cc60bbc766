"""MJPEG and files over HTTP, against a real server on loopback."""

import os
import socket
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from threading import Event, Thread
from time import sleep

import cv2
import numpy as np
import pytest

from sam3_edge.errors import SourceError
from sam3_edge.runtime.sources import ffmpeg_stream
from sam3_edge.runtime.sources.ffmpeg_stream import FFmpegStreamSource, open_http


class Camera(ThreadingHTTPServer):
    """/mjpeg: a picture whenever the clock says so. /clip.avi: a file. All else: a page of text."""

    daemon_threads = True

    def __init__(self, clip: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.number = 0
        self.clip, self.size, self.user = clip, (48, 64), ""
        self.off, self.silent, self.noisy = Event(), Event(), Event()
        self.url = f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Camera

    def do_GET(self) -> None:
        if self.server.user and self.headers["Authorization"] != _basic(self.server.user):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            return
        self.send_response(200)
        if self.path.startswith("/mjpeg"):
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
            self.end_headers()
            self.pictures()
            return
        content = self.server.clip if self.path == "/clip.avi" else b"<html>hello</html>"
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def pictures(self) -> None:
        while not self.server.off.wait(0.02):
            if self.server.silent.is_set():
                continue
            self.server.number += 1
            _, jpeg = cv2.imencode(
                ".jpg", np.full((*self.server.size, 3), self.server.number, np.uint8)
            )
            if self.server.noisy.is_set():
                self.wfile.write(np.random.default_rng(2).bytes(100_000))
                return
            head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + jpeg.tobytes() + b"\r\n")
            except OSError:
                return

    def log_message(self, *_: object) -> None:
        pass


def _basic(user: str) -> str:
    return f"Basic {b64encode(user.encode()).decode()}"


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[Camera]:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
    for number in range(20):
        writer.write(np.full((48, 64, 3), number, np.uint8))
    writer.release()
    server = Camera(path.read_bytes())
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.off.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_cameras_mjpeg(camera: Camera) -> None:
    source = open_http(f"{camera.url.replace('://', '://me:w0rd@')}/mjpeg")
    frames = list(islice(source.frames(), 5))
    assert (source.live, source.num_frames) == (True, None)
    assert source.name == frames[0].source == f"{camera.url}/mjpeg"
    assert {frame.size for frame in frames} == {(48, 64)}
    steps = np.diff([int(frame.bgr()[0, 0, 0]) for frame in frames])
    assert (steps == 1).all()
    assert [frame.index for frame in frames] == list(range(5))
    assert frames[-1].time_s >= 4 * 0.01
    source.close()


def test_what_came_while_nobody_read_is_left_out(camera: Camera) -> None:
    """As while an engine is loaded."""
    source = open_http(f"{camera.url}/mjpeg")
    until = camera.number + 25
    while camera.number < until:
        sleep(0.01)
    assert int(next(source.frames()).bgr()[0, 0, 0]) >= until
    source.close()


def test_the_camera_goes_away(camera: Camera) -> None:
    source = open_http(f"{camera.url}/mjpeg")
    frames = source.frames()
    next(frames)
    camera.off.set()
    with pytest.raises(
        SourceError,
        match=r"/mjpeg: expected another picture after .*the end of the stream; check the",
    ):
        list(frames)
    source.close()


def test_the_camera_falls_silent(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg_stream, "_READ_MS", 500)
    source = open_http(f"{camera.url}/mjpeg")
    frames = source.frames()
    next(frames)
    camera.silent.set()
    with pytest.raises(SourceError, match=r"got: no picture for 0\.5 s; check"):
        list(frames)
    source.close()


def test_a_file_is_not_live_and_loses_nothing(camera: Camera) -> None:
    source = open_http(f"{camera.url}/clip.avi")
    frames = list(source.frames())
    source.close()
    assert (source.live, source.num_frames, source.fps) == (False, 20, 20.0)
    assert [frame.index for frame in frames] == list(range(20))
    assert frames[-1].time_s == pytest.approx(19 / 20)
    assert [int(frame.bgr()[0, 0, 0]) for frame in frames] == pytest.approx(list(range(20)), abs=2)


@pytest.mark.parametrize("path", ["/page", "/clip.avi/../none"])
def test_a_page_of_text(camera: Camera, path: str) -> None:
    with pytest.raises(SourceError, match="expected a stream with pictures, got none; check the"):
        open_http(camera.url + path)


def test_nobody_there() -> None:
    with pytest.raises(SourceError, match=r"http://127.0.0.1:1/a: expected a stream with pictures"):
        open_http("http://me:w0rd@127.0.0.1:1/a")


def test_somebody_who_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg_stream, "_OPEN_MS", 300)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(
            SourceError, match=r"with pictures, got no picture for 0\.3 s; check the addr"
        ),
    ):
        open_http(f"http://127.0.0.1:{server.getsockname()[1]}/a")


def test_close_ends_who_reads(camera: Camera) -> None:
    source = open_http(f"{camera.url}/mjpeg")
    reading = Thread(target=lambda: list(source.frames()))
    reading.start()
    source.stop()
    source.close()
    source.close()
    reading.join(5)
    assert not reading.is_alive()


@pytest.mark.parametrize("before", [None, "user_agent;mine"])
def test_the_options_are_gone_afterwards(
    camera: Camera, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    name = ffmpeg_stream._OPTIONS
    monkeypatch.delenv(name, raising=False)
    if before is not None:
        monkeypatch.setenv(name, before)
    FFmpegStreamSource(f"{camera.url}/clip.avi", advice="").close()
    assert os.environ.get(name) == before


def test_another_size_in_mid_stream_is_brought_to_the_first(camera: Camera) -> None:
    """OpenCV scales it; the next time it is opened it has its own."""
    source = open_http(f"{camera.url}/mjpeg")
    frames = source.frames()
    next(frames)
    camera.size = (70, 130)
    sent = camera.number + 10
    sizes = {frame.size for frame in islice(frames, 20) if camera.number > sent}
    source.close()
    assert sizes == {(48, 64)}
    source = open_http(f"{camera.url}/mjpeg")
    assert next(source.frames()).size == (70, 130)
    source.close()


def test_noise_in_mid_stream(camera: Camera) -> None:
    source = open_http(f"{camera.url}/mjpeg")
    frames = source.frames()
    next(frames)
    camera.noisy.set()
    with pytest.raises(SourceError, match=r"expected another picture after .*; check the address"):
        list(frames)
    source.close()


def test_a_password_is_used_and_not_shown(
    camera: Camera, capfd: pytest.CaptureFixture[str]
) -> None:
    camera.user = "me:pa/s?#@d"
    source = open_http(f"{camera.url.replace('://', f'://{camera.user}@')}/mjpeg")
    assert next(source.frames()).source == source.name == f"{camera.url}/mjpeg"
    source.close()
    with pytest.raises(SourceError) as told:
        open_http(f"{camera.url.replace('://', '://me:wr0ng@')}/mjpeg")
    shown = str(told.value) + "".join(capfd.readouterr())
    assert "wr0ng" not in shown
    assert "pa/s" not in shown

import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from sam3_edge.errors import SourceError, UsageError
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.preprocess import PixelFormat, layout_of
from sam3_edge.runtime.sources.raw import RawSource, open_raw, parse_raw


@contextmanager
def piped(text: str, script: str) -> Iterator[RawSource]:
    """What another Python program writes: `out` is its standard output, `sys` is there."""
    code = f"import sys; out = sys.stdout.buffer\n{script}"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as other:
        assert isinstance(other.stdout, io.FileIO)
        try:
            with closing(open_raw(text, other.stdout)) as source:
                yield source
        finally:
            other.kill()


def counted(num_bytes: int, num_frames: int) -> str:
    return f"for k in range({num_frames}): out.write(bytes([k]) * {num_bytes})"


@pytest.mark.parametrize("name", get_args(PixelFormat))
def test_frames_of_every_format(name: PixelFormat) -> None:
    layout = layout_of(name, 48, 64)
    with piped(f"raw:{name.lower()}:64x48", counted(layout.num_bytes, 3)) as source:
        frames = list(source.frames())
    assert [frame.index for frame in frames] == [0, 1, 2]
    for number, frame in enumerate(frames):
        assert (frame.format, frame.size, frame.source) == (name, (48, 64), source.name)
        assert sum(plane.size for plane in frame.planes) == layout.num_bytes
        assert all((plane == number).all() for plane in frame.planes)
        assert frame.bgr().shape == (48, 64, 3)
    assert frames[2].captured_ns >= frames[0].captured_ns > 0


def test_a_frame_larger_than_the_pipe_comes_in_pieces() -> None:
    num_bytes = 2 * 640 * 480 * 3
    script = f"out.write(bytes(k % 251 for k in range({num_bytes})))"
    with piped("raw:BGR:640x480@25", script) as source:
        one, two = source.frames()
    assert (one.time_s, two.time_s, source.fps) == (0.0, 0.04, 25.0)
    got = np.concatenate([one.bgr().reshape(-1), two.bgr().reshape(-1)])
    np.testing.assert_array_equal(got, np.arange(num_bytes) % 251)


def test_who_writes_waits_and_memory_is_used_again() -> None:
    addresses, numbers = set(), []
    with piped("raw:GRAY8:640x480", counted(640 * 480, 60)) as source:
        for frame in source.frames():
            addresses.add(frame.planes[0].ctypes.data)
            numbers.append(int(frame.planes[0][479, 639]))
            del frame
    assert numbers == list(range(60))
    assert len(addresses) < 5


@pytest.mark.parametrize(
    ("num_bytes", "whole", "message"),
    [
        (0, 0, "expected 3072 bytes for frame 0, got 0 and the end"),
        (3000, 0, "expected 3072 bytes for frame 0, got 3000 and the end"),
        (2 * 3072 + 5, 2, "expected 3072 bytes for frame 2, got 5 and the end"),
    ],
)
def test_a_short_last_frame_is_told(num_bytes: int, whole: int, message: str) -> None:
    seen: list[Frame] = []
    with (
        piped("raw:GRAY8:64x48", f"out.write(bytes({num_bytes}))") as source,
        pytest.raises(SourceError, match=message),
    ):
        seen.extend(source.frames())
    # extend keeps what came before the error
    assert len(seen) == whole


def test_stop_wakes_who_waits() -> None:
    script = "out.write(bytes(3072)); out.flush(); sys.stdin.read()"
    with piped("raw:GRAY8:64x48", script) as source:
        frames = source.frames()
        next(frames)
        rest: list[Frame] = []
        thread = threading.Thread(target=lambda: rest.extend(frames))
        thread.start()
        source.stop()
        thread.join(10)
        assert not thread.is_alive()
        assert rest == []


def test_live_is_a_matter_of_the_text() -> None:
    assert parse_raw("raw:NV12:1280x720@29.97:live").live
    assert not parse_raw("raw:NV12:1280x720@29.97").live
    assert parse_raw("raw:NV12:1280x720@29.97").fps == 29.97
    assert parse_raw("raw:NV12:1280x720").fps is None
    with piped("raw:GRAY8:64x48@0.001:live", counted(3072, 2)) as source:
        assert (source.live, source.may_reopen, source.num_frames) == (True, False, None)
        times = [frame.time_s for frame in source.frames()]
    assert times[0] == 0
    assert 0 < times[1] < 1000, "expected when it came, got what the rate says"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raw:", "expected raw:FORMAT:WxH"),
        ("raw:BGR", "expected raw:FORMAT:WxH"),
        ("raw:BGR:640", "expected raw:FORMAT:WxH"),
        ("raw:BGR:640x480:live", "expected raw:FORMAT:WxH"),
        ("raw:BGR:640x480@30:lively", "expected raw:FORMAT:WxH"),
        ("raw:BGR:-640x480", "expected raw:FORMAT:WxH"),
        ("raw:BGR:64\n0x480", "expected raw:FORMAT:WxH"),
        ("raw:BGR:٣x480", "expected raw:FORMAT:WxH"),
        ("raw:P010:640x480", "expected a format of BGR, RGB, .*, got 'P010'"),
        ("raw:BGR:0x480", "expected a side of 1 to 16384 pixels, got 0"),
        ("raw:BGR:640x16385", "expected a side of 1 to 16384 pixels, got 16385"),
        ("raw:BGR:640x" + "9" * 9000, "expected a side of 1 to 16384 pixels, got 9{20}$"),
        ("raw:NV12:640x481", "expected even sides for NV12, got 640x481"),
        ("raw:I420:641x480", "expected even sides for I420"),
        ("raw:YUY2:641x480", "expected even sides for YUY2"),
        ("raw:BGR:640x480@0", "expected a rate above 0 and up to 1000, got '0'"),
        ("raw:BGR:640x480@1.2.3", "expected a rate above 0 and up to 1000, got '1.2.3'"),
    ],
)
def test_other_texts(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        open_raw(text)
    assert len(str(refused.value).splitlines()) == 1


def test_odd_sides_where_all_agree() -> None:
    assert parse_raw("raw:YUY2:640x481").layout.num_bytes == 640 * 2 * 481
    assert parse_raw("raw:RGB:641x481").layout.num_bytes == 641 * 3 * 481


def test_standard_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "frames"
    path.write_bytes(bytes(range(6)) * 2)
    with path.open("rb") as file:
        monkeypatch.setattr(sys, "stdin", file)
        with closing(open_raw("raw:BGR:2x1")) as source:
            assert [frame.planes[0].tolist() for frame in source.frames()] == [[[*range(6)]]] * 2
        assert not file.closed
        file.seek(0)


def test_no_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

        def fileno(self) -> int:
            return 0

    for stdin, message in ((None, "got none"), (Terminal(), "got a terminal; pipe them in")):
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(SourceError, match=message):
            open_raw("raw:BGR:640x480")

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sam3_edge.errors import SinkError, UsageError
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.sinks.jsonl import JsonlSink
from sam3_edge.runtime.sinks.jsonl_socket import SocketSink, open_jsonl
from sam3_edge.runtime.sinks.socket_address import parse_socket_address
from sam3_edge.runtime.source_event import SourceEvent

Make = Callable[..., FrameResult]
_SOON_S = 10.0  # patience of a test, not a measure


class Listener:
    """Who takes one connection after the other; `hang_up` and `listen` as often as wanted."""

    def __init__(self, path: str = "") -> None:
        self.path = path
        self.port = 0
        self.calls: list[socket.socket] = []
        self.listen()

    @property
    def address(self) -> str:
        return f"unix:{self.path}" if self.path else f"tcp://127.0.0.1:{self.port}"

    def listen(self) -> None:
        if self.path:
            Path(self.path).unlink(missing_ok=True)
            self._server = socket.socket(socket.AF_UNIX)
            self._server.bind(self.path)
        else:
            self._server = socket.socket()
            self._server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self._server.bind(("127.0.0.1", self.port))
            self.port = self._server.getsockname()[1]
        self._server.listen()
        self._server.settimeout(_SOON_S)

    def accept(self) -> socket.socket:
        call, _ = self._server.accept()
        call.settimeout(_SOON_S)
        self.calls.append(call)
        return call

    def hang_up(self) -> None:
        self._server.close()
        for call in self.calls:
            call.close()
        self.calls.clear()


@pytest.fixture(params=["tcp", "unix"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    made = Listener(str(tmp_path / "s") if request.param == "unix" else "")
    yield made
    made.hang_up()


def sink_to(listener: Listener, told: list[str]) -> SocketSink:
    return SocketSink(parse_socket_address(listener.address), told.append, first_wait_s=0.02)


def lines_of(call: socket.socket) -> list[dict[str, object]]:
    """All until the other side closes. A half line would not be JSON."""
    with call.makefile("rb") as stream:
        content = stream.read()
    assert not content or content.endswith(b"\n")
    return [json.loads(line) for line in content.splitlines()]


def write_until(
    sink: SocketSink, make_result: Make, is_done: Callable[[], bool], start: int
) -> int:
    """Results from index `start` on, until it is so. Returns the next index."""
    until = time.monotonic() + _SOON_S
    index = start
    while not is_done():
        assert time.monotonic() < until
        sink.write(make_result(index))
        index += 1
        time.sleep(0.01)
    return index


def test_every_result_and_event_is_a_line(listener: Listener, make_result: Make) -> None:
    told: list[str] = []
    sink = sink_to(listener, told)
    call = listener.accept()
    assert sink.written is None
    for index in range(3):
        sink.write(make_result(index))
    sink.tell(SourceEvent(source="test", state="lost", reason="gone", attempt=0, utc_ns=1))
    assert sink.written == f"{listener.address} (4 JSON lines)"
    sink.close()
    sink.close()
    assert [line.get("frame", line.get("reason")) for line in lines_of(call)] == [0, 1, 2, "gone"]
    assert told == []


def test_a_partner_that_comes_later(listener: Listener, make_result: Make) -> None:
    listener.hang_up()
    told: list[str] = []
    sink = sink_to(listener, told)
    for index in range(5):
        sink.write(make_result(index))
    assert len(told) == 1
    assert told[0].startswith(f"{listener.address}: cannot connect (Connection refused); results")
    assert sink.written == f"{listener.address} (0 JSON lines, 5 lost)"
    listener.listen()
    next_index = write_until(sink, make_result, lambda: "(0 " not in str(sink.written), 5)
    sink.close()
    first = int(str(lines_of(listener.accept())[0]["frame"]))
    assert 5 <= first < next_index
    assert told[1:] == [f"{listener.address}: it is back; results lost: {first}"]


def test_a_partner_that_is_restarted(listener: Listener, make_result: Make) -> None:
    told: list[str] = []
    sink = sink_to(listener, told)
    call = listener.accept()
    sink.write(make_result(0))
    assert json.loads(call.recv(1 << 16))["frame"] == 0
    listener.hang_up()
    next_index = write_until(sink, make_result, lambda: len(told) == 1, 1)
    assert "the connection broke (" in told[0]
    listener.listen()
    next_index = write_until(sink, make_result, lambda: len(told) == 2, next_index)
    sink.close()
    later = [line["frame"] for line in lines_of(listener.accept())]
    lost = next_index - 1 - len(later)
    assert later == list(range(1 + lost, next_index))  # whole, in order, from where it was back
    assert told[1] == f"{listener.address}: it is back; results lost: {lost}"
    assert sink.written == f"{listener.address} ({next_index - lost} JSON lines, {lost} lost)"


def test_a_partner_that_does_not_read(listener: Listener, make_result: Make) -> None:
    told: list[str] = []
    sink = sink_to(listener, told)
    call = listener.accept()
    slowest, count = 0.0, 0
    while len(told) == 0 or sink.written is None or " lost" not in sink.written:
        began = time.monotonic()
        sink.write(make_result(count))
        slowest, count = max(slowest, time.monotonic() - began), count + 1
    assert told == [f"{listener.address}: it does not read; results are dropped until it is back"]
    assert slowest < 5  # about 1 s, on a machine that has time
    received: list[dict[str, object]] = []
    reader = threading.Thread(target=lambda: received.extend(lines_of(call)))
    reader.start()
    count = write_until(sink, make_result, lambda: len(told) == 2, count)
    sink.close()
    reader.join()
    frames = [int(str(line["frame"])) for line in received]
    assert frames == sorted(set(frames))
    lost = count - len(frames)
    assert lost > 0
    assert sink.written == f"{listener.address} ({len(frames)} JSON lines, {lost} lost)"
    assert told[1] == f"{listener.address}: it is back; results lost: {lost}"


def test_one_that_accepts_and_hangs_up_is_told_once(make_result: Make) -> None:
    listener, told = Listener(), list[str]()
    stopping = threading.Event()

    def answer() -> None:
        while not stopping.is_set():
            try:
                listener.accept().close()
            except OSError:
                return

    thread = threading.Thread(target=answer)
    thread.start()
    sink = sink_to(listener, told)
    for index in range(30):
        sink.write(make_result(index))
        time.sleep(0.01)
    stopping.set()
    sink.close()
    socket.create_connection(("127.0.0.1", listener.port)).close()
    thread.join()
    listener.hang_up()
    assert [text for text in told if "back;" not in text] == told[:1]


def test_one_that_says_no_more_is_still_read_to(make_result: Make) -> None:
    listener, told = Listener(), list[str]()
    sink = sink_to(listener, told)
    call = listener.accept()
    call.sendall(b"hello\n")
    call.shutdown(socket.SHUT_WR)
    for index in range(20):
        sink.write(make_result(index))
    sink.close()
    assert [line["frame"] for line in lines_of(call)] == list(range(20))
    assert told == []
    listener.hang_up()


def test_one_that_talks_gets_the_last_line(listener: Listener, make_result: Make) -> None:
    sink = sink_to(listener, [])
    call = listener.accept()
    sink.write(make_result())
    call.sendall(b"what?\n")
    time.sleep(0.05)
    sink.close()
    assert len(lines_of(call)) == 1


def test_closing_while_the_partner_is_away_ends_the_thread(make_result: Make) -> None:
    listener = Listener()
    listener.hang_up()
    sink = sink_to(listener, [])
    sink.write(make_result())
    sink.close()
    until = time.monotonic() + _SOON_S
    while any(thread.name == "sam3-edge redial" for thread in threading.enumerate()):
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize(
    "text",
    [
        *("tcp:", "tcp://", "tcp://host", "tcp://:5", "tcp://h:0", "tcp://h:70000", "tcp://h:x"),
        *(
            "tcp://h:5/topic",
            "tcp://[::1:5",
            "tcp:h:5",
            f"tcp://{'h' * 64}:5",
            "unix:",
            "unix:/folder/",
            "unix:/a\0b",
        ),
    ],
)
def test_an_address_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected tcp://HOST:PORT or unix:/PATH, got"):
        open_jsonl(text, print)


def test_a_password_is_not_shown() -> None:
    with pytest.raises(UsageError) as caught:
        open_jsonl("tcp://me:secret@host", print)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tcp://Host:5", "tcp://host:5"),
        ("TCP://[::1]:5/", "tcp://[::1]:5"),
        ("unix:/a/b", "unix:/a/b"),
        ("unix:///a/b", "unix:/a/b"),
    ],
)
def test_addresses(text: str, address: str) -> None:
    assert str(parse_socket_address(text)) == address


def test_a_place_that_cannot_be_right(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        SinkError, match="expected a stream socket that we may connect to, got: Con"
    ):
        open_jsonl(f"unix:{tmp_path}/file", print)
    with pytest.raises(SinkError, match="expected a socket in a folder that is there"):
        open_jsonl(f"unix:{tmp_path}/none/s", print)
    with pytest.raises(SinkError, match="too long"):
        open_jsonl(f"unix:{tmp_path}/{'s' * 120}", print)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(f"{tmp_path}/datagrams")
        with pytest.raises(SinkError, match="wrong type"):
            open_jsonl(f"unix:{tmp_path}/datagrams", print)


def test_a_host_that_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_found(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "create_connection", not_found)
    with pytest.raises(SinkError, match=r"tcp://nowhere:5: expected the name .* got 'nowhere'"):
        open_jsonl("tcp://nowhere:5", print)


def test_files_and_standard_output_are_as_before(tmp_path: Path) -> None:
    for text in (str(tmp_path / "out.jsonl"), "-", str(tmp_path / "tcp")):
        sink = open_jsonl(text, print)
        assert isinstance(sink, JsonlSink)
        sink.close()

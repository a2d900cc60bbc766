"""One JSON line a frame, to whoever listens at tcp://HOST:PORT or unix:/PATH."""

import select
import socket
from collections.abc import Callable
from time import monotonic

from sam3_edge.runtime.results import FrameResult, event_line, json_line
from sam3_edge.runtime.sinks import Sink
from sam3_edge.runtime.sinks.jsonl import JsonlSink
from sam3_edge.runtime.sinks.outage import Outage
from sam3_edge.runtime.sinks.redial import FIRST_WAIT_S, Redial
from sam3_edge.runtime.sinks.socket_address import (
    SocketAddress,
    is_socket_address,
    parse_socket_address,
    why,
)
from sam3_edge.runtime.source_event import SourceEvent

_PATIENCE_S = 1.0  # for a partner that does not read


def open_jsonl(text: str, warn: Callable[[str], None]) -> Sink:
    """text: a file, "-", tcp://HOST:PORT or unix:/PATH. Raises SinkError and UsageError."""
    if is_socket_address(text):
        return SocketSink(parse_socket_address(text), warn)
    return JsonlSink(text)


class SocketSink:
    """We connect, and again whenever the partner was gone; what it cannot take is dropped and
    counted. A line that was begun is finished before the next, however long that takes."""

    draws = False
    in_callers_thread = False

    def __init__(
        self,
        address: SocketAddress,
        warn: Callable[[str], None],
        *,
        first_wait_s: float = FIRST_WAIT_S,
    ) -> None:
        """Connects. first_wait_s: until the first attempt to do so again.

        Raises SinkError where the address cannot be right; one where nobody listens yet can.
        """
        self.name = str(address)
        self._outage = Outage(self.name, warn)
        self._redial = Redial(address.connect, first_wait_s)
        self._link: socket.socket | None = None
        self._rest = memoryview(b"")  # of a line, what the partner has yet to take
        self._is_stuck = False
        self._num_unsure = 0  # sent after the partner stopped sending: it may be gone altogether
        self._num_given = self._lines = 0
        try:
            self._link = address.connect()
        except OSError as error:
            address.check(error)
            self._outage.lose(f"cannot connect ({why(error)})", 0)
            self._redial.begin()

    @property
    def written(self) -> str | None:
        lost = self._outage.num_lost
        if not self._lines and not lost:
            return None
        return f"{self.name} ({self._lines} JSON lines{f', {lost} lost' if lost else ''})"

    def write(self, result: FrameResult) -> None:
        self._write_line(json_line(result))

    def tell(self, event: SourceEvent) -> None:
        self._write_line(event_line(event))

    def close(self) -> None:
        self._redial.stop()
        link, self._link = self._link, None
        if link is None:
            return
        try:
            if self._rest and not self._push(link, _PATIENCE_S):
                self._outage.lose("it does not read", self._num_missing())
            self._look(link)  # closed with something unheard, it would be a reset to the partner
        except OSError as error:
            self._outage.lose(f"the connection broke ({why(error)})", self._num_missing())
        else:
            self._outage.end()
        finally:
            link.close()

    def _write_line(self, text: str) -> None:
        self._num_given += 1
        if self._link is None:
            self._link = self._redial.take()
        if self._link is None:
            self._outage.lose("it is away")
            return
        try:
            self._look(self._link)
            self._send(self._link, (text + "\n").encode("utf-8"))
        except OSError as error:
            self._break_off(why(error))

    def _send(self, link: socket.socket, line: bytes) -> None:
        """Raises OSError where the connection broke: then `line` is lost."""
        if self._rest and not self._push(link, 0):
            self._outage.lose("it does not read")
            return
        self._rest = memoryview(line)
        if not self._push(link, 0 if self._is_stuck else _PATIENCE_S):
            self._is_stuck = True
            if len(self._rest) == len(line):
                self._rest = memoryview(b"")
                self._outage.lose("it does not read")
            else:
                self._outage.lose("it does not read", 0)  # it may take the rest of this one

    def _push(self, link: socket.socket, patience_s: float) -> bool:
        """Whether the partner's system took all of `_rest` in time. Raises OSError."""
        until_s = monotonic() + patience_s
        while True:
            try:
                self._rest = self._rest[link.send(self._rest) :]
            except BlockingIOError:
                left_s = until_s - monotonic()
                if left_s <= 0 or not _is_writable(link, left_s):
                    return False
            if not self._rest:
                break
        self._lines += 1
        self._is_stuck = False
        if self._outage.delivered():
            self._redial.reset()
        return True

    def _look(self, link: socket.socket) -> None:
        """Has it hung up? One that says nothing more may still read: sending will show it."""
        try:
            heard = link.recv(65536)  # whatever it says, nobody listens
        except BlockingIOError:
            return
        if not heard and link.family != socket.AF_UNIX:
            self._num_unsure += 1

    def _break_off(self, reason: str) -> None:
        """What it did not confirm before it was gone is lost, as is what it took half of."""
        assert self._link is not None
        self._link.close()
        self._link = None
        self._lines -= max(self._num_unsure - 1, 0)  # the last of them was not written
        self._num_unsure, self._is_stuck, self._rest = 0, False, memoryview(b"")
        self._outage.lose(f"the connection broke ({reason})", self._num_missing())
        self._redial.begin()

    def _num_missing(self) -> int:
        """Neither written nor known as lost yet."""
        return self._num_given - self._lines - self._outage.num_lost


def _is_writable(link: socket.socket, patience_s: float) -> bool:
    poll = select.poll()  # `select` takes no descriptor over 1023
    poll.register(link, select.POLLOUT)
    return bool(poll.poll(patience_s * 1e3))

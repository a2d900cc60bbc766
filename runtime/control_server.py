"""Where changes of the prompts come in: standard input, or a unix socket that many may talk to."""

import os
import socket
import socketserver
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TextIO

from sam3_edge.errors import SinkError, UsageError
from sam3_edge.runtime.control import MOST_BYTES

Answer = Callable[[bytes], str]
_CHUNK_BYTES = 4096
_PATIENCE_S = 1.0


class InputControl:
    """Lines of standard input, answered on `output`. Its end ends nothing, nor does the output's."""

    def __init__(self, answer: Answer, output: TextIO, descriptor: int | None = None) -> None:
        """descriptor: another than standard input's. Raises UsageError where that is closed."""
        self._answer = answer
        self._output = output
        self._descriptor = _standard_input() if descriptor is None else descriptor
        self.thread = Thread(target=self._run, name="sam3-edge control", daemon=True)
        self.thread.start()

    def close(self) -> None:
        """The thread waits for input and ends with the process."""

    def _run(self) -> None:
        for line in _lines(self._read):
            reply = self._answer(line)
            with suppress(
                OSError, ValueError
            ):  # nobody reads it, or the terminal knows no such sign
                print(reply, file=self._output, flush=True)

    def _read(self) -> bytes:
        # Not sys.stdin: a thread that waits in its buffer would hold up the end of the process.
        return os.read(self._descriptor, _CHUNK_BYTES)


class SocketControl:
    """A unix socket at `path`, readable and writable by its owner alone."""

    def __init__(self, answer: Answer, path: Path) -> None:
        """Raises SinkError where the socket cannot be made."""
        self._path = path
        _remove_dead(path)

        class Lines(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                for line in _lines(lambda: self.request.recv(_CHUNK_BYTES)):
                    reply = answer(line).encode() + b"\n"
                    with suppress(OSError):  # who asked has gone
                        self.request.sendall(reply)

        try:
            before = os.umask(0o177)
            try:
                self._server = socketserver.ThreadingUnixStreamServer(os.fspath(path), Lines)
            finally:
                os.umask(before)
        except OSError as error:
            raise SinkError(
                f"--control {path}: expected to make a socket, got: {error.strerror or error}; "
                "choose another path"
            ) from error
        self._server.daemon_threads = True
        Thread(
            target=self._server.serve_forever, name="sam3-edge control", daemon=True, args=(0.1,)
        ).start()

    def close(self) -> None:
        """Safe to call twice."""
        self._server.shutdown()
        self._server.server_close()
        self._path.unlink(missing_ok=True)


def _lines(read: Callable[[], bytes]) -> Iterator[bytes]:
    """What is read, line by line, until nothing comes; blank ones are left out, and the last needs
    no end. Of one that is too long only what says so: MOST_BYTES and one more."""
    rest, is_whole = b"", True
    for chunk in _chunks(read):
        *ended, rest = (rest + chunk).split(b"\n")
        for line in ended:
            if is_whole and line.strip():
                yield line
            is_whole = True
        if len(rest) > MOST_BYTES:
            if is_whole:
                yield rest[: MOST_BYTES + 1]
            rest, is_whole = b"", False
    if is_whole and rest.strip():
        yield rest


def _chunks(read: Callable[[], bytes]) -> Iterator[bytes]:
    with suppress(OSError):  # a terminal that was closed, a client that was killed
        while chunk := read():
            yield chunk


def _standard_input() -> int:
    if sys.stdin is None:
        raise UsageError(
            "--control -: expected lines on standard input, which is closed; name a socket's path"
        )
    return sys.stdin.fileno()


def _remove_dead(path: Path) -> None:
    """A socket that a killed run left behind. Anything else at its place stays."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_PATIENCE_S)  # of a run that hangs
            probe.connect(os.fspath(path))
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
    except OSError:
        return

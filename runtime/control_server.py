"""Where changes of the prompts come in: standard input, or a unix socket that many may talk to."""

import os
import socket
import socketserver
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import TextIO

from sam3_edge.errors import SinkError
from sam3_edge.runtime.control import MOST_BYTES

Answer = Callable[[bytes], str]


class InputControl:
    """Lines of standard input, answered on `output`. Its end ends nothing."""

    def __init__(self, answer: Answer, output: TextIO, descriptor: int | None = None) -> None:
        """descriptor: another than standard input's."""
        self._answer = answer
        self._output = output
        self._descriptor = sys.stdin.fileno() if descriptor is None else descriptor
        thread = Thread(target=self._read, name="sam3-edge control", daemon=True)
        thread.start()

    def close(self) -> None:
        """The thread waits for input and ends with the process."""

    def _read(self) -> None:
        # Not sys.stdin: a thread that waits in its buffer would hold up the end of the process.
        rest = b""
        while chunk := os.read(self._descriptor, 4096):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.strip():
                    print(self._answer(line), file=self._output, flush=True)
            if len(rest) > MOST_BYTES:  # the answer says so; the line is left out
                print(self._answer(rest), file=self._output, flush=True)
                rest = b""


class SocketControl:
    """A unix socket at `path`, readable and writable by its owner alone."""

    def __init__(self, answer: Answer, path: Path) -> None:
        """Raises SinkError where the socket cannot be made."""
        self._path = path
        _remove_dead(path)

        class Lines(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while line := self.rfile.readline(MOST_BYTES + 1):
                    self.wfile.write(answer(line.strip()).encode() + b"\n")

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
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] # who asks has gone
        Thread(
            target=self._server.serve_forever, name="sam3-edge control", daemon=True, args=(0.1,)
        ).start()

    def close(self) -> None:
        """Safe to call twice."""
        self._server.shutdown()
        self._server.server_close()
        self._path.unlink(missing_ok=True)


def _remove_dead(path: Path) -> None:
    """A socket that a killed run left behind. Anything else at its place stays."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(os.fspath(path))
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
    except OSError:
        return

"""One JSON line a frame, to a file or to standard output."""

import io
import os
import select
import stat
import sys
from contextlib import suppress
from pathlib import Path

from sam3_edge.errors import SinkError
from sam3_edge.runtime.results import FrameResult, event_line, json_line
from sam3_edge.runtime.sinks.places import cannot_write, check_file_place
from sam3_edge.runtime.source_event import SourceEvent


class JsonlSink:
    """Every line is handed to the system before the next frame: a reader sees it at once, and
    after a crash or on a full disk the file ends with a whole line."""

    draws = False
    in_callers_thread = False

    def __init__(self, path: str) -> None:
        """path: a file, which is replaced at the first frame, or "-". Raises SinkError."""
        self.name = "standard output" if path == "-" else path
        self._path = Path(path)
        self._to_stdout = path == "-"
        self._stream: io.FileIO | None = None
        self._lines = 0
        self._bytes = 0  # of the line at hand, what was written
        if not self._to_stdout:
            check_file_place(self._path)
        elif sys.stdout is None:
            raise SinkError("cannot write standard output: it is closed; name a file instead")

    @property
    def written(self) -> str | None:
        if self._to_stdout or not self._lines:
            return None
        return f"{self._path} ({self._lines} JSON lines)"

    def write(self, result: FrameResult) -> None:
        self._write_line(json_line(result))

    def tell(self, event: SourceEvent) -> None:
        self._write_line(event_line(event))

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()

    def _write_line(self, text: str) -> None:
        line = (text + "\n").encode("utf-8")
        try:
            if self._stream is None:
                self._stream = self._open()
            self._write(self._stream, line)
        except OSError as error:
            self._drop_half_line()
            raise cannot_write(self.name, error) from error
        self._lines += 1

    def _open(self) -> io.FileIO:
        if self._to_stdout:
            return io.FileIO(os.dup(sys.stdout.fileno()), "wb")
        return io.FileIO(self._path, "wb")

    def _write(self, stream: io.FileIO, line: bytes) -> None:
        self._bytes = 0
        while self._bytes < len(line):
            count = stream.write(memoryview(line)[self._bytes :])
            if count is None:  # a pipe that whoever shares it has set not to block
                _wait_for_room(stream)
            else:
                self._bytes += count

    def _drop_half_line(self) -> None:
        """A full disk takes as much of a line as fits. One that is gone takes nothing back."""
        if self._stream is None or not self._bytes:
            return
        with suppress(OSError):
            found, end = os.fstat(self._stream.fileno()), self._stream.tell()
            # Others may write to standard output too.
            if stat.S_ISREG(found.st_mode) and found.st_size == end:
                self._stream.seek(end - self._bytes)
                self._stream.truncate()


def _wait_for_room(stream: io.FileIO) -> None:
    poll = select.poll()
    poll.register(stream, select.POLLOUT)
    poll.poll()

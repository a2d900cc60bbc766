"""One JSON line a frame, to a file or to standard output."""

import io
import os
import stat
import sys
from pathlib import Path

from sam3_edge.runtime.results import FrameResult, event_line, json_line
from sam3_edge.runtime.sinks.places import cannot_write, check_file_place
from sam3_edge.runtime.source_event import SourceEvent


class JsonlSink:
    """Every line is handed to the system before the next frame: a reader sees it at once, and
    after a crash or on a full disk the file ends with a whole line."""

    draws = False
    in_callers_thread = False

    def __init__(self, path: str) -> None:
        """path: a file, which is replaced at the first frame, or "-"."""
        self.name = "standard output" if path == "-" else path
        self._path = Path(path)
        self._to_stdout = path == "-"
        self._stream: io.FileIO | None = None
        self._lines = 0
        self._bytes = 0
        if not self._to_stdout:
            check_file_place(self._path)

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
            raise cannot_write(self._path, error) from error
        self._lines += 1
        self._bytes += len(line)

    def _open(self) -> io.FileIO:
        if self._to_stdout:
            return io.FileIO(os.dup(sys.stdout.fileno()), "wb")
        return io.FileIO(self._path, "wb")

    def _write(self, stream: io.FileIO, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            rest = rest[stream.write(rest) or 0 :]

    def _drop_half_line(self) -> None:
        """A full disk takes as much of a line as fits."""
        if self._stream is not None and not self._to_stdout:
            number = self._stream.fileno()
            if stat.S_ISREG(os.fstat(number).st_mode):
                os.ftruncate(number, self._bytes)

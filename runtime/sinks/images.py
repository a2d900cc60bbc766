"""Annotated pictures in a folder, of every N-th frame."""

from contextlib import suppress
from pathlib import Path

import cv2

from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.sinks.canvas import Canvas
from sam3_edge.runtime.sinks.places import cannot_write, check_folder_place
from sam3_edge.runtime.source_event import SourceEvent

_JPEG_QUALITY = 92


class ImagesSink:
    """Writes frame_000000.jpg, numbered as the frames are."""

    draws = True
    in_callers_thread = False

    def __init__(self, folder: Path, every: int = 1) -> None:
        check_folder_place(folder)
        self.name = str(folder)
        self._canvas = Canvas()
        self._folder = folder
        self._every = every
        self._count = 0

    @property
    def written(self) -> str | None:
        return f"{self._folder} ({self._count} pictures)" if self._count else None

    def write(self, result: FrameResult) -> None:
        if result.frame.index % self._every:
            return
        picture = self._canvas.draw(result)
        _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        path = self._folder / f"frame_{result.frame.index:06d}.jpg"
        self._replace(path, encoded.tobytes())
        self._count += 1

    def _replace(self, path: Path, content: bytes) -> None:
        """Whole, or not at all: what is there already stays until then."""
        half = path.with_name(f".{path.name}.half")
        try:
            half.write_bytes(content)
            half.replace(path)
        except OSError as error:
            with suppress(OSError):
                half.unlink()
            raise cannot_write(path, error) from error

    def tell(self, event: SourceEvent) -> None:
        pass

    def close(self) -> None:
        pass

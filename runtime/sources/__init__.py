"""Where frames come from, one file per kind. `open_source` finds the kind a text means."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from sam3_edge.errors import SourceError, UsageError
from sam3_edge.runtime.frame import Frame

__all__ = ["Source", "open_source"]


class Source(Protocol):
    """An opened source.

    name: what messages call it. fps: frames per second; None where there is no rate.
    num_frames: how many there should be; None where nobody knows.
    live: frames come at their own pace, and one that is not taken is gone.
    """

    name: str
    live: bool
    fps: float | None
    num_frames: int | None

    def frames(self) -> Iterator[Frame]:
        """Every frame, once; a picture's memory is used again when nobody refers to it any more.

        Raises SourceError where the source breaks off.
        """

    def close(self) -> None:
        """Release the device or file. Safe to call twice."""


def open_source(text: str) -> Source:
    """Open what `text` means: "demo", "demo:SEED", "camera:INDEX", an image, a folder, a glob, a video.

    Raises SourceError if it is not there or cannot be read, UsageError if it means nothing.
    """
    kind, _, rest = text.partition(":")
    if kind == "demo":
        from sam3_edge.runtime.sources.demo import DemoSource

        return DemoSource(_number(text, rest, "seed") if rest else 0)
    if kind == "camera":
        from sam3_edge.runtime.sources.camera import CameraSource

        return CameraSource(_number(text, rest, "camera index"))
    if "://" in text:
        raise UsageError(f"{text}: expected a file, folder, camera or demo, got an address")
    return _open_path(text)


def _open_path(text: str) -> Source:
    from sam3_edge.runtime.sources.folder import FolderSource, matching_files, picture_files
    from sam3_edge.runtime.sources.image import ImageSource, is_picture_name
    from sam3_edge.runtime.sources.video import VideoSource

    path = Path(text)
    if text and path.is_dir():
        return FolderSource(text, picture_files(path))
    if text and path.exists():
        _check_is_file(path)
        return ImageSource(path) if is_picture_name(path) else VideoSource(path)
    if any(mark in text for mark in "*?["):
        return FolderSource(text, matching_files(text))
    hint = f"use --camera {text} for a camera" if text.isdecimal() else "check the path"
    raise SourceError(f"{text!r}: expected an image, folder or video, found none; {hint}")


def _check_is_file(path: Path) -> None:
    """A device or a pipe would hang or lose what is read to look at it."""
    if not path.is_file():
        raise SourceError(
            f"{path}: expected a file, got a device or pipe; use --camera 0 for the first camera"
        )


def _number(text: str, digits: str, what: str) -> int:
    if not (digits.isascii() and digits.isdecimal()):
        raise UsageError(f"{text}: expected a {what} of digits after the colon, got {digits!r}")
    return int(digits)

"""Where frames come from, one file per kind. `open_source` finds the kind a text means."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sam3_edge.errors import SourceError, UsageError
from sam3_edge.runtime.address import without_secrets
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.source_event import SourceEvent

__all__ = ["Source", "open_source"]


class Source(Protocol):
    """An opened source.

    name: what messages call it. fps: frames per second; None where there is no rate.
    num_frames: how many there should be; None where nobody knows.
    live: frames come at their own pace, and one that is not taken is gone.
    may_reopen: whether it may be opened again and again, should it break off.
    """

    name: str
    live: bool
    may_reopen: bool
    fps: float | None
    num_frames: int | None

    def frames(self) -> Iterator[Frame | SourceEvent]:
        """Every frame, once, and of a source that reconnects what happened between them; a
        picture's memory is used again when nobody refers to it any more.

        Raises SourceError where the source breaks off.
        """

    def stop(self) -> None:
        """From another thread: `frames` ends soon, where it can be woken while it waits."""

    def close(self) -> None:
        """Release the device or file. Safe to call twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraWish:
    """What a camera on this machine is asked for, and must give. None: what suits it best.

    width, height: pixels. fps: frames a second. pixel_format: as V4L2 or GStreamer names it.
    """

    width: int | None = None
    height: int | None = None
    fps: float | None = None
    pixel_format: str | None = None


ANY_CAMERA = CameraWish()
_CAMERA = "camera's number, such as camera:0, or its device, such as camera:/dev/video0,"
_MOST_DIGITS = 18  # Python reads thousands of them slowly, and then not at all


def open_source(text: str, wish: CameraWish = ANY_CAMERA) -> Source:
    """Open what `text` means: "demo", "demo:SEED", "camera:INDEX", "camera:/dev/...", "csi:INDEX",
    an address of rtsp or http, "gst:PIPELINE", "raw:FORMAT:WxH[@FPS[:live]]" from standard input,
    an image, a folder, a glob, a video. wish: of cameras.

    Raises SourceError if it is not there or cannot be read, UsageError if it means nothing.
    """
    kind, _, rest = text.partition(":")
    if kind in ("gst", "csi", "rtsp", "rtsps", "http", "https"):
        return _open_stream(kind, text, wish)
    if kind == "demo":
        from sam3_edge.runtime.sources.demo import DemoSource

        return DemoSource(_number(text, rest, "seed of digits") if rest else 0)
    if kind == "camera":
        from sam3_edge.runtime.sources.camera import open_camera

        camera = rest if rest.startswith("/") else _number(text, rest, _CAMERA)
        return open_camera(camera, wish.width, wish.height, wish.fps, wish.pixel_format)
    if kind == "raw":
        from sam3_edge.runtime.sources.raw import open_raw

        return open_raw(text)
    if "://" in text:
        raise UsageError(
            f"{kind}://: expected a file, a camera or an address of rtsp or http, got another; "
            "gst: takes any GStreamer pipeline"
        )
    return _open_path(text)


def _open_stream(kind: str, text: str, wish: CameraWish) -> Source:
    if kind == "gst":
        from sam3_edge.runtime.sources.gstreamer import open_gstreamer

        return open_gstreamer(text)
    if kind == "csi":
        from sam3_edge.runtime.sources.csi import open_csi

        return open_csi(text, wish.width, wish.height, wish.fps, wish.pixel_format)
    if kind.startswith("rtsp"):
        from sam3_edge.runtime.sources.rtsp import open_rtsp

        return open_rtsp(text)
    from sam3_edge.runtime.sources.ffmpeg_stream import open_http

    return open_http(text)


def _open_path(text: str) -> Source:
    from sam3_edge.runtime.sources.folder import FolderSource, matching_files, picture_files
    from sam3_edge.runtime.sources.image import ImageSource, is_picture_name
    from sam3_edge.runtime.sources.video import VideoSource

    path, mode = Path(text), _mode(text)
    if mode is not None and stat.S_ISDIR(mode):
        return FolderSource(text, picture_files(path))
    if mode is not None:
        _check_is_file(path)
        return ImageSource(path) if is_picture_name(path) else VideoSource(path)
    if any(mark in text for mark in "*?["):
        return FolderSource(text, matching_files(text))
    hint = f"use --camera {text} for a camera" if text.isdecimal() else "check the path"
    name = without_secrets(text)
    raise SourceError(f"{name!r}: expected an image, folder or video, found none; {hint}")


def _mode(text: str) -> int | None:
    """What kind of file it is; None for none. Raises SourceError where that cannot be told."""
    try:
        return Path(text).stat().st_mode if text else None
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last: no file has such a name
        return None
    except OSError as error:
        raise SourceError(
            f"{without_secrets(text)!r}: expected an image, folder or video, got: {error.strerror}; "
            "check the path and its permissions"
        ) from error


def _check_is_file(path: Path) -> None:
    """A device or a pipe would hang or lose what is read to look at it."""
    if not path.is_file():
        raise SourceError(
            f"{path}: expected a file, got a device or pipe; use --camera 0 for the first camera"
        )


def _number(text: str, digits: str, what: str) -> int:
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS):
        raise UsageError(f"{text[:40]}: expected a {what} after the colon, got {digits[:40]!r}")
    return int(digits)

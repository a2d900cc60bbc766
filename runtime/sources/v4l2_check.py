"""Why a video device cannot be had, in one line: asked before OpenCV, which says nothing but no."""

import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeAlias

from sam3_edge.errors import SourceError
from sam3_edge.runtime.sources.v4l2 import Capability, Control, capability, check_is_free
from sam3_edge.runtime.sources.v4l2_modes import CameraMode, camera_modes, choose_mode

__all__ = ["OpenDevice", "ask_camera", "programs_with"]

OpenDevice: TypeAlias = Callable[[str], AbstractContextManager[Control]]


def ask_camera(
    camera: str,
    path: str,
    open_device: OpenDevice,
    *,
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
    pixel_format: str | None = None,
) -> CameraMode:
    """The mode to take of the device at `path`, which `camera` names in messages.

    Raises SourceError where there is no camera, none that may be had, or none with such a mode.
    """
    try:
        with open_device(path) as control:
            _check_captures(camera, path, _capability(camera, path, control))
            check_is_free(control)
            modes = camera_modes(control, width, height, fps)
    except OSError as error:
        raise SourceError(_told(camera, path, error)) from error
    try:
        return choose_mode(modes, width, height, fps, pixel_format)
    except SourceError as error:
        raise SourceError(f"{camera}: {error}; ask for one of these") from None


def programs_with(path: str, proc: str = "/proc") -> str:
    """Which processes have the file open, as "ffmpeg (process 123)"; "" where none can be told:
    another user's are not shown."""
    target = os.path.realpath(path)
    found = []
    for process in sorted(Path(proc).glob("[0-9]*"), key=lambda each: int(each.name)):
        try:
            is_open = any(_link(each) == target for each in (process / "fd").iterdir())
            name = (process / "comm").read_text().strip()
        except OSError:  # gone meanwhile, or another user's
            continue
        if is_open:
            found.append(f"{name} (process {process.name})")
    return ", ".join(found)


def _link(path: Path) -> str | None:
    try:
        return os.fspath(path.readlink())
    except OSError:  # closed meanwhile
        return None


def _capability(camera: str, path: str, control: Control) -> Capability:
    try:
        return capability(control)
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.EINVAL):
            raise
        raise SourceError(_no_device(camera, path)) from error


def _check_captures(camera: str, path: str, device: Capability) -> None:
    if device.captures:
        return
    if device.captures_planes:
        raise SourceError(
            f"{camera}: expected a camera with pictures in one plane, got {device.card!r} with "
            f"several; try --source 'gst:v4l2src device={path}'"
        )
    got = "a node for metadata" if device.is_metadata else "a node that does not capture"
    raise SourceError(
        f"{camera}: expected a camera, got {got} of {device.card!r}; its pictures come from "
        "another number, most often the one before: v4l2-ctl --list-devices"
    )


def _no_device(camera: str, path: str) -> str:
    return (
        f"{camera}: expected a video device, got {path}, which is none; "
        "v4l2-ctl --list-devices shows what there is"
    )


def _busy(camera: str, path: str) -> str:
    programs = programs_with(path) or "another program"
    return (
        f"{camera}: expected a camera that is free, got {path} in use by {programs}; "
        "end that, or take another camera"
    )


def _told(camera: str, path: str, error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        others = ", ".join(sorted(map(str, Path("/dev").glob("video*"))))
        there = f"no {path}, but {others}" if others else f"no {path} and no other /dev/video*"
        return (
            f"{camera}: expected a camera, found none that opens: {there}; "
            "check that it is plugged in, or try --source demo"
        )
    if error.errno in (errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
        return _no_device(camera, path)
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"{camera}: expected a camera that this user may open, got {path}: "
            f"{error.strerror}; {_access_advice(path)}"
        )
    if error.errno == errno.EBUSY:
        return _busy(camera, path)
    return f"{camera}: expected a camera, got {path}: {error.strerror}; unplug it and plug it in"


def _access_advice(path: str) -> str:
    import grp

    try:
        group = grp.getgrgid(Path(path).stat().st_gid).gr_name
    except (OSError, KeyError):
        group = "video"
    if group in ("root", "nogroup"):  # as in containers; no group for a user to be in
        return f"let all use it: sudo chmod a+rw {path}"
    return f"join its group: sudo usermod -aG {group} $USER, then log in again"

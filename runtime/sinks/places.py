"""Is there room, and may we write? Asked before an engine is loaded."""

import errno
import shutil
from pathlib import Path

from sam3_edge.errors import SinkError

# A video needs its index written at the end: stop while that still fits.
RESERVE_BYTES = 16 * 2**20


def check_file_place(path: Path) -> None:
    """Make the folder of `path`, and see that a file can be written there. Raises SinkError.

    A file that is already there is left as it is.
    """
    try:
        if path.is_dir():
            raise SinkError(f"{path}: expected a file to write, got a folder; add a file name")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_socket():
            raise SinkError(
                f"{path}: expected a file to write, got a socket; unix:{path} writes to it"
            )
        if path.is_fifo():
            return  # opening it waits for its reader
        existed = path.exists()
        path.open("ab").close()
        if not existed:
            path.unlink()
    except OSError as error:
        raise cannot_write(path, error) from error


def check_folder_place(folder: Path) -> None:
    """Make `folder`, and see that files can be written there. Raises SinkError."""
    check_file_place(folder / ".sam3-edge")


def check_free_space(path: Path) -> None:
    """Raises SinkError while there is still room to finish the file at `path`."""
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError as error:
        raise cannot_write(path, error) from error
    if free < RESERVE_BYTES:
        raise SinkError(
            f"{path}: expected {RESERVE_BYTES >> 20} MiB of free space, got {free / 2**20:.1f}; "
            "make room, or write to another disk (what was written so far is kept)"
        )


def cannot_write(where: Path | str, error: OSError) -> SinkError:
    """where: the path, or what messages call it."""
    remedy = "check the path, free space and permissions"
    if error.errno == errno.EPIPE:
        remedy = "whoever read it has gone"
    return SinkError(f"cannot write {where}: {error.strerror or error}; {remedy}")

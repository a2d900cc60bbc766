"""A file that appears whole or not at all."""

import os
from pathlib import Path

from sam3_edge.engines.tensorrt_types import Buffer
from sam3_edge.errors import ExportError


def write_file(path: Path, data: Buffer) -> None:
    """Replace `path`. Raises ExportError, and leaves what was there, if it cannot be written."""
    writing = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        writing.write_bytes(data)
        writing.replace(path)
    except OSError as error:
        raise ExportError(
            f"cannot write {path}: {error.strerror}; check free space and permissions"
        ) from error
    finally:
        writing.unlink(missing_ok=True)
